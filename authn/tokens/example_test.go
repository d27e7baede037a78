package tokens_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/tokens"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A worker is given a token of a key for a minute of reading. It ends with the account.
func Example() {
	ctx := context.Background()
	accounts := tenancy.New(tenancy.Config{})
	dir, err := os.MkdirTemp("", "tokens")
	check(err)
	db, err := dbtest.Open("file:" + filepath.Join(dir, "example.db"))
	check(err)
	defer func() { check(errors.Join(db.Close(), os.RemoveAll(dir))) }()
	check(authn.Migrate(ctx, db))
	_, err = accounts.Ensure(ctx, db, tenancy.Plan{Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, TrialDays: 14})
	check(err)

	keys, err := authn.New(accounts, authn.Config{
		Peppers: []authn.Pepper{{ID: "2026", Secret: []byte(strings.Repeat("only for this example ", 2))}},
	})
	check(err)
	seed := []byte("32 random bytes out of the vault") // only for this example
	access, err := tokens.New(accounts, tokens.Config{
		Issuer: "https://api.example.com", Audience: "https://api.example.com",
		Keys: []tokens.Key{{ID: "2026-03", Private: ed25519.NewKeyFromSeed(seed)}},
		From: authn.NewGuard(accounts, authn.GuardConfig{}, keys),
	})
	check(err)
	guard := authn.NewGuard(accounts, authn.GuardConfig{}, keys, access)
	server := guard.Middleware(db, tenancy.Read)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("hello,", tenancy.From(r.Context()).Actor.Kind)
	}))

	ada, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
	check(err)
	issued, err := keys.Issue(ctx, db, authn.Issue{
		Account: ada.Account.ID, Name: "dispatcher", Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: string(ada.User.ID)},
	})
	check(err)
	made, err := access.Mint(ctx, db, tokens.Mint{
		Credential: authn.Credential{Scheme: "bearer", Value: issued.Secret}, May: tenancy.Read,
	})
	check(err)

	call := func() {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+made.Token)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	call()
	// Something is taken away from the account: what was made before is over.
	check(db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		return accounts.Changed(ctx, tx, ada.Account.ID.Subject())
	}))
	call()
	// Output:
	// hello, key
	// 200
	// 401
}
