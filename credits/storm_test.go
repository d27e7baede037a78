package credits_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// stormArgs is what a process of a storm does.
type stormArgs struct {
	Who      string
	Accounts int
	Workers  int
	Each     int
	Skew     time.Duration // of its clock
	Verbs    bool          // more than deductions
	Cancel   bool
	Host     bool // some in transactions of the host's, some of which roll back
	Unkeyed  bool
	NoHolds  bool
	Combine  credits.Combining
}

// answered is what a caller was told.
type answered struct {
	Verb     string
	Account  tenancy.AccountID
	Key      string
	Entry    credits.Entry
	Err      string
	Sure     bool
	Replayed bool
}

// stormChild does it, and says what it was told of each call.
func stormChild(ctx context.Context, db *bun.DB, args []string) error {
	var a stormArgs
	if err := json.Unmarshal([]byte(args[0]), &a); err != nil {
		return err
	}
	now := func() time.Time { return time.Now().Add(a.Skew) }
	l := credits.New(credits.Config{Now: now, Combine: a.Combine})
	var mu sync.Mutex
	enc := json.NewEncoder(os.Stdout)
	say := func(x answered) {
		mu.Lock()
		defer mu.Unlock()
		_ = enc.Encode(x)
	}
	return errors.Join(dbtest.Together(a.Workers, func(w int) error {
		r := rand.New(rand.NewPCG(uint64(w), uint64(len(a.Who))+uint64(a.Who[0])))
		for i := range a.Each {
			acc := tenancy.AccountID(fmt.Sprint("acc_", r.IntN(a.Accounts)))
			key := fmt.Sprint(a.Who, "-", w, "-", i)
			if r.IntN(10) == 0 { // the same key in all processes
				key = fmt.Sprint("shared-", w, "-", i)
			}
			if a.Unkeyed && r.IntN(3) == 0 {
				key = ""
			}
			c, cancel := ctx, context.CancelFunc(func() {})
			if a.Cancel && r.IntN(4) == 0 {
				c, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(3000))*time.Microsecond)
			}
			var on bun.IDB = db
			var tx bun.Tx
			host := a.Host && r.IntN(8) == 0
			if host {
				var err error
				if tx, err = db.BeginTx(ctx, nil); err != nil {
					say(answered{Verb: "begin", Err: err.Error()})
					cancel()
					continue
				}
				on = tx
			}
			x := answered{Verb: "deduct", Account: acc, Key: key}
			var err error
			verb := 0
			if a.Verbs {
				verb = r.IntN(24)
			}
			if a.NoHolds && verb >= 2 && verb <= 4 {
				verb = []int{0, 1, 9}[verb-2]
			}
			switch verb {
			case 1:
				x.Verb, x.Key = "grant", "g"+key
				g := credits.Grant{Account: acc, Amount: int64(1 + r.IntN(20)), Key: "g-" + key, Priority: r.IntN(5) - 2, Category: credits.CategoryPromo}
				if key == "" {
					g.Key = fmt.Sprint("g-", a.Who, "-", w, "-", i)
				}
				x.Key = g.Key
				switch r.IntN(4) {
				case 0:
					g.ExpiresAt = now().Add(time.Duration(1+r.IntN(1500)) * time.Millisecond)
				case 1:
					g.EffectiveAt = now().Add(time.Duration(1+r.IntN(1500)) * time.Millisecond)
				case 2:
					if r.IntN(6) == 0 {
						g.Operations = []string{"image"}
						g.ExpiresAt = now().Add(time.Duration(1+r.IntN(300)) * time.Millisecond)
					}
				}
				if strings.HasPrefix(key, "shared") {
					g = credits.Grant{Account: acc, Amount: 3, Key: g.Key, Priority: 1}
				}
				x.Entry, err = l.Grant(c, on, g)
			case 2, 3, 4:
				x.Verb = "hold"
				var h credits.Held
				h, err = l.Hold(c, on, credits.Hold{Account: acc, Amount: int64(1 + r.IntN(5)), For: time.Duration(1000+r.IntN(1000)) * time.Millisecond,
					AtEnd: []credits.AtEnd{credits.AtEndRelease, credits.AtEndCharge}[r.IntN(2)], Key: "h" + key})
				x.Key = ""
				if err == nil && r.IntN(4) > 0 {
					_, _ = l.Settle(c, on, credits.Settle{Account: acc, Hold: h.ID, Amount: int64(r.IntN(8))})
				}
			case 5, 6:
				x.Verb, x.Key = "refund", ""
				_, err = l.Refund(c, on, credits.Refund{Account: acc, Entry: int64(1 + r.IntN(200)), Amount: 1, Key: "r" + fmt.Sprint(a.Who, w, i)})
			case 7:
				x.Verb, x.Key = "revoke", ""
				if r.IntN(4) == 0 {
					_, err = l.Revoke(c, on, credits.Revoke{Account: acc, Entry: int64(2 + r.IntN(300)), Key: "v" + fmt.Sprint(a.Who, w, i)})
				}
			case 8:
				x.Verb, x.Key = "budget", ""
				s := tenancy.Actor{Kind: "key", ID: "b"}
				if r.IntN(3) == 0 {
					_, err = l.SetBudget(c, on, credits.SetBudget{Account: acc, Subject: s, Limit: 50, Period: credits.BudgetDay})
				} else {
					err = l.RemoveBudget(c, on, credits.RemoveBudget{Account: acc, Subject: s})
				}
			case 9:
				x.Verb, x.Key = "refused", ""
				_, err = l.Deduct(c, on, credits.Deduct{Account: acc, Amount: 1 << 40})
			case 10:
				x.Verb, x.Key = "balance", ""
				_, err = l.Balance(c, on, acc)
			default:
				x.Entry, err = l.Deduct(c, on, credits.Deduct{Account: acc, Amount: 1 + int64(verb&1), Key: key, Operation: "op", Note: fmt.Sprint("o'", i)})
			}
			if host {
				if r.IntN(2) == 0 {
					_ = tx.Rollback()
					x.Verb, x.Err = "rolled back "+x.Verb, "rolled back"
					err = errors.New("rolled back")
				} else if e := tx.Commit(); e != nil && err == nil {
					err = e
				}
			}
			cancel()
			if err != nil {
				x.Err = err.Error()
			}
			x.Sure = err == nil || errors.Is(err, credits.ErrInsufficient)
			x.Replayed = x.Entry.Replayed
			say(x)
		}
		return nil
	})...)
}

// storm runs processes, and something during that, and judges what they were told.
func storm(t *testing.T, db *bun.DB, procs []stormArgs, during func(stop <-chan struct{})) {
	t.Helper()
	running := make([]*dbtest.Process, len(procs))
	for i, a := range procs {
		raw, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		running[i] = dbtest.Spawn(t, "storm", dbtest.DSN(db), string(raw))
	}
	stop := make(chan struct{})
	var beside, all sync.WaitGroup
	if during != nil {
		beside.Go(func() { during(stop) })
	}
	outs := make([]string, len(running))
	for i, p := range running {
		p.Go()
		all.Go(func() { outs[i] = p.Wait() })
	}
	all.Wait()
	close(stop)
	beside.Wait()
	var told []answered
	for _, out := range outs {
		for in := json.NewDecoder(strings.NewReader(out)); in.More(); {
			var x answered
			if err := in.Decode(&x); err != nil {
				t.Fatal(err)
			}
			told = append(told, x)
		}
	}
	judge(t, db, told)
}
