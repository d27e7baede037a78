package credits_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
)

// A chat may cost up to fifty credits, and costs one a word.
func ExampleLedger_MiddlewareFor() {
	pool, err := sql.Open("sqlite", ":memory:?_txlock=immediate&_pragma=foreign_keys(1)")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	pool.SetMaxOpenConns(1) // each would be another memory
	db := bun.NewDB(pool, sqlitedialect.New())
	ctx := context.Background()
	if err := credits.Migrate(ctx, db); err != nil {
		log.Fatal(err)
	}
	ledger := credits.New(credits.Config{})
	if _, err := ledger.Grant(ctx, db, credits.Grant{Account: "shop-7", Amount: 100, Key: "invoice:4711"}); err != nil {
		log.Fatal(err)
	}

	chat := func(w http.ResponseWriter, r *http.Request) {
		meter := credits.MeterFrom(r.Context())
		for word := range strings.FieldsSeq("Rent is due, and nothing else.") {
			if err := meter.Add(1); err != nil {
				log.Print(err)
				return
			}
			_, _ = fmt.Fprint(w, word, " ")
			_ = http.NewResponseController(w).Flush()
		}
	}
	charge := credits.Charge{Cost: credits.Fixed(50), Metered: true, Operation: "chat"}
	server := httptest.NewServer(entering(db, "shop-7", ledger.MiddlewareFor(db, charge)(http.HandlerFunc(chat))))
	defer server.Close()

	res, err := http.Get(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	fmt.Println("held:", res.Header.Get(credits.HeaderCost), "left:", res.Header.Get(credits.HeaderRemaining))
	body, err := io.ReadAll(res.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.TrimSpace(string(body)))
	fmt.Println("cost:", res.Trailer.Get(credits.HeaderCost), "left:", res.Trailer.Get(credits.HeaderRemaining))

	// Output:
	// held: 50 left: 50
	// Rent is due, and nothing else.
	// cost: 6 left: 94
}

// entering stands for authn's middleware, which finds the account by its credential. The
// host has a table of accounts of its own.
func entering(db *bun.DB, account tenancy.AccountID, next http.Handler) http.Handler {
	accounts := tenancy.New(tenancy.Config{
		Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
			return tenancy.State{Status: tenancy.StatusActive}, tenancy.Plan{Slug: "starter", Active: true}, nil
		},
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := accounts.Enter(r.Context(), db, account, tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_ada"}, tenancy.Use)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
