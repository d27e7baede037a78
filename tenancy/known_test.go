package tenancy_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/changes"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// statements counts what a handle asks of the database.
type statements struct{ n atomic.Int64 }

func (s *statements) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (s *statements) AfterQuery(context.Context, *bun.QueryEvent) { s.n.Add(1) }

// stall keeps a handle from reading the changes while it is on.
type stall struct{ on atomic.Bool }

func (s *stall) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if s.on.Load() && strings.HasPrefix(e.Query, "SELECT subject, version FROM") {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		return ended
	}
	return ctx
}

func (s *stall) AfterQuery(context.Context, *bun.QueryEvent) {}

// server is a process that serves: Accounts that remember what they read of db.
type server struct {
	*tenancy.Accounts
	t       *testing.T
	db      *bun.DB // whose statements are counted
	pool    *bun.DB
	asked   *statements
	stalled *stall
	stop    func()
}

// unheard is a bound within which a process learns of nothing that it does not do
// itself, however slow the machine is.
const unheard = time.Hour

// serve starts Run on db, and waits until it has read.
func serve(t *testing.T, db *bun.DB, cfg tenancy.Config) *server {
	t.Helper()
	s := &server{Accounts: tenancy.New(cfg), t: t, pool: db, asked: &statements{}, stalled: &stall{}}
	s.db = db.WithQueryHook(s.asked)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.Run(ctx, db.WithQueryHook(s.stalled)); err != nil {
			t.Error(err)
		}
	}()
	s.stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(s.stop)
	s.awaitReading()
	return s
}

func (s *server) awaitReading() {
	for !s.Feed().Fresh(s.db, changes.Now()) {
		runtime.Gosched()
	}
}

// validate asks whether the account may be used, and says how many statements it took.
func (s *server) validate(account tenancy.AccountID) (tenancy.Scope, int64, error) {
	before := s.asked.n.Load()
	scope, err := s.Validate(s.t.Context(), s.db, tenancy.Principal{Account: account, Actor: person}, 0)
	return scope, s.asked.n.Load() - before, err
}

// wants validates the account twice: the first time costs so many statements, and the
// second as many, unless it is remembered by then.
func (s *server) wants(what string, account tenancy.AccountID, want error, first int64, remembered bool) tenancy.Scope {
	s.t.Helper()
	second := first
	if remembered {
		second = 0
	}
	var scope tenancy.Scope
	for i, cost := range []int64{first, second} {
		got, n, err := s.validate(account)
		wantErr(s.t, what, err, want)
		if n != cost {
			s.t.Errorf("%s: question %d took %d statements, want %d", what, i+1, n, cost)
		}
		scope = got
	}
	return scope
}

func (s *server) read() {
	s.t.Helper()
	if err := s.Feed().Poll(s.t.Context(), s.pool); err != nil {
		s.t.Fatal(err)
	}
}

// register signs up, and reads what that has changed.
func (s *server) register(email string) tenancy.AccountID {
	s.t.Helper()
	r := tenancytest.Register(s.t, s.pool, s.Accounts, email)
	s.read()
	return r.Account.ID
}

func (s *server) ensure(plans ...tenancy.Plan) {
	s.t.Helper()
	if _, err := s.Ensure(s.t.Context(), s.pool, plans...); err != nil {
		s.t.Fatal(err)
	}
}

