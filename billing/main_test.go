package billing_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) {
	dbtest.Main(m, map[string]dbtest.ChildFunc{"confirm": confirmChild, "confirm and hang": confirmAndHangChild, "confirm and sweep": confirmAndSweepChild, "allot all": allotAllChild})
}

// t0 is when most tests begin. It has microseconds, which both databases keep.
var t0 = time.Date(2026, 1, 31, 9, 0, 0, 123456000, time.UTC)

var (
	operator = tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}
	customer = tenancy.Actor{Kind: tenancy.ActorUser, ID: "usr_1"}
	bank     = billing.Bank{Holder: "Quitrent Ltd", IBAN: "DE02 1203 0000 0000 2020 51", BIC: "BYLADEM1001"}
)

// growth is a plan that is sold in several ways.
var growth = tenancy.Plan{
	Slug: "growth", Name: "Growth", Active: true, MonthlyCredits: 2000,
	Prices: []tenancy.Price{
		{Currency: "USD", Interval: tenancy.Monthly, Amount: 13900},
		{Currency: "USD", Interval: tenancy.Yearly, Amount: 139000},
		{Currency: "EUR", Interval: tenancy.Monthly, Amount: 12900},
		{Currency: "JPY", Interval: tenancy.Monthly, Amount: 0},
	},
}

// world is everything on one database and one clock.
type world struct {
	db       *bun.DB
	clock    *tenancytest.Clock
	accounts *tenancy.Accounts
	ledger   *credits.Ledger
	billing  *billing.Subscriptions
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) { fn(t, newWorld(t, db, billing.Config{})) }, billing.Migrate)
}

func newWorld(t testing.TB, db *bun.DB, cfg billing.Config) *world {
	t.Helper()
	w := build(db, cfg)
	if _, err := w.accounts.Ensure(t.Context(), db, append(tenancytest.Plans(), growth)...); err != nil {
		t.Fatal(err)
	}
	return w
}

// build makes the nouns alone, for a process of its own too.
func build(db *bun.DB, cfg billing.Config) *world {
	w := &world{db: db, clock: tenancytest.NewClock(t0)}
	w.ledger = credits.New(credits.Config{Now: w.clock.Now})
	w.accounts = tenancy.New(tenancy.Config{
		Now: w.clock.Now, OnRegister: []func(context.Context, bun.IDB, tenancy.Registered) error{w.ledger.OnRegister},
		OnChange: []tenancy.ChangeHook{billing.Allotments(w.ledger)},
	})
	cfg.Now, cfg.Bank = w.clock.Now, bank
	var err error
	if w.billing, err = billing.New(w.accounts, w.ledger, cfg); err != nil {
		panic(err)
	}
	return w
}

// with is the world with other billing on the same database and clock.
func (w *world) with(t *testing.T, cfg billing.Config) *world {
	t.Helper()
	other := *w
	cfg.Now, cfg.Bank = w.clock.Now, bank
	var err error
	if other.billing, err = billing.New(w.accounts, w.ledger, cfg); err != nil {
		t.Fatal(err)
	}
	return &other
}

// account signs one up: on trial for 14 days, with 2,000 credits.
func (w *world) account(t testing.TB) tenancy.AccountID { return w.accountIn(t, "") }

