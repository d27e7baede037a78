// Ownaccounts is a host that keeps its customers where it always did: in a table
// of its own, with a bigint for a key, words of its own for their standing and
// tiers instead of plans. It uses credits and throttle through a tenancy.Loader.
//
//	go run -C examples/ownaccounts .
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite" // the database driver is the host's choice

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/throttle"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("ownaccounts", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8081", "address to listen on; port 0 takes a free one")
	file := flags.String("db", "ownaccounts.db", "the SQLite file; it is made if it is missing")
	bar := flags.Int64("bar", 0, "bar the customer of this number, and exit")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pool, err := sql.Open("sqlite", "file:"+(&url.URL{Path: *file}).EscapedPath()+"?_txlock=immediate&_pragma=busy_timeout(10000)"+
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)")
	if err != nil {
		return err
	}
	db := bun.NewDB(pool, sqlitedialect.New())
	defer func() { _ = db.Close() }()
	if err := migrate(ctx, db); err != nil {
		return fmt.Errorf("%s: %w", *file, err)
	}
	accounts := tenancy.New(tenancy.Config{Loader: load, LoaderAnnounces: true}) // see change
	if *bar != 0 {
		return change(ctx, db, accounts, *bar, func(c *customer) { c.Standing = "barred" })
	}
	ledger := credits.New(credits.Config{})
	handler := routes(db, accounts, ledger, time.Now)

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *addr)
	if err != nil {
		return err
	}
	id, token, err := add(ctx, db, ledger, customer{Company: "Babel & Sons", Standing: "good", Tier: "bureau"})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, `A new customer of the tier bureau has %d credits:

curl -i http://%[2]s/translations -H 'Authorization: Bearer %[3]s' -d '{"name": "greeting", "text": "good morning"}'
curl -i http://%[2]s/translations -H 'Authorization: Bearer %[3]s'
curl -i http://%[2]s/credits/entries -H 'Authorization: Bearer %[3]s'

Bar it: this process learns of it within a second.

go run -C examples/ownaccounts . -db %[4]q -bar %[5]d
`, welcome, listener.Addr(), token, *file, id)

	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second}
	var background sync.WaitGroup
	background.Go(func() { _ = accounts.Run(ctx, db) }) // reads what has changed, so that load is asked less often
	background.Go(func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(grace)
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	background.Wait()
	return nil
}

// migrate makes the agency's tables and those of the ledger beside them.
func migrate(ctx context.Context, db *bun.DB) error {
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return err
	}
	return credits.Migrate(ctx, db)
}

// routes is the service: a stranger's pace, who it is, whether that customer may,
// the customer's own pace, and then the work.
func routes(db *bun.DB, accounts *tenancy.Accounts, ledger *credits.Ledger, now func() time.Time) http.Handler {
	limiter := throttle.New(throttle.Config{Now: now})
	guarded := func(need tenancy.Capability, h http.Handler) http.Handler {
		return signIn(db)(accounts.Middleware(db, who, need)(limiter.Middleware(h)))
	}
	mux := http.NewServeMux()
	mux.Handle("POST /translations", guarded(tenancy.Use, translate(db, ledger)))
	mux.Handle("GET /translations", guarded(tenancy.Read, translations(db)))
	mux.Handle("/credits/", guarded(tenancy.Read, ledger.Handler(db)))
	return limiter.ByAddress(nil)(mux)
}
