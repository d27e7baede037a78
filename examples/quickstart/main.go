// Quickstart is the whole library on one page: sign up and in, authenticate, throttle,
// spend credits, pay by bank transfer, on a real server and a SQLite file.
//
//	go run ./examples/quickstart
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/authn/tokens"
	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/examples/catalogue"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
	"github.com/quitrent/quitrent/tenancy/retention"
	"github.com/quitrent/quitrent/throttle"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on; port 0 takes a free one")
	file := flag.String("db", "quickstart.db", "the SQLite file; it is made if it is missing")
	ahead := flag.Duration("ahead", 0, "pretend that it is this much later: 360h and the trial is over")
	ensure := flag.Bool("ensure-free-trial", false, "create the free-trial plan, or update it if it differs, and exit")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("%q is no flag: see -help", flag.Arg(0))
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	db, err := open(ctx, *file)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if *ensure {
		err = ensureFreeTrial(ctx, db)
	} else {
		err = serve(ctx, db, *addr, *file, *ahead)
	}
	if err != nil {
		log.Fatal(err) // what was committed is safe: the file needs no closing
	}
}

func ensureFreeTrial(ctx context.Context, db *bun.DB) error {
	changed, err := tenancy.New(tenancy.Config{}).Ensure(ctx, db, catalogue.FreeTrial())
	if err == nil && len(changed) == 0 {
		fmt.Println("the plan free-trial is there already")
	} else if err == nil {
		fmt.Println("created or updated the plan free-trial")
	}
	return err
}