func TestM2_ValidateCostsNothingWhileNothingChanges(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		clock := tenancytest.NewClock(t0)
		s := serve(t, db, tenancy.Config{RevocationBound: unheard, Now: clock.Now})
		ada := s.register("ada@example.com")
		s.wants("a trial", ada, nil, 1, true)
		scope := s.wants("a trial, later", ada, nil, 0, true)
		state, plan, err := s.Load(t.Context(), db, ada)
		if err != nil || scope.State != state || scope.Plan.Slug != plan.Slug || !maps.Equal(scope.Plan.Limits, plan.Limits) {
			t.Errorf("remembered: %+v; loaded: %+v, %+v, %v", scope, state, plan, err)
		}

		before := s.asked.n.Load()
		ctx, err := s.Enter(t.Context(), s.db, ada, person, tenancy.Pay)
		wantErr(t, "another capability", err, nil)
		if got := tenancy.From(ctx); got.Account != ada || got.Capability != tenancy.Pay || got.Actor != person {
			t.Errorf("entered %+v", got)
		}
		_, err = s.EnterAs(t.Context(), s.db, tenancy.Principal{Account: ada, Actor: person, May: tenancy.Read}, tenancy.Write)
		wantErr(t, "more than the principal may", err, tenancy.ErrForbidden)
		_, err = s.Enter(t.Context(), s.db, ada, tenancy.Actor{}, 0)
		wantErr(t, "nobody", err, tenancy.ErrInvalid)
		clock.Advance(14 * day)
		_, err = s.Enter(t.Context(), s.db, ada, person, 0)
		wantErr(t, "when the trial is over", err, tenancy.ErrTrialOver)
		if n := s.asked.n.Load() - before; n != 0 {
			t.Errorf("%d statements for what is remembered", n)
		}
		s.wants("nobody's account", "acc_none", tenancy.ErrNoAccount, 1, false)
	})
}

// life is everything that takes something from an account or gives it, one after the
// other, and what its API keys are told after it.
func life(t *testing.T, db *bun.DB, accounts *tenancy.Accounts) (tenancy.AccountID, []change) {
	t.Helper()
	ada := tenancytest.Register(t, db, accounts, "ada@example.com")
	account := ada.Account.ID
	ben := addMember(t, db, accounts, account, "ben@example.com", viewer)
	cat := addMember(t, db, accounts, account, "cat@example.com", viewer)
	starter := tenancytest.Plans()[1]
	starter.Limits = nil
	return account, []change{
		{"a suspension", tenancy.ErrSuspended, func(db bun.IDB) error {
			_, err := accounts.Suspend(t.Context(), db, tenancy.Suspend{Account: account, Actor: operator})
			return err
		}},
		{"its end", nil, func(db bun.IDB) error {
			_, err := accounts.Resume(t.Context(), db, tenancy.Resume{Account: account, Actor: operator})
			return err
		}},
		{"another plan and status", nil, func(db bun.IDB) error {
			_, err := accounts.Change(t.Context(), db, tenancy.Change{Account: account, Status: tenancy.StatusActive, Plan: "starter", Actor: operator})
			return err
		}},
		{"a change of the plan", nil, func(db bun.IDB) error {
			p := starter
			p.Rate = 77
			_, err := accounts.Ensure(t.Context(), db, p)
			return err
		}},
		{"the end of the plan", tenancy.ErrPlanInactive, func(db bun.IDB) error {
			p := starter
			p.Active = false
			_, err := accounts.Ensure(t.Context(), db, p)
			return err
		}},
		{"its return", nil, func(db bun.IDB) error {
			_, err := accounts.Ensure(t.Context(), db, starter)
			return err
		}},
		{"an override", nil, func(db bun.IDB) error {
			_, err := accounts.Override(t.Context(), db, tenancy.Override{Account: account, Limits: map[string]int64{"sites": 7}, Actor: operator})
			return err
		}},
		{"a role", nil, func(db bun.IDB) error {
			_, err := accounts.SetRoles(t.Context(), db, tenancy.SetRoles{Account: account, User: ben, Roles: []tenancy.Role{tenancy.RoleAdmin}, Actor: operator})
			return err
		}},
		{"a role on an object", nil, func(db bun.IDB) error {
			_, err := accounts.SetObjectRoles(t.Context(), db, tenancy.SetObjectRoles{Account: account, User: ben, Object: site("1"), Roles: viewer, Actor: operator})
			return err
		}},
		{"the end of an object", nil, func(db bun.IDB) error {
			return accounts.ForgetObject(t.Context(), db, tenancy.ForgetObject{Account: account, Object: site("1"), Actor: operator})
		}},
		{"a member that goes", nil, func(db bun.IDB) error {
			return accounts.RemoveMember(t.Context(), db, tenancy.RemoveMember{Account: account, User: cat, Actor: operator})
		}},
		{"another owner", nil, func(db bun.IDB) error {
			if _, err := accounts.OfferOwnership(t.Context(), db, tenancy.OfferOwnership{Account: account, To: ben, Actor: self(ada)}); err != nil {
				return err
			}
			_, err := accounts.AcceptOwnership(t.Context(), db, tenancy.AcceptOwnership{Account: account, Actor: as(ben)})
			return err
		}},
		{"its closing", tenancy.ErrNoAccount, func(db bun.IDB) error {
			_, err := accounts.Close(t.Context(), db, tenancy.Close{Account: account, Actor: operator})
			return err
		}},
		{"its return from that", nil, func(db bun.IDB) error {
			_, err := accounts.Restore(t.Context(), db, tenancy.Restore{Account: account, Actor: operator})
			return err
		}},
		{"its closing again", tenancy.ErrNoAccount, func(db bun.IDB) error {
			_, err := accounts.Close(t.Context(), db, tenancy.Close{Account: account, Actor: operator})
			return err
		}},
		{"its erasure", tenancy.ErrNoAccount, func(db bun.IDB) error {
			_, err := accounts.MarkErased(t.Context(), db, tenancy.MarkErased{Account: account, Actor: operator})
			return err
		}},
	}
}

