// Minimal is the program on the first page of the README.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/throttle"
)

func main() {
	ctx := context.Background()
	pool, err := sql.Open("sqlite", "file:app.db?_txlock=immediate&_pragma=busy_timeout(10000)"+
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)")
	check(err)
	pool.SetMaxOpenConns(1) // SQLite has one writer: wait in turn
	db := bun.NewDB(pool, sqlitedialect.New())
	check(errors.Join(tenancy.Migrate(ctx, db), credits.Migrate(ctx, db), authn.Migrate(ctx, db)))

	ledger := credits.New(credits.Config{})
	accounts := tenancy.New(tenancy.Config{OnRegister: []tenancy.Hook{ledger.OnRegister}})
	keys, err := authn.New(accounts, authn.Config{
		Peppers: []authn.Pepper{{ID: "1", Secret: []byte(os.Getenv("APP_PEPPER"))}}, // 32 random bytes
	})
	check(err)
	passwords := authn.NewPasswords(accounts, authn.PasswordConfig{})
	limiter := throttle.New(throttle.Config{})
	_, err = accounts.Ensure(ctx, db, tenancy.Plan{
		Slug: "free-trial", Name: "Free trial", Active: true,
		TrialDays: 14, MonthlyCredits: 2000, Rate: 5, Burst: 20,
	})
	check(err)
	go accounts.Run(ctx, db) // lets a check be answered from memory
	go keys.Run(ctx, db)     // notes when keys were last used

	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello,", tenancy.From(r.Context()).Account)
	})
	mux := http.NewServeMux()
	mux.Handle("POST /signup", passwords.SignUp(db, keys)) // answers with an API key, once
	mux.Handle("GET /hello",
		keys.Middleware(db, tenancy.Use)( // who is calling, and may the account do this?
			limiter.Middleware( // not too fast
				ledger.Middleware(db, credits.Fixed(5))( // five credits a call
					hello))))
	log.Println("listening on http://127.0.0.1:8080")
	server := &http.Server{
		Addr: "127.0.0.1:8080", Handler: limiter.ByAddress(nil)(mux), ReadTimeout: 30 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
