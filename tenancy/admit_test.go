package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// The host's own tables.
func siteTables(ctx context.Context, db *bun.DB) error {
	for _, q := range []string{
		"CREATE TABLE sites (account_id TEXT NOT NULL, site TEXT NOT NULL, PRIMARY KEY (account_id, site))",
		"CREATE TABLE sectors (account_id TEXT NOT NULL, site TEXT NOT NULL, sector TEXT NOT NULL, PRIMARY KEY (account_id, site, sector))",
	} {
		if _, err := db.NewRaw(q).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// addSite is a host's handler: it asks for room and inserts.
func addSite(ctx context.Context, db *bun.DB, accounts *tenancy.Accounts, account tenancy.AccountID, site string) error {
	return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		err := accounts.Admit(ctx, tx, tenancy.Admit{
			Account: account, Limit: "sites",
			Count: func(ctx context.Context, db bun.IDB) (int64, error) {
				return db.NewSelect().Table("sites").Where("account_id = ?", account).Count(ctx)
			},
		})
		if err != nil {
			return err
		}
		_, err = tx.NewRaw("INSERT INTO sites (account_id, site) VALUES (?, ?)", account, site).Exec(ctx)
		return err
	})
}

func addSector(ctx context.Context, db *bun.DB, accounts *tenancy.Accounts, account tenancy.AccountID, site, sector string) error {
	return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		err := accounts.Admit(ctx, tx, tenancy.Admit{
			Account: account, Limit: "sectors_per_site",
			Count: func(ctx context.Context, db bun.IDB) (int64, error) {
				return db.NewSelect().Table("sectors").Where("account_id = ? AND site = ?", account, site).Count(ctx)
			},
		})
		if err != nil {
			return err
		}
		_, err = tx.NewRaw("INSERT INTO sectors (account_id, site, sector) VALUES (?, ?, ?)", account, site, sector).Exec(ctx)
		return err
	})
}

// admitChild creates five sites at once and prints how many it made.
func admitChild(ctx context.Context, db *bun.DB, args []string) error {
	accounts := tenancy.New(tenancy.Config{})
	made := 0
	for _, err := range dbtest.Together(5, func(i int) error {
		return addSite(ctx, db, accounts, tenancy.AccountID(args[0]), fmt.Sprintf("%s-%d", args[1], i))
	}) {
		switch {
		case err == nil:
			made++
		case !errors.Is(err, tenancy.ErrLimit):
			return err
		}
	}
	fmt.Print(made)
	return nil
}

func TestM10_Admit_TwoProcessesAtTheLimitMakeOne(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := onLarge(t, db, accounts)
		for _, site := range []string{"one", "two"} { // of three
			if err := addSite(t.Context(), db, accounts, id, site); err != nil {
				t.Fatal(err)
			}
		}
		a := dbtest.Spawn(t, "admit", dbtest.DSN(db), string(id), "a")
		b := dbtest.Spawn(t, "admit", dbtest.DSN(db), string(id), "b")
		a.Go()
		b.Go()
		sum := 0
		for _, out := range []string{a.Wait(), b.Wait()} {
			n, err := strconv.Atoi(out)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		n, err := db.NewSelect().Table("sites").Count(t.Context())
		if sum != 1 || n != 3 || err != nil {
			t.Errorf("the processes made %d, there are %d of 3 sites, %v", sum, n, err)
		}
	}, tenancy.Migrate, siteTables)
}

func TestM10_Admit_CountsWhatTheLimitIsOf(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := onLarge(t, db, accounts)
		other := tenancytest.Register(t, db, accounts, "eve@example.com").Account.ID // on a plan that limits no sites
		add := func(id tenancy.AccountID, site string, want error) {
			t.Helper()
			err := addSite(t.Context(), db, accounts, id, site)
			wantErr(t, site, err, want)
			if want != nil && !strings.HasSuffix(err.Error(), ": 3 sites") {
				t.Errorf("it says %q", err)
			}
		}
		for i := range 5 {
			add(other, fmt.Sprint("other", i), nil)
		}
		for _, site := range []string{"one", "two", "three"} {
			add(id, site, nil)
		}
		add(id, "four", tenancy.ErrLimit)

		// The sectors of one site are not those of another.
		if _, err := accounts.Override(t.Context(), db, tenancy.Override{Account: id, Limits: map[string]int64{"sectors_per_site": 1}, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			site, sector string
			want         error
		}{{"one", "a", nil}, {"two", "a", nil}, {"one", "b", tenancy.ErrLimit}, {"two", "b", tenancy.ErrLimit}, {"three", "a", nil}} {
			wantErr(t, c.site+c.sector, addSector(t.Context(), db, accounts, id, c.site, c.sector), c.want)
		}

		// An override counts, also one that leaves fewer than there are.
		for _, c := range []struct {
			o    tenancy.Override
			want error
		}{
			{tenancy.Override{Limits: map[string]int64{"sites": 4}}, nil}, // the fourth
			{tenancy.Override{Limits: map[string]int64{"sites": 1}}, tenancy.ErrLimit},
			{tenancy.Override{Unlimited: []string{"sites"}}, nil},
			{tenancy.Override{Clear: []string{"sites"}}, tenancy.ErrLimit},
		} {
			c.o.Account, c.o.Actor = id, operator
			if _, err := accounts.Override(t.Context(), db, c.o); err != nil {
				t.Fatal(err)
			}
			wantErr(t, fmt.Sprintf("%+v", c.o), addSite(t.Context(), db, accounts, id, fmt.Sprintf("%+v", c.o)), c.want)
		}
	}, tenancy.Migrate, siteTables)
}