type change struct {
	what string
	then error
	do   func(db bun.IDB) error
}

// Every change counts in its own process at once, and in another one after it has read
// that there was one; whether it was made in a transaction of the host's or not.
func TestM6_EveryChangeCountsHereAtOnceAndThereWhenItIsRead(t *testing.T) {
	for _, host := range []bool{false, true} {
		t.Run(fmt.Sprintf("host=%v", host), func(t *testing.T) {
			each(t, func(t *testing.T, db *bun.DB) {
				cfg := tenancy.Config{RevocationBound: unheard}
				here, there := serve(t, db, cfg), serve(t, db, cfg)
				here.ensure(tenancytest.Plans()...)
				account, changes := life(t, db, here.Accounts)
				here.read() // what has been changed so far
				there.read()
				here.wants("the beginning, here", account, nil, 1, true)
				then := error(nil)
				for _, c := range changes {
					_, n, err := there.validate(account)
					wantErr(t, "before "+c.what+", there", err, then)
					if n > 1 {
						t.Errorf("before %s it took %d statements", c.what, n)
					}
					do := c.do
					if host {
						do = func(bun.IDB) error {
							return db.RunInTx(t.Context(), nil, func(_ context.Context, tx bun.Tx) error { return c.do(tx) })
						}
					}
					if err := do(db); err != nil {
						t.Fatalf("%s: %v", c.what, err)
					}
					scope := here.wants("after "+c.what+", here", account, c.then, 1, false)
					there.wants("after "+c.what+", there, unread", account, then, 0, true)
					here.read()
					there.read()
					for what, s := range map[string]*server{"here": here, "there": there} {
						got := s.wants("after "+c.what+" was read, "+what, account, c.then, 1, true)
						if got.Epoch != scope.Epoch || got.Plan.Rate != scope.Plan.Rate || got.State != scope.State || !maps.Equal(got.Plan.Limits, scope.Plan.Limits) {
							t.Errorf("after %s was read, %s: %+v, want %+v", c.what, what, got, scope)
						}
					}
					then = c.then
				}
			})
		})
	}
}

