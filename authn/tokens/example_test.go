package tokens_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
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

// An identity provider signs people in: its tokens open the accounts of the users whose
// addresses both sides have verified.
func ExampleExternal() {
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
	ada, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
	check(err)

	// The provider: it publishes one key, and signs with it.
	signs := ed25519.NewKeyFromSeed([]byte("32 bytes of the provider's own..")) // only for this example
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		x := base64.RawURLEncoding.EncodeToString(signs.Public().(ed25519.PublicKey))
		_, _ = fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","use":"sig","x":%q}]}`, x)
	}))
	defer provider.Close()
	token := func(audience string) string {
		t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
			"iss": "https://id.example.com", "aud": audience, "sub": "ada", "exp": time.Now().Add(time.Minute).Unix(),
			"email": "ada@example.com", "email_verified": true,
		})
		t.Header["kid"] = "1"
		signed, err := t.SignedString(signs)
		check(err)
		return signed
	}

	external, err := tokens.NewExternal(tokens.ExternalConfig{
		Issuer: "https://id.example.com", Audience: "https://api.example.com", JWKSURL: provider.URL, Map: tokens.VerifiedEmail(accounts),
	})
	check(err)
	guard := authn.NewGuard(accounts, authn.GuardConfig{}, external)
	call := func(what, token string) {
		scope, err := guard.Check(ctx, db, authn.Credential{Scheme: "bearer", Value: token}, tenancy.Read)
		fmt.Println(what, scope.Account == ada.Account.ID, err)
	}
	call("before her address is verified here:", token("https://api.example.com"))
	_, err = accounts.MarkVerified(ctx, db, tenancy.MarkVerified{
		User: ada.User.ID, Email: ada.User.Email, Actor: tenancy.Actor{Kind: tenancy.ActorSystem, ID: "import"},
	})
	check(err)
	call("after it:", token("https://api.example.com"))
	call("one for another service:", token("https://shop.example.com"))
	// Output:
	// before her address is verified here: false the e-mail address is not verified: ask for a mail and follow the link in it
	// after it: true <nil>
	// one for another service: false the credential is not valid
}