func serve(ctx context.Context, db *bun.DB, addr, file string, ahead time.Duration) error {
	now := func() time.Time { return time.Now().Add(ahead) }
	pepper, err := pepper(file + ".pepper")
	if err != nil {
		return err
	}
	token := rand.Text() + rand.Text()
	operator, err := authn.OperatorToken(token, "quickstart")
	if err != nil {
		return err
	}

	ledger := credits.New(credits.Config{
		Now: now, Pay: `POST /v1/billing/transfers with {"plan": "starter"}, signed in`,
	})
	accounts := tenancy.New(tenancy.Config{
		Now: now, Deliver: logEvent, OnRegister: []tenancy.Hook{ledger.OnRegister},
		OnChange:        []tenancy.ChangeHook{billing.Allotments(ledger)},
		RevocationBound: 10 * time.Second, // no other process: this one learns of its own changes at once
	})
	keys, err := authn.New(accounts, authn.Config{Now: now, Peppers: []authn.Pepper{pepper}})
	if err != nil {
		return err
	}
	passwords := authn.NewPasswords(accounts, authn.PasswordConfig{Now: now, SignUpAnswer: creditsOf(ledger)})
	people, err := sessions.New(accounts, sessions.Config{Now: now, PlainHTTPOnLoopback: true}) // only here is there no TLS
	if err != nil {
		return err
	}
	signing, err := signingKey()
	if err != nil {
		return err
	}
	access, err := tokens.New(accounts, tokens.Config{
		Now: now, Issuer: "quickstart", Audience: "quickstart", Keys: []tokens.Key{signing},
		From: authn.NewGuard(accounts, authn.GuardConfig{}, keys, people), // what a token is made of
	})
	if err != nil {
		return err
	}
	limiter := throttle.New(throttle.Config{Now: now})
	subscriptions, err := billing.New(accounts, ledger, billing.Config{
		Now: now, Bank: billing.Bank{Holder: "Quickstart Ltd", IBAN: "DE02 1203 0000 0000 2020 51", BIC: "BYLADEM1001"},
	})
	if err != nil {
		return err
	}
	if _, err := accounts.Ensure(ctx, db, catalogue.Plans()...); err != nil {
		return err
	}
	tables := ownedTables()
	if err := tables.Bind(ctx, db); err != nil {
		return err
	}
	keeper := retention.New(accounts, tables, retention.Config{
		Now: now, Lookups: slices.Concat(authn.Lookups(), billing.Lookups()),
	})

	// Which credentials open a route, and what the account must be able to do.
	guarded := func(need tenancy.Capability, h http.Handler, by ...authn.Authenticator) http.Handler {
		return authn.NewGuard(accounts, authn.GuardConfig{}, by...).Middleware(db, need)(limiter.Middleware(h))
	}
	byAny := func(need tenancy.Capability, h http.Handler) http.Handler {
		return guarded(need, h, keys, access, people, passwords)
	}
	byPerson := func(need tenancy.Capability, h http.Handler) http.Handler {
		return guarded(need, h, people, passwords)
	}
	person := authn.NewGuard(accounts, authn.GuardConfig{}, people, passwords).Person(db) // for whichever account
	v1 := http.NewServeMux()
	v1.Handle("/signup", passwords.SignUp(db, keys))
	for _, path := range []string{"/session", "/session/", "/sessions", "/sessions/"} {
		v1.Handle(path, people.Handler(db, passwords))
	}
	v1.Handle("POST /token", access.Handler(db))
	v1.Handle("POST /ideas", byAny(tenancy.Use, ideas(db, tables, ledger)))
	v1.Handle("GET /accounts", accounts.Person(db, person)) // which one to name in X-Account-ID
	v1.Handle("/account", byAny(tenancy.Read, accounts.Handler(db)))
	v1.Handle("/account/", byPerson(tenancy.SignIn|tenancy.Pay, accounts.Handler(db))) // members, closing
	v1.Handle("/account/export", byPerson(tenancy.Export, keeper.Handler(db)))
	v1.Handle("/credits/{list}", byAny(tenancy.Read, ledger.Handler(db)))
	v1.Handle("/keys", byPerson(tenancy.SignIn, keys.Handler(db)))
	v1.Handle("/keys/", byPerson(tenancy.SignIn, keys.Handler(db)))
	v1.Handle("/billing/{list}", byPerson(tenancy.Pay, subscriptions.Handler(db)))
	desk := http.NewServeMux()
	desk.Handle("/accounts", accounts.Operator(db, operator))
	desk.Handle("/accounts/{account}", accounts.Operator(db, operator))
	desk.Handle("/accounts/{account}/{verb}", accounts.Operator(db, operator))
	desk.Handle("/transfers", subscriptions.Operator(db, operator))
	desk.Handle("/transfers/{reference}", subscriptions.Operator(db, operator))
	desk.Handle("/transfers/{reference}/{verb}", subscriptions.Operator(db, operator))
	mux := http.NewServeMux()
	mux.Handle("/v1/", http.StripPrefix("/v1", v1))
	mux.Handle("/operator/", http.StripPrefix("/operator", desk))
	mux.Handle("/", site{db, accounts, passwords, people, keys, ledger, tables, limiter}.pages())

	server := &http.Server{
		Handler:           limiter.ByAddress(nil)(mux), // nil: no proxy stands before it
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w (another address: -addr 127.0.0.1:0)", err)
	}
	printTour("http://"+listener.Addr().String(), token, file)

	var background sync.WaitGroup
	background.Go(func() { _ = accounts.Run(ctx, db) }) // what is remembered, and events
	background.Go(func() { _ = keys.Run(ctx, db) })     // when keys were last used
	background.Go(func() { _ = people.Run(ctx, db) })   // deletes what is over
	background.Go(func() { _ = subscriptions.Run(ctx, db) })
	background.Go(func() { _ = keeper.Run(ctx, db) }) // erases what was closed 30 days ago
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
	fmt.Println("stopped; the data stays in", file)
	return nil
}

// ownedTables are those with rows of accounts: the library's, and the service's own.
func ownedTables() *owned.Tables {
	return owned.New(owned.Config{Tables: slices.Concat(
		retention.Tables(), credits.Tables(), authn.Tables(), billing.Tables(),
		[]owned.Table{{Model: (*order)(nil)}},
	)})
}

func logEvent(_ context.Context, e tenancy.Event) error {
	log.Printf("event %s of %s: %s", e.Kind, e.Account, e.Data)
	return nil
}

// creditsOf adds to the answer of a sign-up what the account can spend.
func creditsOf(ledger *credits.Ledger) func(context.Context, bun.IDB, tenancy.Registered) (map[string]any, error) {
	return func(ctx context.Context, db bun.IDB, r tenancy.Registered) (map[string]any, error) {
		b, err := ledger.Balance(ctx, db, r.Account.ID)
		return map[string]any{"credits": b.Spendable}, err
	}
}