// While a host's transaction changes an account, its process asks the database: nobody
// tells when it ends.
func TestM6_AnOpenTransactionIsNotRememberedPast(t *testing.T) {
	for _, commits := range []bool{true, false} {
		t.Run(fmt.Sprintf("commits=%v", commits), func(t *testing.T) {
			each(t, func(t *testing.T, db *bun.DB) {
				s := serve(t, db, tenancy.Config{RevocationBound: unheard})
				ada, ben := s.register("ada@example.com"), s.register("ben@example.com")
				s.wants("before", ada, nil, 1, true)
				s.wants("before, of another", ben, nil, 1, true)
				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Suspend(t.Context(), tx, tenancy.Suspend{Account: ada, Actor: operator}); err != nil {
					t.Fatal(err)
				}
				s.wants("it is open", ada, nil, 1, false)
				s.wants("it is open, of another", ben, nil, 0, true)
				_, err = s.Enter(t.Context(), tx, ada, person, 0)
				wantErr(t, "inside of it", err, tenancy.ErrSuspended)
				s.read()
				s.wants("it is open, and the changes were read", ada, nil, 1, false)
				if commits {
					if err := tx.Commit(); err != nil {
						t.Fatal(err)
					}
					s.wants("it has committed", ada, tenancy.ErrSuspended, 1, false)
					s.read()
					s.wants("it has committed, and that was read", ada, tenancy.ErrSuspended, 1, true)
					return
				}
				if err := tx.Rollback(); err != nil {
					t.Fatal(err)
				}
				s.wants("it was rolled back", ada, nil, 1, false)
				s.read()
				s.wants("it was rolled back, which nobody can read", ada, nil, 1, false)
			})
		})
	}
}

// A change of a plan reaches all who have it, and a plan that comes later those who
// have waited for it.
func TestM1_AChangeOfThePlanReachesAllItsAccounts(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		here, there := serve(t, db, tenancy.Config{RevocationBound: unheard}), serve(t, db, tenancy.Config{RevocationBound: unheard})
		var accounts []tenancy.AccountID
		for i := range 5 {
			accounts = append(accounts, tenancytest.Register(t, db, here.Accounts, fmt.Sprintf("ada%d@example.com", i)).Account.ID)
		}
		last := accounts[4]
		if _, err := db.NewRaw("UPDATE tenancy_accounts SET plan = 'later' WHERE account_id = ?", last).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		here.read()
		there.read()
		for _, a := range accounts[:4] {
			here.wants("here", a, nil, 1, true)
			there.wants("there", a, nil, 1, true)
		}
		there.wants("without its plan", last, tenancy.ErrPlanInactive, 1, false)
		trial := tenancytest.Plans()[0]
		trial.Active = false
		later := tenancytest.Plans()[0]
		later.Slug = "later"
		here.ensure(trial, later)
		there.read()
		for _, a := range accounts[:4] {
			here.wants("here, without a plan", a, tenancy.ErrPlanInactive, 1, false)
			there.wants("there, without a plan", a, tenancy.ErrPlanInactive, 1, true)
		}
		there.wants("with its plan", last, nil, 1, true)
	})
}

// Real time and real readings: what another process has committed a bound ago lets
// nobody in.
func TestM6_AnotherProcessLearnsWithinTheBound(t *testing.T) {
	const bound = 30 * time.Millisecond
	each(t, func(t *testing.T, db *bun.DB) {
		cfg := tenancy.Config{RevocationBound: bound}
		here, there := tenancy.New(cfg), serve(t, db, cfg)
		there.ensure(tenancytest.Plans()...)
		account := tenancytest.Register(t, db, here, "ada@example.com").Account.ID
		for range 20 {
			for remembered := false; !remembered; {
				_, n, err := there.validate(account)
				wantErr(t, "nothing has happened", err, nil)
				remembered = n == 0
			}
			if _, err := here.Suspend(t.Context(), db, tenancy.Suspend{Account: account, Actor: operator}); err != nil {
				t.Fatal(err)
			}
			committed := time.Now()
			for {
				began := time.Now()
				_, _, err := there.validate(account)
				if err != nil {
					wantErr(t, "suspended", err, tenancy.ErrSuspended)
					break
				}
				if late := began.Sub(committed); late > bound {
					t.Fatalf("it was let in %v after the commit", late)
				}
			}
			if _, err := here.Resume(t.Context(), db, tenancy.Resume{Account: account, Actor: operator}); err != nil {
				t.Fatal(err)
			}
			for suspended := true; suspended; {
				_, _, err := there.validate(account)
				suspended = errors.Is(err, tenancy.ErrSuspended)
			}
		}
	})
}

