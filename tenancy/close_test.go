package tenancy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func ownerOf(r tenancy.Registered) tenancy.Actor {
	return tenancy.Actor{Kind: tenancy.ActorUser, ID: string(r.User.ID)}
}

func TestM13_Close_FromItsCommitOnThereIsNoSuchAccountAndRestoreTakesItBack(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		r := tenancytest.Register(t, db, accounts, "ada@example.com")
		id := r.Account.ID
		clock.Advance(time.Hour)
		got, err := accounts.Close(t.Context(), db, tenancy.Close{Account: id, Actor: ownerOf(r), Reason: "moving on"})
		want := r.Account
		want.Status, want.ClosedFrom = tenancy.StatusClosed, tenancy.StatusTrial
		want.ClosedAt, want.PurgeAt, want.UpdatedAt = clock.Now(), clock.Now().AddDate(0, 0, 30), clock.Now()
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("closed (-want +got):\n%s%v", d, err)
		}
		stored, err := accounts.Get(t.Context(), db, id)
		if d := cmp.Diff(want, stored); d != "" || err != nil {
			t.Errorf("read back (-want +got):\n%s%v", d, err)
		}
		for _, actor := range []tenancy.Actor{ownerOf(r), key, system} {
			for _, need := range []tenancy.Capability{tenancy.Use, tenancy.Read} {
				_, err := accounts.Enter(t.Context(), db, id, actor, need)
				wantErr(t, string(actor.Kind)+" enters", err, tenancy.ErrNoAccount)
			}
		}
		_, err = accounts.Enter(t.Context(), db, id, ownerOf(r), tenancy.SignIn)
		wantErr(t, "signing in", err, tenancy.ErrNoAccount)
		fact := tenancytest.RequireEvent[tenancy.AccountChanged](t, db, id)
		if fact.From != tenancy.StatusTrial || fact.To != tenancy.StatusClosed || !fact.PurgeAt.Equal(want.PurgeAt) {
			t.Errorf("event %+v", fact)
		}
		if line := tenancytest.RequireAudit(t, db, id, "tenancy.close"); line.Actor != ownerOf(r) || line.Reason != "moving on" || !line.At.Equal(clock.Now()) {
			t.Errorf("audit %+v", line)
		}

		clock.Advance(time.Hour)
		unchanged(t, db, "closing twice", func() {
			for _, actor := range []tenancy.Actor{ownerOf(r), operator} {
				again, err := accounts.Close(t.Context(), db, tenancy.Close{Account: id, Actor: actor})
				if d := cmp.Diff(want, again); d != "" || err != nil {
					t.Errorf("closed twice (-want +got):\n%s%v", d, err)
				}
			}
		})

		// The last instant, and by then the trial is over.
		clock.Set(want.PurgeAt.Add(-time.Microsecond))
		got, err = accounts.Restore(t.Context(), db, tenancy.Restore{Account: id, Actor: operator, Reason: "they called"})
		want = r.Account
		want.UpdatedAt = clock.Now()
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("restored (-want +got):\n%s%v", d, err)
		}
		if line := tenancytest.RequireAudit(t, db, id, "tenancy.restore"); line.Actor != operator || line.Reason != "they called" {
			t.Errorf("audit %+v", line)
		}
		_, err = accounts.Enter(t.Context(), db, id, key, 0)
		wantErr(t, "using it", err, tenancy.ErrTrialOver)
		if _, err := accounts.Enter(t.Context(), db, id, ownerOf(r), tenancy.SignIn|tenancy.Pay); err != nil {
			t.Error(err)
		}
		unchanged(t, db, "restoring what is open", func() {
			if got, err := accounts.Restore(t.Context(), db, tenancy.Restore{Account: id, Actor: operator}); err != nil || got != want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	})
}