func (w *world) accountIn(t testing.TB, zone string) tenancy.AccountID {
	t.Helper()
	r, err := w.accounts.Register(t.Context(), w.db, tenancy.Register{
		Name: "Ada", Email: fmt.Sprintf("ada%d@example.com", nextEmail()), Zone: zone,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.Account.ID
}

var nextEmail = func() func() int {
	var mu sync.Mutex
	n := 0
	return func() int { mu.Lock(); defer mu.Unlock(); n++; return n }
}()

func (w *world) request(t testing.TB, account tenancy.AccountID, plan string) billing.Transfer {
	t.Helper()
	tr, err := w.billing.RequestTransfer(t.Context(), w.db, billing.RequestTransfer{Account: account, Plan: plan, Actor: customer})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func (w *world) confirm(t testing.TB, reference string) billing.Transfer {
	t.Helper()
	tr, err := w.billing.ConfirmTransfer(t.Context(), w.db, confirmation(reference))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func confirmation(reference string) billing.ConfirmTransfer {
	return billing.ConfirmTransfer{Reference: reference, Actor: operator, Reason: "statement 7, line 12"}
}

func rejection(reference string) billing.RejectTransfer {
	return billing.RejectTransfer{Reference: reference, Actor: operator, Reason: "sent back"}
}

// pay asks for a plan and confirms the transfer.
func (w *world) pay(t testing.TB, account tenancy.AccountID, plan string) billing.Transfer {
	t.Helper()
	return w.confirm(t, w.request(t, account, plan).Reference)
}

func (w *world) subscription(t testing.TB, account tenancy.AccountID) billing.Subscription {
	t.Helper()
	s, err := w.billing.Subscription(t.Context(), w.db, account)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) get(t testing.TB, account tenancy.AccountID) tenancy.Account {
	t.Helper()
	a, err := w.accounts.Get(t.Context(), w.db, account)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (w *world) change(t testing.TB, c tenancy.Change) {
	t.Helper()
	c.Actor = operator
	if _, err := w.accounts.Change(t.Context(), w.db, c); err != nil {
		t.Fatal(err)
	}
}

// lapse is one round of LapseDue, which must find n.
func (w *world) lapse(t testing.TB, n int) {
	t.Helper()
	if got, err := w.billing.LapseDue(t.Context(), w.db); got != n || err != nil {
		t.Fatalf("lapsed %d (%v), want %d", got, err, n)
	}
}

// status fails unless the account has the status.
func (w *world) status(t testing.TB, account tenancy.AccountID, want tenancy.Status) {
	t.Helper()
	if a := w.get(t, account); a.Status != want {
		t.Errorf("the account is %s, want %s", a.Status, want)
	}
}

func (w *world) spendable(t testing.TB, account tenancy.AccountID, want int64) {
	t.Helper()
	creditstest.RequireBalance(t, w.ledger, w.db, account, want)
	creditstest.RequireSound(t, w.ledger, w.db, account)
}

// grants counts the entries that a transfer has made.
func (w *world) grants(t testing.TB, transfer billing.Transfer) (n int) {
	t.Helper()
	err := w.db.NewRaw("SELECT COUNT(*) FROM credits_entries WHERE account_id = ? AND key = ?", transfer.Account, "quitrent:transfer:"+transfer.ID).Scan(t.Context(), &n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (w *world) kinds(t testing.TB, account tenancy.AccountID) (kinds []string) {
	t.Helper()
	for _, e := range tenancytest.Events(t, w.db, account) {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func same[T any](t testing.TB, what string, want, got T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

var tables = []string{
	"tenancy_plans", "tenancy_accounts", "tenancy_users", "tenancy_members", "tenancy_member_roles", "tenancy_events",
	"tenancy_deliveries", "tenancy_audit", "credits_accounts", "credits_grants", "credits_entries", "credits_splits",
	"credits_keys", "credits_allotments", "billing_accounts", "billing_subscriptions", "billing_transfers", "billing_references",
}

// content is every row of the given tables, or of all.
func content(t testing.TB, db bun.IDB, names ...string) map[string][]string {
	t.Helper()
	if names == nil {
		names = tables
	}
	all := map[string][]string{}
	for _, table := range names {
		var rows []map[string]any
		if err := db.NewRaw("SELECT * FROM ?", bun.Ident(table)).Scan(t.Context(), &rows); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			all[table] = append(all[table], fmt.Sprint(r)) // fmt sorts the columns
		}
		slices.Sort(all[table])
	}
	return all
}

// unchanged fails when fn writes anything anywhere.
func unchanged(t testing.TB, db bun.IDB, what string, fn func()) {
	t.Helper()
	before := content(t, db)
	fn()
	if d := cmp.Diff(before, content(t, db)); d != "" {
		t.Errorf("%s wrote something (-before +after):\n%s", what, d)
	}
}

// refused runs fn in a transaction of the host's, which takes its error for the
// refusal that it is and commits: nothing may be left of it, and the transaction
// must be usable after it.
func (w *world) refused(t *testing.T, what string, want error, fn func(tx bun.IDB) error) {
	t.Helper()
	unchanged(t, w.db, what, func() {
		tx, err := w.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		wantErr(t, what, fn(tx), want)
		var one int
		if err := tx.NewRaw("SELECT 1").Scan(t.Context(), &one); err != nil {
			t.Errorf("%s: the transaction is not usable: %v", what, err)
		}
		if err := tx.Commit(); err != nil {
			t.Errorf("%s: commit: %v", what, err)
		}
	})
}

// confirmChild confirms one transfer from 25 goroutines and says how often that
// went well.
func confirmChild(ctx context.Context, db *bun.DB, args []string) error {
	w := build(db, billing.Config{})
	errs := dbtest.Together(25, func(int) error {
		_, err := w.billing.ConfirmTransfer(ctx, db, confirmation(args[0]))
		return err
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Print(len(errs))
	return nil
}

// confirmAndHangChild confirms in a transaction that it never commits.
func confirmAndHangChild(ctx context.Context, db *bun.DB, args []string) error {
	w := build(db, billing.Config{})
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := w.billing.ConfirmTransfer(ctx, tx, confirmation(args[0])); err != nil {
		return err
	}
	fmt.Println("confirmed")
	select {}
}