// What is not the pool that is read is asked itself, and nobody remembers its answers:
// in a transaction that may be rolled back they may never have been true.
func TestM6_OnlyThePoolThatIsReadIsRemembered(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		s := serve(t, db, tenancy.Config{RevocationBound: unheard})
		account := s.register("ada@example.com")
		ask := func(what string, db bun.IDB, cost int64) {
			t.Helper()
			for range 2 {
				before := s.asked.n.Load()
				if _, err := s.Enter(t.Context(), db, account, person, 0); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				if n := s.asked.n.Load() - before; n != cost {
					t.Errorf("%s: %d statements, want %d", what, n, cost)
				}
			}
		}
		others := func(what string) {
			t.Helper()
			tx, err := s.db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			ask(what+", a transaction", tx, 1)
			ask(what+", a wrapped transaction", tenancy.WrapTx(s.db, tx.Tx), 1)
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			conn, err := s.db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ask(what+", a connection", conn, 1)
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			other, err := dbtest.Open(dbtest.DSN(db))
			if err != nil {
				t.Fatal(err)
			}
			ask(what+", another pool", other.WithQueryHook(s.asked), 1)
			dbtest.Close(other)
		}
		others("nothing is remembered")
		s.wants("by the others nothing is", account, nil, 1, true)
		others("it is remembered")
		ask("another handle of the pool", s.db.WithNamedArg("x", 1), 0)
	})
}

// A host's Loader is asked each time, unless the host says what it changes.
func TestM2_ALoaderIsRememberedIfItAnnounces(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		var (
			status = tenancy.StatusActive
			fails  error
			asked  int
		)
		for _, announces := range []bool{false, true} {
			status, fails = tenancy.StatusActive, nil
			s := serve(t, db, tenancy.Config{
				RevocationBound: unheard, LoaderAnnounces: announces,
				Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
					asked++
					return tenancy.State{Status: status}, tenancytest.Plans()[1], fails
				},
			})
			wants := func(what string, want error, asks int) {
				t.Helper()
				asked = 0
				_, _, err := s.validate("acc_1")
				wantErr(t, what, err, want)
				if asked != asks {
					t.Errorf("%s: the loader was asked %d times, want %d; it announces: %v", what, asked, asks, announces)
				}
			}
			later := map[bool]int{true: 0, false: 1}[announces]
			wants("first", nil, 1)
			wants("second", nil, later)
			status = tenancy.StatusSuspended
			if announces {
				wants("before it is announced", nil, 0)
				if err := s.Changed(t.Context(), db, tenancy.AccountID("acc_1").Subject()); err != nil {
					t.Fatal(err)
				}
			}
			wants("it is suspended", tenancy.ErrSuspended, 1)
			s.read()
			wants("it is suspended, and that was read", tenancy.ErrSuspended, 1)
			wants("it is suspended, later", tenancy.ErrSuspended, later)
			if err := s.Changed(t.Context(), db, tenancy.AccountID("acc_1").Subject()); err != nil {
				t.Fatal(err)
			}
			s.read()
			fails = errors.New("away")
			for range 2 {
				wants("it fails", fails, 1)
			}
			s.stop()
		}
	})
}