func TestM13_Restore_IsOverWhenTheAccountIsDue(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		for _, c := range []struct {
			retention, after time.Duration
			want             error
		}{
			{0, 30*day - time.Microsecond, nil}, // the default
			{0, 30 * day, tenancy.ErrTransition},
			{time.Hour, time.Hour - time.Microsecond, nil},
			{time.Hour, time.Hour, tenancy.ErrTransition},
			{-1, 0, tenancy.ErrTransition},
		} {
			accounts, clock := newAccounts(t, db, tenancy.Config{Retention: c.retention})
			id := tenancytest.Register(t, db, accounts, c.retention.String()+c.after.String()+"@example.com").Account.ID
			if _, err := accounts.Close(t.Context(), db, tenancy.Close{Account: id, Actor: operator}); err != nil {
				t.Fatal(err)
			}
			clock.Advance(c.after)
			due, err := accounts.Closed(t.Context(), db, tenancy.Closed{Due: true})
			if err != nil || slices.ContainsFunc(due, func(a tenancy.Account) bool { return a.ID == id }) != (c.want != nil) {
				t.Errorf("%s after %s: due are %+v, %v", c.retention, c.after, due, err)
			}
			_, err = accounts.Restore(t.Context(), db, tenancy.Restore{Account: id, Actor: system})
			wantErr(t, c.retention.String()+" after "+c.after.String(), err, c.want)
		}
	})
}

func TestM13_Close_IsForTheOwnerAndForWhoRunsTheService(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		r := tenancytest.Register(t, db, accounts, "ada@example.com")
		eve := tenancytest.Register(t, db, accounts, "eve@example.com")
		id := r.Account.ID
		if _, err := accounts.AddMember(t.Context(), db, tenancy.AddMember{Account: id, User: eve.User.ID, Roles: []tenancy.Role{tenancy.RoleAdmin}, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		stranger := []tenancy.Actor{
			person, key, ownerOf(eve), {Kind: tenancy.ActorKey, ID: string(r.User.ID)}, {Kind: "partner", ID: string(r.User.ID)},
		}
		refused := func(what string, steps ...func(actor tenancy.Actor) tenancy.Step) {
			t.Helper()
			for _, actor := range stranger {
				for _, step := range steps {
					unchanged(t, db, what, func() {
						_, err := take(t, db, accounts, step(actor))
						wantErr(t, what+" by "+string(actor.Kind), err, tenancy.ErrForbidden)
					})
				}
			}
		}
		closing := func(actor tenancy.Actor) tenancy.Step { return tenancy.Close{Account: id, Actor: actor} }
		changing := func(actor tenancy.Actor) tenancy.Step {
			return tenancy.Change{Account: id, Status: tenancy.StatusClosed, Actor: actor}
		}
		restoring := func(actor tenancy.Actor) tenancy.Step { return tenancy.Restore{Account: id, Actor: actor} }
		erasing := func(actor tenancy.Actor) tenancy.Step { return tenancy.MarkErased{Account: id, Actor: actor} }
		refused("closing", closing, changing)
		for _, actor := range []tenancy.Actor{ownerOf(r), operator, system} {
			for _, step := range []func(tenancy.Actor) tenancy.Step{closing, changing} {
				if a, err := take(t, db, accounts, step(actor)); err != nil || a.Status != tenancy.StatusClosed || a.PurgeAt.IsZero() {
					t.Errorf("closed by %s: %+v, %v", actor.Kind, a, err)
				}
				stranger = append(stranger, ownerOf(r))
				refused("restoring and erasing", restoring, erasing)
				stranger = stranger[:len(stranger)-1]
				if a, err := take(t, db, accounts, restoring(operator)); err != nil || a.Status != tenancy.StatusTrial {
					t.Errorf("restored: %+v, %v", a, err)
				}
			}
		}
	})
}

