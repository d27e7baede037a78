package authn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// exampleDB is a new SQLite file with the tables and one plan.
func exampleDB(ctx context.Context, accounts *tenancy.Accounts) (_ *bun.DB, closeDB func()) {
	dir, err := os.MkdirTemp("", "authn")
	check(err)
	db, err := dbtest.Open("file:" + filepath.Join(dir, "example.db"))
	check(err)
	check(authn.Migrate(ctx, db))
	_, err = accounts.Ensure(ctx, db, tenancy.Plan{Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, TrialDays: 14})
	check(err)
	return db, func() { check(errors.Join(db.Close(), os.RemoveAll(dir))) }
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A key opens its account until the account is suspended.
func ExampleKeys() {
	ctx := context.Background()
	accounts := tenancy.New(tenancy.Config{})
	db, closeDB := exampleDB(ctx, accounts)
	defer closeDB()

	secret := []byte(os.Getenv("PEPPER_2026")) // 32 random bytes or more
	if len(secret) == 0 {
		secret = []byte(strings.Repeat("only for this example ", 2))
	}
	keys, err := authn.New(accounts, authn.Config{Peppers: []authn.Pepper{{ID: "2026", Secret: secret}}})
	check(err)

	ada, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
	check(err)
	issued, err := keys.Issue(ctx, db, authn.Issue{
		Account: ada.Account.ID, Name: "build server", Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: string(ada.User.ID)},
	})
	check(err)

	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scope := tenancy.From(r.Context())
		fmt.Println("hello,", scope.Actor.Kind, scope.Account == ada.Account.ID)
	})
	server := keys.Middleware(db, tenancy.Use)(hello)
	call := func() {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+issued.Secret)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	call()
	_, err = accounts.Suspend(ctx, db, tenancy.Suspend{
		Account: ada.Account.ID, Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}, Reason: "unpaid bills elsewhere",
	})
	check(err)
	call()
	// Output:
	// hello, key true
	// 200
	// 403
}

// A key gets another secret while programs still use the old one.
func ExampleKeys_Rotate() {
	ctx := context.Background()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	accounts := tenancy.New(tenancy.Config{Now: clock})
	db, closeDB := exampleDB(ctx, accounts)
	defer closeDB()
	keys, err := authn.New(accounts, authn.Config{
		Peppers: []authn.Pepper{{ID: "2026", Secret: []byte(strings.Repeat("only for this example ", 2))}}, Now: clock,
	})
	check(err)
	ada, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
	check(err)
	her := tenancy.Actor{Kind: tenancy.ActorUser, ID: string(ada.User.ID)}

	old, err := keys.Issue(ctx, db, authn.Issue{Account: ada.Account.ID, Name: "build server", Actor: her})
	check(err)
	next, err := keys.Rotate(ctx, db, authn.Rotate{Account: ada.Account.ID, Key: old.Key.ID, Actor: her, Overlap: 24 * time.Hour})
	check(err)
	fmt.Println("the same key:", next.Key.ID == old.Key.ID)

	try := func(what, secret string) {
		_, err := keys.Verify(ctx, db, secret, tenancy.Use)
		fmt.Printf("%s: %v\n", what, err)
	}
	try("the old secret", old.Secret)
	try("the new secret", next.Secret)
	now = now.Add(24 * time.Hour)
	try("the old secret, a day later", old.Secret)
	try("the new secret, a day later", next.Secret)
	// Output:
	// the same key: true
	// the old secret: <nil>
	// the new secret: <nil>
	// the old secret, a day later: the credential is not valid: the key is expired
	// the new secret, a day later: <nil>
}

// A person signs up and in.
func ExamplePasswords() {
	ctx := context.Background()
	accounts := tenancy.New(tenancy.Config{})
	db, closeDB := exampleDB(ctx, accounts)
	defer closeDB()

	passwords := authn.NewPasswords(accounts, authn.PasswordConfig{})
	signUp := tenancy.Register{Name: "Ada", Email: "ada@example.com"}
	_, err := passwords.Register(ctx, db, signUp, "password123")
	fmt.Println(errors.Is(err, authn.ErrWeakPassword))

	_, err = passwords.Register(ctx, db, signUp, "tall green giraffes")
	check(err)
	user, err := passwords.SignIn(ctx, db, authn.SignIn{Email: "Ada@example.com", Password: "tall green giraffes"})
	check(err)
	fmt.Println(user.Name)

	_, err = passwords.SignIn(ctx, db, authn.SignIn{Email: "ada@example.com", Password: "small grey mice"})
	fmt.Println(err)
	// Output:
	// true
	// Ada
	// the credential is not valid: the e-mail address or the password is wrong
}

// A worker gets calls from a queue. Each one carries a key, and there is no request.
func ExampleGuard_Enter() {
	ctx := context.Background()
	accounts := tenancy.New(tenancy.Config{})
	db, closeDB := exampleDB(ctx, accounts)
	defer closeDB()
	keys, err := authn.New(accounts, authn.Config{
		Peppers: []authn.Pepper{{ID: "2026", Secret: []byte(strings.Repeat("only for this example ", 2))}},
	})
	check(err)
	passwords := authn.NewPasswords(accounts, authn.PasswordConfig{})

	ada, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
	check(err)
	issued, err := keys.Issue(ctx, db, authn.Issue{
		Account: ada.Account.ID, Name: "worker", Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: string(ada.User.ID)},
	})
	check(err)

	for _, key := range []string{issued.Secret, "qr_live_made_up", ""} {
		var c authn.Credential // what a message without a key shows
		if key != "" {
			c = authn.Credential{Scheme: "bearer", Value: key}
		}
		entered, err := authn.NewGuard(accounts, authn.GuardConfig{}, keys, passwords).Enter(ctx, db, c, tenancy.Spend)
		if err != nil {
			fmt.Println(c, "refused:", err)
			continue
		}
		fmt.Println(c, "entered:", tenancy.From(entered).Account == ada.Account.ID)
	}
	// Output:
	// bearer credential entered: true
	// bearer credential refused: the credential is not valid
	// credential refused: this needs a credential: send an API key or sign in
}