func TestM6_WithoutNewsTheDatabaseIsAsked(t *testing.T) {
	const bound = 20 * time.Millisecond
	each(t, func(t *testing.T, db *bun.DB) {
		s := serve(t, db, tenancy.Config{RevocationBound: bound})
		other := tenancy.New(tenancy.Config{})
		account := tenancytest.Register(t, db, s.Accounts, "ada@example.com").Account.ID
		untilRemembered := func() {
			t.Helper()
			for {
				_, n, err := s.validate(account)
				wantErr(t, "until it asks no more", err, nil)
				if n == 0 {
					return
				}
			}
		}
		untilRemembered()
		s.stalled.on.Store(true)
		for since := time.Now(); time.Since(since) <= bound; { // a reading that began before counts as long
			_, _, err := s.validate(account)
			wantErr(t, "as long as the last reading counts", err, nil)
		}
		for range 50 {
			s.wants("nothing can be read", account, nil, 1, false)
		}
		if _, err := other.Suspend(t.Context(), db, tenancy.Suspend{Account: account, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		s.wants("nothing can be read, another process has suspended it", account, tenancy.ErrSuspended, 1, false)
		if _, err := other.Resume(t.Context(), db, tenancy.Resume{Account: account, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		s.stalled.on.Store(false)
		untilRemembered()
		s.stop()
		s.wants("Run has ended", account, nil, 1, false)
	})
}

// The database is away: what is remembered counts until the bound, and then nobody is
// let in. The answer is one that says so.
func TestM6_WithoutTheDatabaseNobodyIsLetInAfterTheBound(t *testing.T) {
	const bound = 20 * time.Millisecond
	each(t, func(t *testing.T, db *bun.DB) {
		own, err := dbtest.Open(dbtest.DSN(db))
		if err != nil {
			t.Fatal(err)
		}
		s := serve(t, own, tenancy.Config{RevocationBound: bound})
		account := tenancytest.Register(t, db, s.Accounts, "ada@example.com").Account.ID
		for n := int64(1); n > 0; {
			_, n, err = s.validate(account)
			wantErr(t, "the database is there", err, nil)
		}
		dbtest.Close(own)
		closed := time.Now()
		for refused := 0; refused < 50; {
			began := time.Now()
			_, _, err := s.validate(account)
			if err == nil {
				if late := began.Sub(closed); late > bound || refused > 0 {
					t.Fatalf("it was let in %v after the database had gone and %d refusals", late, refused)
				}
				continue
			}
			refused++
			if status, _, _ := problem.Of(err); status != http.StatusServiceUnavailable {
				t.Fatalf("answered with %d: %v", status, err)
			}
		}
	})
}

func TestConfig_RevocationBoundNegativeRemembersNothing(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, asked := tenancy.New(tenancy.Config{RevocationBound: -1}), &statements{}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := accounts.Run(ctx, db); err != nil { // it has nothing to read
			t.Error(err)
		}
		s := &server{Accounts: accounts, t: t, db: db.WithQueryHook(asked), pool: db, asked: asked}
		s.wants("nothing is remembered", tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID, nil, 1, false)
	})
}

func TestConfig_MaxCachedBoundsWhatIsRemembered(t *testing.T) {
	const most, n = 640, 5000
	db := dbtest.SQLite(t, tenancy.Migrate)
	asked := 0
	s := serve(t, db, tenancy.Config{
		RevocationBound: unheard, LoaderAnnounces: true, MaxCached: most,
		Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
			asked++
			return tenancy.State{Status: tenancy.StatusActive}, tenancytest.Plans()[1], nil
		},
	})
	all := func(numbers iter.Seq[int]) int {
		asked = 0
		for i := range numbers {
			if _, _, err := s.validate(tenancy.AccountID(fmt.Sprintf("acc_%d", i))); err != nil {
				t.Fatal(err)
			}
		}
		return n - asked
	}
	if hits := all(func(yield func(int) bool) {
		for i := 0; i < n && yield(i); i++ {
		}
	}); hits != 0 {
		t.Errorf("%d of %d were remembered before they were asked for", hits, n)
	}
	if hits := all(func(yield func(int) bool) { // the last first: they are there
		for i := n - 1; i >= 0 && yield(i); i-- {
		}
	}); hits > most || hits == 0 {
		t.Errorf("%d are remembered, of at most %d", hits, most)
	}
	for range 2 {
		asked = 0
		for range 3 {
			if _, _, err := s.validate("acc_1"); err != nil {
				t.Fatal(err)
			}
		}
		if asked > 1 {
			t.Errorf("what is asked again and again is remembered: %d loads", asked)
		}
	}
}

func TestEpoch_IsRememberedAndGrowsWithEachChange(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		here, there := serve(t, db, tenancy.Config{RevocationBound: unheard}), serve(t, db, tenancy.Config{RevocationBound: unheard})
		user := tenancy.UserID("usr_1").Subject()
		wants := func(what string, s *server, want, cost int64) {
			t.Helper()
			before := s.asked.n.Load()
			got, err := s.Epoch(t.Context(), s.db, user)
			if n := s.asked.n.Load() - before; got != want || err != nil || n != cost {
				t.Errorf("%s: %d, %v, in %d statements; want %d in %d", what, got, err, n, want, cost)
			}
		}
		for _, s := range []*server{here, there} {
			wants("never changed", s, 0, 1)
			wants("never changed, later", s, 0, 0)
		}
		for i := range int64(3) {
			if err := here.Changed(t.Context(), db, user, user); err != nil { // named twice, it changes once
				t.Fatal(err)
			}
			wants("changed, here", here, i+1, 1)
			wants("changed, here, and not read", here, i+1, 1)
			wants("changed, there, and not read", there, i, 0)
			here.read()
			there.read()
			for _, s := range []*server{here, there} {
				wants("changed, and read", s, i+1, 1)
				wants("changed, and read before", s, i+1, 0)
			}
		}
	})
}