func TestM13_Close_KeepsASuspensionAndEveryEnd(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		do := func(step tenancy.Step) tenancy.Account {
			t.Helper()
			clock.Advance(time.Minute)
			a, err := take(t, db, accounts, step)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		for _, change := range []tenancy.Change{
			{Status: tenancy.StatusPastDue, GraceEndsAt: t0.AddDate(0, 0, 5)},
			{Status: tenancy.StatusActive, PaidUntil: t0.AddDate(0, 1, 0)},
			{Status: tenancy.StatusCancelled},
		} {
			change.Account, change.Actor = id, operator
			was := do(change)
			do(tenancy.Suspend{Account: id, Actor: operator})
			do(tenancy.Close{Account: id, Actor: operator})
			for _, step := range []tenancy.Step{ // nothing but Restore opens it
				tenancy.Change{Account: id, Status: tenancy.StatusActive, Actor: operator},
				tenancy.Change{Account: id, Status: tenancy.StatusErased, Actor: operator},
				tenancy.Suspend{Account: id, Actor: operator},
			} {
				_, err := take(t, db, accounts, step)
				wantErr(t, "out of closed", err, tenancy.ErrTransition)
			}
			if a := do(tenancy.Resume{Account: id, Actor: operator}); a.Status != tenancy.StatusClosed {
				t.Errorf("resumed: %+v", a)
			}
			if a := do(tenancy.Restore{Account: id, Actor: operator}); a.Status != tenancy.StatusSuspended {
				t.Errorf("restored: %+v", a)
			}
			now := do(tenancy.Resume{Account: id, Actor: operator})
			now.UpdatedAt = was.UpdatedAt
			if d := cmp.Diff(was, now); d != "" {
				t.Errorf("%s (-before +after):\n%s", change.Status, d)
			}
		}
	})
}

// One that the version before this closed says neither what it was nor since when.
func TestM13_Close_OfAnOlderVersionWaitsUntilItIsClosedAnew(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		setStatus(t, db, id, tenancy.StatusClosed)
		clock.Advance(1000 * day)
		due := func() int {
			t.Helper()
			list, err := accounts.Closed(t.Context(), db, tenancy.Closed{Due: true})
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		_, err := accounts.MarkErased(t.Context(), db, tenancy.MarkErased{Account: id, Actor: system})
		wantErr(t, "erased by a job", err, tenancy.ErrTransition)
		if due() != 0 {
			t.Error("it is due")
		}
		a, err := accounts.Restore(t.Context(), db, tenancy.Restore{Account: id, Actor: operator})
		if err != nil || a.Status != tenancy.StatusCancelled {
			t.Errorf("restored: %+v, %v", a, err)
		}
		setStatus(t, db, id, tenancy.StatusClosed)
		a, err = accounts.Close(t.Context(), db, tenancy.Close{Account: id, Actor: operator})
		if err != nil || !a.ClosedAt.Equal(clock.Now()) || !a.PurgeAt.Equal(clock.Now().Add(retention)) || a.ClosedFrom != "" {
			t.Errorf("closed anew: %+v, %v", a, err)
		}
		if clock.Advance(retention); due() != 1 {
			t.Error("it is not due")
		}
		// What nobody closes from is no way back.
		if _, err := db.NewRaw("UPDATE tenancy_accounts SET closed_from = 'vip', purge_at = NULL").Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = accounts.Restore(t.Context(), db, tenancy.Restore{Account: id, Actor: operator})
		wantErr(t, "to an odd status", err, tenancy.ErrTransition)
	})
}

