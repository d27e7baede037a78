package tenancy_test

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// elsewhere is an event that another machine publishes, by how much its clock is
// ahead of what this one has shown.
func elsewhere(t *testing.T, db bun.IDB, account tenancy.AccountID, ahead time.Duration, text string) {
	t.Helper()
	alphabet := base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)
	b, err := alphabet.DecodeString(id.New("evt")[4:])
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint64(b, binary.BigEndian.Uint64(b)+uint64(ahead.Milliseconds())<<16)
	name := "evt_" + alphabet.EncodeToString(b)
	_, err = db.NewRaw("INSERT INTO tenancy_events (account_id, event_id, kind, data, at) VALUES (?, ?, 'host.note', ?, ?)",
		account, name, fmt.Sprintf(`{"text":%q}`, text), t0).Exec(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.NewRaw("INSERT INTO tenancy_deliveries (account_id, event_id, attempts, due_at) VALUES (?, ?, 0, ?)",
		account, name, time.Unix(0, 0).UTC()).Exec(t.Context())
	if err != nil {
		t.Fatal(err)
	}
}

func TestPublish_WhatFollowsFromAFactComesAfterItWhateverTheClocksShow(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		var got []string
		accounts, _ := newAccounts(t, db, tenancy.Config{Deliver: func(_ context.Context, e tenancy.Event) error {
			if f, err := tenancy.Decode[tenancy.AccountChanged](e); err == nil {
				got = append(got, string(f.To))
			} else {
				got = append(got, e.Kind+text(e))
			}
			return nil
		}})
		account := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		var want []string
		for i := range 3 {
			elsewhere(t, db, account, time.Hour, fmt.Sprint(i))
			if _, err := accounts.Suspend(t.Context(), db, tenancy.Suspend{Account: account, Actor: operator}); err != nil {
				t.Fatal(err)
			}
			elsewhere(t, db, account, time.Hour, "again")
			err := db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				if _, err := accounts.Resume(ctx, tx, tenancy.Resume{Account: account, Actor: operator}); err != nil {
					return err
				}
				return tenancy.Publish(ctx, tx, account, t0, note{"resumed"})
			})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("host.note%d", i), "suspended", "host.noteagain", "trial", "host.noteresumed")
		}
		deliverDue(t, db, accounts, 16)
		if d := cmp.Diff(want, got[1:]); d != "" {
			t.Errorf("received (-want +got):\n%s", d)
		}
	})
}

func TestPublish_OfManyAtOnceEachIsDeliveredOnce(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		boom := errors.New("boom")
		errs := dbtest.Together(20, func(i int) error {
			return db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				for _, account := range []tenancy.AccountID{"acc_1", "acc_2"} {
					if err := tenancy.Publish(ctx, tx, account, t0, note{fmt.Sprint(i)}); err != nil {
						return err
					}
				}
				if i%4 == 0 {
					return boom
				}
				return nil
			})
		})
		if n := tally(t, errs, boom); n != 15 {
			t.Errorf("%d committed", n)
		}
		r := &receiver{}
		a := node(tenancytest.NewClock(t0), r)
		deliverDue(t, db, a, 30)
		var want []string
		for i := range 20 {
			if i%4 != 0 {
				want = append(want, fmt.Sprintf("acc_1#%d", i), fmt.Sprintf("acc_2#%d", i))
			}
		}
		slices.Sort(want)
		slices.Sort(r.got)
		r.want(t, "all", want...)
		deliverDue(t, db, a, 0)
		if n := rows(t, db)["tenancy_deliveries"]; n != 0 {
			t.Errorf("%d are still to be delivered", n)
		}
	})
}

// One transaction holds the account and comes to the wallet last, the other holds
// the wallet: if publishing were a lock, each would wait for the other.
func TestPublish_WaitsForNobodyAndTheLateOneIsDeliveredLate(t *testing.T) {
	db := dbtest.Postgres(t, tenancy.Migrate)
	r := &receiver{}
	a := node(tenancytest.NewClock(t0), r)
	accounts, _ := newAccounts(t, db, tenancy.Config{})
	account := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
	bob := createUser(t, db, accounts, "bob@example.com")
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE wallets (account_id TEXT PRIMARY KEY, spent BIGINT NOT NULL); INSERT INTO wallets VALUES (?, 0)", account); err != nil {
		t.Fatal(err)
	}
	deliverDue(t, db, a, 1)
	r.got = nil
	spend := func(tx bun.Tx) error {
		_, err := tx.ExecContext(t.Context(), "UPDATE wallets SET spent = spent + 1 WHERE account_id = ?", account)
		return err
	}
	begin := func() bun.Tx {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tx.Rollback() })
		return tx
	}
	host, single := begin(), begin()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	must("the wallet of one", spend(single))
	_, err := accounts.Change(t.Context(), host, tenancy.Change{Account: account, Plan: "starter", Actor: operator})
	must("the account of the other", err)
	must("its own fact", tenancy.Publish(t.Context(), host, account, t0, note{"host"}))
	done := make(chan error, 1)
	go func() { done <- spend(host) }() // waits for the wallet
	must("publishing", tenancy.Publish(t.Context(), single, account, t0, note{"single"}))
	must("committing", single.Commit())
	must("the wallet of the other", <-done)

	// The younger event is delivered while the older ones are not there yet.
	deliverDue(t, db, a, 1)
	r.want(t, "what is visible", string(account)+"#single")
	_, err = accounts.AddMember(t.Context(), host, tenancy.AddMember{Account: account, User: bob, Roles: viewer, Actor: operator})
	must("a second verb", err)
	must("committing the other", host.Commit())
	deliverDue(t, db, a, 3)
	r.want(t, "what came late", string(account)+"#", string(account)+"#host", string(account)+"#")
}