func TestM10_AddMember_SeatsAreThoseOfThePlanAndTheOverride(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := onLarge(t, db, accounts) // 2 users
		add := func(email string, want error) {
			t.Helper()
			_, err := accounts.AddMember(t.Context(), db, tenancy.AddMember{Account: id, User: createUser(t, db, accounts, email), Roles: viewer, Actor: operator})
			wantErr(t, email, err, want)
		}
		override := func(o tenancy.Override) {
			t.Helper()
			o.Account, o.Actor = id, operator
			if _, err := accounts.Override(t.Context(), db, o); err != nil {
				t.Fatal(err)
			}
		}
		add("two@example.com", nil)
		add("three@example.com", tenancy.ErrLimit)
		override(tenancy.Override{Limits: map[string]int64{tenancy.LimitUsers: 3}})
		add("four@example.com", nil)
		add("five@example.com", tenancy.ErrLimit)
		override(tenancy.Override{Unlimited: []string{tenancy.LimitUsers}})
		add("six@example.com", nil)
		override(tenancy.Override{Clear: []string{tenancy.LimitUsers}})
		add("seven@example.com", tenancy.ErrLimit)
		if _, err := db.NewRaw("DELETE FROM tenancy_plans").Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		add("eight@example.com", tenancy.ErrNoPlan)
	})
}

func TestM10_Admit_RefusalsAndNumbers(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := onLarge(t, db, accounts)
		closed := tenancytest.Register(t, db, accounts, "eve@example.com").Account.ID
		if _, err := accounts.Close(t.Context(), db, tenancy.Close{Account: closed, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		down := errors.New("down")
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		there := func(n int64, err error) func(context.Context, bun.IDB) (int64, error) {
			return func(_ context.Context, got bun.IDB) (int64, error) {
				if got != tx {
					t.Errorf("counted on %T", got)
				}
				return n, err
			}
		}
		for _, c := range []struct {
			what string
			adm  tenancy.Admit
			want error
		}{
			{"none yet", tenancy.Admit{Account: id, Limit: "sites", Count: there(0, nil)}, nil},
			{"the last", tenancy.Admit{Account: id, Limit: "sites", Count: there(2, nil)}, nil},
			{"one too many", tenancy.Admit{Account: id, Limit: "sites", Count: there(3, nil)}, tenancy.ErrLimit},
			{"more than there may be", tenancy.Admit{Account: id, Limit: "sites", Count: there(math.MaxInt64, nil)}, tenancy.ErrLimit},
			{"three at once", tenancy.Admit{Account: id, Limit: "sites", Adding: 3, Count: there(0, nil)}, nil},
			{"three where two have room", tenancy.Admit{Account: id, Limit: "sites", Adding: 3, Count: there(1, nil)}, tenancy.ErrLimit},
			{"more than a number holds", tenancy.Admit{Account: id, Limit: "sites", Adding: math.MaxInt64, Count: there(math.MaxInt64, nil)}, tenancy.ErrLimit},
			{"fewer than none", tenancy.Admit{Account: id, Limit: "sites", Adding: -1, Count: there(0, nil)}, tenancy.ErrInvalid},
			{"no account", tenancy.Admit{Account: "acc_none", Limit: "sites", Count: there(0, nil)}, tenancy.ErrNoAccount},
			{"no account's id", tenancy.Admit{Account: "a b", Limit: "sites", Count: there(0, nil)}, tenancy.ErrNoAccount},
			{"a closed account", tenancy.Admit{Account: closed, Limit: "sites", Count: there(0, nil)}, tenancy.ErrNoAccount},
			{"a count that failed", tenancy.Admit{Account: id, Limit: "sites", Count: there(0, down)}, down},
			{"what is not limited is not counted", tenancy.Admit{Account: id, Limit: "pages", Count: there(0, down)}, nil},
		} {
			wantErr(t, c.what, accounts.Admit(t.Context(), tx, c.adm), c.want)
		}
		mistake := func(what string, err error) {
			t.Helper()
			for _, refusal := range []error{tenancy.ErrLimit, tenancy.ErrInvalid, tenancy.ErrNoAccount} {
				if err == nil || errors.Is(err, refusal) {
					t.Errorf("%s: %v", what, err)
				}
			}
		}
		mistake("a negative count", accounts.Admit(t.Context(), tx, tenancy.Admit{Account: id, Limit: "sites", Count: there(-1, nil)}))
		mistake("no limit", accounts.Admit(t.Context(), tx, tenancy.Admit{Account: id, Count: there(0, nil)}))
		mistake("no count", accounts.Admit(t.Context(), tx, tenancy.Admit{Account: id, Limit: "sites"}))
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		for _, pool := range []bun.IDB{db, conn} {
			mistake(fmt.Sprintf("on a %T", pool), accounts.Admit(t.Context(), pool, tenancy.Admit{
				Account: id, Limit: "sites", Count: func(context.Context, bun.IDB) (int64, error) { return 0, nil },
			}))
		}
	})
}
