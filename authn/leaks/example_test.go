package leaks_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/leaks"
	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
)

// A key is found in a repository. Its owner is told, and it opens nothing any more.
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
	keys, err := authn.New(accounts, authn.Config{Peppers: []authn.Pepper{{ID: "1", Secret: bytes.Repeat([]byte("x"), 32)}}})
	check(err)
	issued, err := keys.Issue(ctx, db, authn.Issue{
		Account: ada.Account.ID, Name: "build server", Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: string(ada.User.ID)},
	})
	check(err)

	// A scanner in the host's own pipeline shows a token. For GitHub, leave Scanner and
	// Verify out.
	verify, err := leaks.Bearer("a-token-of-32-random-characters-")
	check(err)
	reports, err := leaks.New(keys, leaks.Config{
		Scanner: "pipeline", Verify: verify,
		Notify: func(_ context.Context, leak authn.Leak) error {
			fmt.Printf("to the owner of %q: found in %s, revoked: %t\n", leak.Key.Name, leak.URL, leak.Revoked)
			return nil
		},
	})
	check(err)

	for _, found := range []string{issued.Secret, issued.Secret[:20] + strings.Repeat("x", 36)} {
		r := httptest.NewRequest("POST", "/hooks/leaked-keys", strings.NewReader(
			`[{"token": "`+found+`", "type": "key", "url": "https://git.example/ada/app/.env#L3"}]`))
		r.Header.Set("Authorization", "Bearer a-token-of-32-random-characters-")
		w := httptest.NewRecorder()
		reports.Handler(db).ServeHTTP(w, r)
		fmt.Println(w.Code, strings.Contains(w.Body.String(), `"label":"true_positive"`))
	}
	_, err = keys.Verify(ctx, db, issued.Secret, tenancy.Read)
	fmt.Println(err)
	// Output:
	// to the owner of "build server": found in https://git.example/ada/app/.env, revoked: true
	// 200 true
	// 200 false
	// the credential is not valid: the key is revoked
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
