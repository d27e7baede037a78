package credits_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// renewChild asks for an account in every way there is, a hundred days on, from 8
// goroutines.
func renewChild(ctx context.Context, db *bun.DB, args []string) error {
	l := credits.New(credits.Config{Now: tenancytest.NewClock(start.AddDate(0, 0, 100)).Now})
	account := tenancy.AccountID(args[0])
	return errors.Join(dbtest.Together(8, func(worker int) (err error) {
		switch worker % 4 {
		case 0:
			_, err = l.Sweep(ctx, db)
		case 1:
			_, err = l.Balance(ctx, db, account)
		case 2:
			_, err = l.Deduct(ctx, db, credits.Deduct{Account: account, Amount: 1})
		default:
			_, err = l.SetAllotment(ctx, db, credits.SetAllotment{Account: account, Name: "plan", Amount: 100, Every: credits.Every{Days: 1}})
		}
		return err
	})...)
}

func TestRace_TwoProcessesAndASweepGrantEachPeriodOnce(t *testing.T) {
	t.Parallel()
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 100, Every: credits.Every{Days: 1}, Anchor: start})
		dbtest.Processes(t, 2, "renew", dbtest.DSN(db), string(acc))
		for _, query := range []string{
			"SELECT COUNT(*) FROM credits_entries WHERE kind = 'grant'", "SELECT COUNT(DISTINCT key) FROM credits_entries WHERE kind = 'grant'",
			"SELECT COUNT(*) FROM credits_grants", "SELECT COUNT(*) FROM tenancy_audit WHERE action = 'credits.grant'",
			"SELECT COUNT(*) FROM tenancy_events WHERE kind = 'credits.granted'",
		} {
			if n := scan[int](t, db, query); n != 101 {
				t.Errorf("%d: %s", n, query)
			}
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// act is something that is asked of an account, and when. It may be refused.
type act struct {
	name string
	at   time.Time
	do   func(l *credits.Ledger, db bun.IDB, account tenancy.AccountID, made *made) error
}

// made is what acts have made so far: the newest hold and the newest deduction.
type made struct {
	hold  string
	entry int64
}

// drawTimeline draws what happens to an account in some months: rules of every kind,
// deductions, grants that expire and holds that end, often where periods begin.
func drawTimeline(t *rapid.T, most int) []act {
	ctx := context.Background()
	amount := rapid.Int64Range(1, 60)
	hour := rapid.Custom(func(t *rapid.T) time.Time {
		return start.Add(time.Duration(rapid.SampledFrom([]int{0, 24, 48, 72, 100, 240, 31 * 24, 61 * 24, 1500}).Draw(t, "hours")) * time.Hour)
	})
	now := start
	var acts []act
	for i := range rapid.IntRange(6, most).Draw(t, "acts") {
		key := fmt.Sprint("k", i)
		do := func(name string, fn func(l *credits.Ledger, db bun.IDB, account tenancy.AccountID, made *made) error) {
			acts = append(acts, act{name, now, fn})
		}
		verb := rapid.SampledFrom([]string{"set", "set", "end", "deduct", "deduct", "deduct", "grant", "hold", "hold", "hold", "settle", "release", "refund"}).Draw(t, "verb")
		if i == 0 {
			verb = "set"
		}
		switch verb {
		case "set":
			s := credits.SetAllotment{
				Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"), Amount: amount.Draw(t, "amount"), Zone: "Europe/Vienna",
				Every:    rapid.SampledFrom([]credits.Every{{Days: 1}, {Days: 1}, {Days: 3}, {Days: 7}, {Months: 1}}).Draw(t, "every"),
				Rollover: rapid.SampledFrom([]credits.Rollover{{}, {Cap: 30}, {Percent: 40}, {Periods: 2}}).Draw(t, "rollover"),
				Priority: rapid.IntRange(0, 1).Draw(t, "priority"),
			}
			if rapid.Bool().Draw(t, "anchored") {
				s.Anchor = hour.Draw(t, "anchor")
			}
			if rapid.IntRange(0, 5).Draw(t, "until") == 0 {
				s.Until = start.AddDate(0, 3, 0)
			}
			do(fmt.Sprintf("set %+v", s), func(l *credits.Ledger, db bun.IDB, account tenancy.AccountID, _ *made) error {
				s.Account = account
				_, err := l.SetAllotment(ctx, db, s)
				return err
			})
		case "end":
			name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name")
			do("end "+name, func(l *credits.Ledger, db bun.IDB, account tenancy.AccountID, _ *made) error {
				_, err := l.EndAllotment(ctx, db, credits.EndAllotment{Account: account, Name: name})
				return err
			})
		case "deduct":
			n := amount.Draw(t, "amount")
			do(fmt.Sprint("deduct ", n), func(l *credits.Ledger, db bun.IDB, account tenancy.AccountID, made *made) error {
				e, err := l.Deduct(ctx, db, credits.Deduct{Account: account, Amount: n, Key: key})
				made.entry = max(made.entry, e.Number)
				return err
			})
		case "grant":
			g := credits.Grant{Amount: amount.Draw(t, "amount"), Key: key, ExpiresAt: hour.Draw(t, "expires")}
			do(fmt.Sprintf("grant %+v", g), func(l *credits.Ledger, db bun.IDB, account tenancy.AccountID, _ *made) error {
				g.Account = account
				_, err := l.Grant(ctx, db, g)
				return err
			})
		case "hold":
			h := credits.Hold{
				Amount: rapid.Int64Range(1, 15).Draw(t, "amount"), Key: key, For: time.Duration(rapid.SampledFrom([]int{1, 24, 30, 72}).Draw(t, "for")) * time.Hour,
				AtEnd: rapid.SampledFrom([]credits.AtEnd{credits.AtEndRelease, credits.AtEndCharge, credits.AtEndReview}).Draw(t, "at end"),
			}
			do(fmt.Sprintf("hold %+v", h), func(l *credits.Ledger, db bun.IDB, account tenancy.AccountID, made *made) error {
				h.Account = account
				held, err := l.Hold(ctx, db, h)
				if err == nil {
					made.hold = held.ID
				}
				return err
			})
		case "settle":
			n := amount.Draw(t, "amount")
			do(fmt.Sprint("settle ", n), func(l *credits.Ledger, db bun.IDB, account tenancy.AccountID, made *made) error {
				_, err := l.Settle(ctx, db, credits.Settle{Account: account, Hold: made.hold, Amount: n, Key: key})
				return err
			})
		case "release":
			do("release", func(l *credits.Ledger, db bun.IDB, account tenancy.AccountID, made *made) error {
				_, err := l.Release(ctx, db, credits.Release{Account: account, Hold: made.hold})
				return err
			})
		case "refund":
			n := rapid.Int64Range(0, 20).Draw(t, "amount")
			do(fmt.Sprint("refund ", n), func(l *credits.Ledger, db bun.IDB, account tenancy.AccountID, made *made) error {
				_, err := l.Refund(ctx, db, credits.Refund{Account: account, Entry: made.entry, Amount: n, Key: key})
				return err
			})
		}
		now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 23, 24, 72, 200, 800}).Draw(t, "hours on")) * time.Hour)
	}
	return append(acts, act{"the end", now, nil})
}