// Many ask while one suspends and resumes, in one process: no call that began after
// Suspend had returned is let in, and none that began after Resume had is refused.
func TestM6_UnderLoadASuspensionCountsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		s := serve(t, db, tenancy.Config{RevocationBound: 10 * time.Millisecond})
		account := tenancytest.Register(t, db, s.Accounts, "ada@example.com").Account.ID
		// phase is even while the account is active, odd while it is suspended, and
		// neither while it changes.
		var phase, changing, asked, done atomic.Int64
		suspender := func() error {
			defer done.Store(1)
			for p := range int64(20) {
				changing.Store(1)
				var err error
				if p%2 == 0 {
					_, err = s.Suspend(t.Context(), db, tenancy.Suspend{Account: account, Actor: operator})
				} else {
					_, err = s.Resume(t.Context(), db, tenancy.Resume{Account: account, Actor: operator})
				}
				if err != nil {
					return err
				}
				phase.Store(p + 1)
				changing.Store(0)
				for before := asked.Load(); asked.Load() < before+20; {
					runtime.Gosched()
				}
			}
			return nil
		}
		for _, err := range dbtest.Together(5, func(i int) error {
			if i == 0 {
				return suspender()
			}
			var wrong error
			for done.Load() == 0 {
				began, changed := phase.Load(), changing.Load()
				_, err := s.Validate(t.Context(), s.db, tenancy.Principal{Account: account, Actor: person}, 0)
				asked.Add(1)
				if changed == 1 || changing.Load() == 1 || phase.Load() != began {
					continue
				}
				if suspended := errors.Is(err, tenancy.ErrSuspended); suspended != (began%2 == 1) {
					wrong = fmt.Errorf("in phase %d it was answered %w", began, cmp.Or(err, errLetIn))
				}
			}
			return wrong
		}) {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

var errLetIn = errors.New("by being let in")