func TestM13_MarkErased_IsTheEnd(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		r, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada Lovelace", Email: "ada@example.com", Zone: "Europe/London"})
		if err != nil {
			t.Fatal(err)
		}
		id := r.Account.ID
		erase := func(actor tenancy.Actor) (tenancy.Account, error) {
			return accounts.MarkErased(t.Context(), db, tenancy.MarkErased{Account: id, Actor: actor, Reason: "article 17"})
		}
		for _, actor := range []tenancy.Actor{operator, system} {
			_, err := erase(actor)
			wantErr(t, "an open account", err, tenancy.ErrTransition)
		}
		if _, err := accounts.Close(t.Context(), db, tenancy.Close{Account: id, Actor: ownerOf(r)}); err != nil {
			t.Fatal(err)
		}
		clock.Set(t0.Add(retention - time.Microsecond))
		unchanged(t, db, "too early", func() {
			_, err := erase(system)
			wantErr(t, "a job, before it is due", err, tenancy.ErrTransition)
		})
		clock.Set(t0.Add(retention))
		got, err := erase(system)
		want := r.Account
		want.Status, want.Name, want.Zone = tenancy.StatusErased, "", "UTC"
		want.ClosedAt, want.PurgeAt, want.UpdatedAt = t0, clock.Now(), clock.Now()
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("erased (-want +got):\n%s%v", d, err)
		}
		if line := tenancytest.RequireAudit(t, db, id, "tenancy.erase"); line.Actor != system || line.Reason != "article 17" {
			t.Errorf("audit %+v", line)
		}
		if f := tenancytest.RequireEvent[tenancy.AccountChanged](t, db, id); f.From != tenancy.StatusClosed || f.To != tenancy.StatusErased {
			t.Errorf("event %+v", f)
		}
		unchanged(t, db, "afterwards", func() {
			if again, err := erase(operator); err != nil || again != got {
				t.Errorf("erased twice: %+v, %v", again, err)
			}
			for _, step := range []tenancy.Step{
				tenancy.Restore{Account: id, Actor: operator}, tenancy.Close{Account: id, Actor: operator}, tenancy.Suspend{Account: id, Actor: operator},
				tenancy.Change{Account: id, Status: tenancy.StatusActive, Actor: operator}, tenancy.Change{Account: id, Plan: "starter", Actor: operator},
			} {
				_, err := take(t, db, accounts, step)
				wantErr(t, "out of erased", err, tenancy.ErrTransition)
			}
		})
		if list, err := accounts.Closed(t.Context(), db, tenancy.Closed{}); err != nil || len(list) != 0 {
			t.Errorf("it is listed: %+v, %v", list, err)
		}
		// Whoever is asked to need not wait.
		other := tenancytest.Register(t, db, accounts, "eve@example.com").Account.ID
		if _, err := accounts.Close(t.Context(), db, tenancy.Close{Account: other, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if a, err := accounts.MarkErased(t.Context(), db, tenancy.MarkErased{Account: other, Actor: operator}); err != nil || a.Status != tenancy.StatusErased {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

// Whoever erases does it in one transaction with the mark, or not at all.
func TestM13_MarkErased_JoinsTheTransaction(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		closed, err := accounts.Close(t.Context(), db, tenancy.Close{Account: id, Actor: operator})
		if err != nil {
			t.Fatal(err)
		}
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = accounts.MarkErased(t.Context(), tx, tenancy.MarkErased{Account: id, Actor: system}) // a refusal leaves it usable
		wantErr(t, "too early", err, tenancy.ErrTransition)
		if a, err := accounts.MarkErased(t.Context(), tx, tenancy.MarkErased{Account: id, Actor: operator}); err != nil || a.Status != tenancy.StatusErased {
			t.Errorf("%+v, %v", a, err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if a, err := accounts.Get(t.Context(), db, id); err != nil || a != closed {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

func TestM13_Closed_ListsInPages(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		var want, due []tenancy.AccountID
		for i, email := range []string{"a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com", "f@example.com"} {
			id := tenancytest.Register(t, db, accounts, email).Account.ID
			if i == 3 {
				clock.Advance(day)
			}
			if i == 1 {
				continue // stays open
			}
			if _, err := accounts.Close(t.Context(), db, tenancy.Close{Account: id, Actor: operator}); err != nil {
				t.Fatal(err)
			}
			if want = append(want, id); i < 3 {
				due = append(due, id)
			}
		}
		clock.Set(t0.Add(retention))
		for _, c := range []struct {
			page tenancy.Closed
			want []tenancy.AccountID
		}{{tenancy.Closed{Limit: 2}, want}, {tenancy.Closed{}, want}, {tenancy.Closed{Due: true, Limit: 1}, due}, {tenancy.Closed{Due: true}, due}} {
			var got []tenancy.AccountID
			for page := c.page; ; {
				list, err := accounts.Closed(t.Context(), db, page)
				if err != nil {
					t.Fatal(err)
				}
				if len(list) == 0 {
					break
				}
				if page.Limit > 0 && len(list) > page.Limit {
					t.Errorf("%d on a page of %d", len(list), page.Limit)
				}
				for _, a := range list {
					if a.Status != tenancy.StatusClosed || a.ClosedAt.IsZero() {
						t.Errorf("listed %+v", a)
					}
					got = append(got, a.ID)
				}
				page.After = got[len(got)-1]
			}
			slices.Sort(c.want)
			slices.Sort(got)
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("%+v (-want +got):\n%s", c.page, d)
			}
		}
		_, err := accounts.Closed(t.Context(), db, tenancy.Closed{After: "a b"})
		wantErr(t, "after what is no id", err, tenancy.ErrInvalid)
	})
}

// Restoring and erasing at once: one of them is too late.
func TestM13_RestoreAndMarkErasedAtOnceDoOneOfTheTwo(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		if _, err := accounts.Close(t.Context(), db, tenancy.Close{Account: id, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		errs := dbtest.Together(2, func(i int) (err error) {
			if i == 0 {
				_, err = accounts.Restore(t.Context(), db, tenancy.Restore{Account: id, Actor: operator})
			} else {
				_, err = accounts.MarkErased(t.Context(), db, tenancy.MarkErased{Account: id, Actor: operator})
			}
			return err
		})
		if n := tally(t, errs, tenancy.ErrTransition); n != 1 {
			t.Errorf("%d of the two did it: %v", n, errs)
		}
		a, err := accounts.Get(t.Context(), db, id)
		if want := map[bool]tenancy.Status{true: tenancy.StatusTrial, false: tenancy.StatusErased}[errs[0] == nil]; err != nil || a.Status != want {
			t.Errorf("%+v, %v; want %s", a, err, want)
		}
	})
}

func TestM15_Lifecycle_RowsOfTheOlderSchemaComeAlongAndGoBack(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, clock := newAccounts(t, db, tenancy.Config{})
		id := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		over, err := accounts.Override(t.Context(), db, tenancy.Override{Account: id, Limits: map[string]int64{"sites": 3}, Actor: operator})
		if err != nil || over.Limits["sites"] != 3 {
			t.Fatal(over, err)
		}
		if _, err := accounts.Close(t.Context(), db, tenancy.Close{Account: id, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if err := tenancy.Down(t.Context(), db, 3); err != nil {
			t.Fatal(err)
		}
		// The version before this one, on its own schema.
		for _, q := range []string{
			`INSERT INTO tenancy_plans (slug, name, active, prices, monthly_credits, trial_days, rate, burst, limits, created_at, updated_at)
				SELECT 'old', name, active, prices, monthly_credits, trial_days, rate, burst, limits, created_at, updated_at FROM tenancy_plans WHERE slug = 'starter'`,
			`INSERT INTO tenancy_accounts (account_id, name, status, suspended_from, plan, owner_id, zone, created_at, updated_at)
				SELECT 'acc_old', name, 'active', '', 'old', owner_id, zone, created_at, updated_at FROM tenancy_accounts`,
		} {
			if _, err := db.NewRaw(q).Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := tenancy.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"tenancy_accounts", "tenancy_plans"} { // of a version after this one
			if _, err := db.NewRaw("ALTER TABLE ? ADD COLUMN later BIGINT NOT NULL DEFAULT 7", bun.Ident(table)).Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		a, err := accounts.Get(t.Context(), db, id)
		if err != nil || a.Status != tenancy.StatusClosed || !a.PurgeAt.IsZero() {
			t.Errorf("closed: %+v, %v", a, err)
		}
		// And on the new one.
		if _, err := db.NewRaw("UPDATE tenancy_accounts SET name = 'Old', updated_at = ? WHERE account_id = 'acc_old'", clock.Now()).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		state, plan, err := accounts.Load(t.Context(), db, "acc_old")
		if n, limited := plan.Limit(tenancy.LimitUsers); err != nil || state.Status != tenancy.StatusActive || n != 2 || !limited || plan.Has("sso") {
			t.Errorf("%+v, %+v, %v", state, plan, err)
		}
		if own, err := accounts.Overrides(t.Context(), db, "acc_old"); err != nil || cmp.Diff(tenancy.Overrides{}, own) != "" {
			t.Errorf("%+v, %v", own, err)
		}
		if a, err := accounts.Close(t.Context(), db, tenancy.Close{Account: "acc_old", Actor: operator}); err != nil || a.Status != tenancy.StatusClosed {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