// Whoever asks for an account in between, and however often or never: its ledger is the
// same in the end, to the entry, its number, its time and what could be spent after it.
func TestAllotments_AreTheSameHoweverOftenTheyAreSwept(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		accounts := 0
		check(t, db, shares{sqlite: 20, postgres: 100}, func(t *rapid.T) {
			acts := drawTimeline(t, 12)
			daily := rapid.Bool().Draw(t, "swept daily")
			run := func(swept bool) ([]credits.Entry, []string) {
				ctx := context.Background()
				accounts++
				account := tenancy.AccountID(fmt.Sprint("acc_", accounts))
				clock := tenancytest.NewClock(start)
				l := credits.New(credits.Config{Now: clock.Now, Combine: credits.CombineOff})
				made := made{hold: "hld_none"}
				var answers []string
				for _, a := range acts {
					for swept && clock.Now().Before(a.at) {
						step := 24 * time.Hour
						if !daily {
							step = time.Duration(rapid.SampledFrom([]int{23, 100, 500}).Draw(t, "sweep after")) * time.Hour
						}
						if next := clock.Now().Add(step); next.Before(a.at) {
							clock.Set(next)
							if _, err := l.Balance(ctx, db, account); err != nil {
								t.Fatal(err)
							}
							continue
						}
						break
					}
					clock.Set(a.at)
					if a.do != nil {
						answers = append(answers, fmt.Sprint(a.name, ": ", a.do(l, db, account, &made)))
					}
				}
				b, err := l.Balance(ctx, db, account)
				answers = append(answers, fmt.Sprintf("%+v, %v", b, err))
				if found, err := l.Verify(ctx, db, account); err != nil || len(found) > 0 {
					t.Fatalf("verify: %v, %v", found, err)
				}
				var all []credits.Entry
				for page := (credits.Page{}); ; {
					if page, err = l.Entries(ctx, db, credits.Entries{Account: account, Limit: 500, Before: page.Next}); err != nil {
						t.Fatal(err)
					}
					all = append(all, page.Entries...)
					if page.Next == 0 {
						break
					}
				}
				slices.Reverse(all)
				return all, answers
			}
			entries, answers := run(false)
			again, answersAgain := run(true)
			if d := cmp.Diff(answers, answersAgain); d != "" {
				t.Fatalf("answers (-never swept +swept): %s", d)
			}
			alike := cmpopts.IgnoreFields(credits.Entry{}, "Account", "Hold", "Key")
			if d := cmp.Diff(entries, again, alike); d != "" {
				t.Fatalf("entries (-never swept +swept): %s", d)
			}
		})
	}, credits.Migrate)
}