func TestPublish_SeveralInOneTransactionBesideSingleOnesNeverDeadlock(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		account := tenancytest.Register(t, db, accounts, "ada@example.com").Account.ID
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE wallets (account_id TEXT PRIMARY KEY, spent BIGINT NOT NULL)"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "INSERT INTO wallets VALUES (?, 0)", account); err != nil {
			t.Fatal(err)
		}
		users := make([]tenancy.UserID, 16)
		for i := range users {
			users[i] = createUser(t, db, accounts, fmt.Sprintf("user%d@example.com", i))
		}
		// Where the library does not own the transaction, it does not run it again.
		errs := dbtest.Together(len(users), func(i int) error {
			return db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				if i%4 < 2 {
					c := tenancy.Change{Account: account, Status: tenancy.StatusTrial, TrialEndsAt: t0.AddDate(0, 0, i+1), Actor: operator}
					if _, err := accounts.Change(ctx, tx, c); err != nil {
						return err
					}
					if _, err := accounts.AddMember(ctx, tx, tenancy.AddMember{Account: account, User: users[i], Roles: viewer, Actor: operator}); err != nil {
						return err
					}
				}
				if _, err := tx.ExecContext(ctx, "UPDATE wallets SET spent = spent + 1 WHERE account_id = ?", account); err != nil {
					return err
				}
				return tenancy.Publish(ctx, tx, account, t0, note{fmt.Sprint(i)})
			})
		})
		if n := tally(t, errs, nil); n != len(users) {
			t.Errorf("%d of %d succeeded", n, len(users))
		}
	})
}

func TestDeliverDue_AnOlderEventThatBecomesVisibleLateWaitsForNone(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		broken := func(tenancy.Event) error { return errors.New("no") }
		clock, r := tenancytest.NewClock(t0), &receiver{}
		a := node(clock, r)
		publish(t, db, "acc_1", 1)
		deliverDue(t, db, a, 1)
		elsewhere(t, db, "acc_1", -time.Hour, "late")
		deliverDue(t, db, a, 1)
		r.want(t, "late", "acc_1#1", "acc_1#late")

		// The one that failed keeps its delay.
		publish(t, db, "acc_1", 2)
		r.fail = broken
		deliverDue(t, db, a, 0)
		r.fail = nil
		elsewhere(t, db, "acc_1", -time.Hour, "later")
		deliverDue(t, db, a, 1)
		r.want(t, "before its time", "acc_1#3", "acc_1#later")
		clock.Advance(time.Second)
		deliverDue(t, db, a, 2)
		r.want(t, "at its time", "acc_1#3", "acc_1#4")

		// When it fails itself, all wait for it.
		publish(t, db, "acc_1", 1)
		elsewhere(t, db, "acc_1", -time.Hour, "latest")
		r.fail = broken
		deliverDue(t, db, a, 0)
		r.fail = nil
		deliverDue(t, db, a, 0)
		clock.Advance(time.Second)
		deliverDue(t, db, a, 2)
		r.want(t, "the late one failed", "acc_1#latest", "acc_1#latest", "acc_1#6")
	})
}

// The outbox of an account whose receiver is broken may grow long, and a round
// comes every second.
func TestDeliverDue_LooksAtWhatWaitsWhenItIsDue(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		clock, r := tenancytest.NewClock(t0), &receiver{fail: func(tenancy.Event) error { return errors.New("no") }}
		a := node(clock, r)
		due := func(want int) {
			t.Helper()
			var n int
			if err := db.NewRaw("SELECT COUNT(*) FROM tenancy_deliveries WHERE due_at <= ?", clock.Now()).Scan(t.Context(), &n); n != want || err != nil {
				t.Errorf("%d are due, %v; want %d", n, err, want)
			}
		}
		publish(t, db, "acc_1", 150)
		due(150) // whatever the clock of this machine shows
		deliverDue(t, db, a, 0)
		due(0)
		publish(t, db, "acc_1", 1)
		deliverDue(t, db, a, 0)
		due(1)
		clock.Advance(time.Second)
		due(151)
		deliverDue(t, db, a, 0)
		due(0)
		clock.Advance(2 * time.Second)
		r.fail = nil
		deliverDue(t, db, a, 151)
		due(0)
	})
}

// A fact may be dated in the future.
func TestDeliverDue_DeliversAtOnceWhateverTheFactIsDated(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		r := &receiver{}
		a := node(tenancytest.NewClock(t0), r)
		if err := tenancy.Publish(t.Context(), db, "acc_1", t0.AddDate(1, 0, 0), note{"next year"}); err != nil {
			t.Fatal(err)
		}
		publish(t, db, "acc_1", 1)
		deliverDue(t, db, a, 2)
		r.want(t, "both", "acc_1#next year", "acc_1#2")
	})
}
