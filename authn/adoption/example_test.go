package adoption_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/adoption"
	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
)

// Ada's password and key of the old system go on opening her account.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "app.db")) // a host opens its own
	check(err)
	defer func() { _ = db.Close() }()
	check(authn.Migrate(ctx, db))
	accounts := tenancy.New(tenancy.Config{})
	_, err = accounts.Ensure(ctx, db, tenancy.Plan{Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, TrialDays: 14})
	check(err)
	ada, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
	check(err)

	keys, err := authn.New(accounts, authn.Config{Peppers: []authn.Pepper{{ID: "2026", Secret: make([]byte, 32)}}}) // only in this example
	check(err)
	passwords := authn.NewPasswords(accounts, authn.PasswordConfig{Foreign: authn.Foreign{PBKDF2SHA256: 1200}})
	a := adoption.New(accounts, passwords, keys, adoption.Config{KeyHash: authn.SHA256Hex, KeysEndAt: time.Now().AddDate(0, 6, 0)})
	what := adoption.Adopt{
		Passwords: []adoption.Password{{User: ada.User.ID, Hash: "pbkdf2_sha256$1200$o3mxkQWc0hD1$+jxQN7tm+SJgdeYjgQUkDuJJ7Jc3RnZ/yUfKuOEKuFI="}},
		Keys:      []authn.Import{{Account: ada.Account.ID, Name: "build server", Maker: ada.User.ID, Hash: authn.SHA256Hex("key-of-the-old-system")}},
		DryRun:    true,
		Actor:     tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"},
	}
	report, err := a.Adopt(ctx, db, what)
	check(err)
	fmt.Println("in a dry run:", report.Passwords.New, "password,", report.Keys.New, "key, refused:", report.Refused)
	what.DryRun = false
	_, err = a.Adopt(ctx, db, what)
	check(err)

	user, err := passwords.SignIn(ctx, db, authn.SignIn{Email: "ada@example.com", Password: "Ein Pferd, ein Königreich"})
	check(err)
	fmt.Println("signed in:", user.Name)
	imported, err := authn.NewImported(keys, authn.ImportedConfig{Hash: authn.SHA256Hex})
	check(err)
	scope, err := authn.NewGuard(accounts, authn.GuardConfig{}, keys, imported).
		Check(ctx, db, authn.Credential{Scheme: "bearer", Value: "key-of-the-old-system"}, tenancy.Use)
	check(err)
	fmt.Println("her key opens her account:", scope.Account == ada.Account.ID)

	report, err = a.Adopt(ctx, db, what)
	check(err)
	fmt.Println("again:", report.Passwords.Different, "password hashed anew,", report.Keys.Same, "key the same")
	// Output:
	// in a dry run: 1 password, 1 key, refused: []
	// signed in: Ada
	// her key opens her account: true
	// again: 1 password hashed anew, 1 key the same
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
