package credits_test

import (
	"context"
	"encoding/base64"
	"encoding/gob"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// observed is an operation with what came of it, and when it was asked for and answered
// by the machine's clock.
type observed struct {
	Worker       int
	Asked        operation
	Got          result
	Call, Return int64
}

// The policy of the ledgers whose histories are checked.
const linearOverdraft = 9

// linear is what credits are: each operation takes effect at one moment between being
// asked for and being answered, and does there what the model does. One of an unknown
// outcome may take effect or not, at any moment after it was asked for.
var linear = (&porcupine.NondeterministicModel{
	Init: func() []any {
		m := newModel("")
		m.overdraft = linearOverdraft
		return []any{m}
	},
	Step: func(state, input, output any) []any {
		m, o, got := state.(*model).clone(), input.(operation), output.(result)
		if got.Refusal == unknown {
			m.do(o, result{Hold: credits.Held{ID: unknown}})
			return []any{state, m}
		}
		for i := range m.holds {
			if m.holds[i].ID == unknown && got.Hold.Replayed {
				m.holds[i].ID = got.Hold.ID
			}
		}
		want := m.do(o, got)
		if want.Hold.Replayed { // it is not stored
			want.Hold.Spendable, got.Hold.Spendable = 0, 0
		}
		if want != got {
			return nil
		}
		return []any{m}
	},
	Equal: func(a, b any) bool { return standingOf(a) == standingOf(b) },
}).ToModel()

// unknown is the refusal of who has no answer.
var unknown = credits.ErrOutcomeUnknown.Error()

// standingOf is all that matters of a model.
func standingOf(state any) string {
	m := state.(*model)
	return fmt.Sprint(m.debt, m.grants, m.holds, len(m.entries), m.parts, len(m.keys))
}

// TestLinear_HistoriesOfTwoProcessesAreThoseOfOneAfterAnother lets two processes work on
// one account at once, with keys that both use and holds that both settle.
func TestLinear_HistoriesOfTwoProcessesAreThoseOfOneAfterAnother(t *testing.T) {
	t.Parallel()
	most := map[string]int{"sqlite": 4, "postgres": 12}
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		rounds := most[t.Name()[len("TestLinear_HistoriesOfTwoProcessesAreThoseOfOneAfterAnother/"):]]
		histories := make([][]porcupine.Operation, rounds)
		for p, out := range dbtest.Processes(t, 2, "linear", dbtest.DSN(db), fmt.Sprint(rounds)) {
			var seen [][]observed
			decoder := gob.NewDecoder(base64.NewDecoder(base64.StdEncoding, strings.NewReader(out)))
			if err := decoder.Decode(&seen); err != nil {
				t.Fatal(err)
			}
			for round, all := range seen {
				for _, o := range all {
					histories[round] = append(histories[round], porcupine.Operation{
						ClientId: p*workers + o.Worker, Input: o.Asked, Call: o.Call, Output: o.Got, Return: o.Return,
					})
				}
			}
		}
		for round, history := range histories {
			outcomes := map[string]int{}
			for _, o := range history {
				outcomes[kindOf(o)]++
			}
			t.Log(outcomes)
			switch porcupine.CheckOperationsTimeout(linear, history, time.Minute) {
			case porcupine.Illegal:
				t.Errorf("round %d is no history of one operation after another", round)
				for _, o := range history {
					t.Logf("%d–%d %d %s: %+v", o.Call, o.Return, o.ClientId, o.Input, o.Output)
				}
			case porcupine.Unknown:
				t.Errorf("round %d could not be checked in time", round)
			}
		}
		if found, err := credits.New(credits.Config{}).Verify(t.Context(), db, ""); err != nil || len(found) > 0 {
			t.Errorf("verify: %v, %v", found, err)
		}
	}, credits.Migrate)
}

// kindOf is what sort of thing happened.
func kindOf(o porcupine.Operation) string {
	verb, _, _ := strings.Cut(o.Input.(operation).String(), " ")
	got := o.Output.(result)
	switch {
	case got.Refusal != "":
		return verb + " refused"
	case got.Entry.Replayed || got.Hold.Replayed:
		return verb + " replayed"
	}
	return verb
}

// Of each of the two processes.
const (
	workers    = 4
	eachAsks   = 20
	sharedKeys = 5
)

// linearChild works on one account after another and prints what it saw.
func linearChild(ctx context.Context, db *bun.DB, args []string) error {
	var rounds int
	if _, err := fmt.Sscan(args[0], &rounds); err != nil {
		return err
	}
	l := credits.New(credits.Config{Now: func() time.Time { return start }, Overdraft: linearOverdraft})
	seen := make([][]observed, rounds)
	for round := range seen {
		var mu sync.Mutex
		dbtest.Together(workers, func(worker int) error {
			var holds []string
			var grants []int64
			for range eachAsks {
				o := observed{Worker: worker, Asked: someOperation(tenancy.AccountID(fmt.Sprint("acc_", round)), holds, grants)}
				o.Call = time.Now().UnixNano()
				o.Got = o.Asked.ask(ctx, l, db)
				o.Return = time.Now().UnixNano()
				if o.Got.Refusal == unknown {
					o.Return = math.MaxInt64
				}
				if o.Got.Hold.ID != "" && o.Asked.Hold != nil {
					holds = append(holds, o.Got.Hold.ID)
				}
				if o.Got.Entry.Kind == credits.KindGrant {
					grants = append(grants, o.Got.Entry.Number)
				}
				o.Got.Entry.Account, o.Got.Hold.Account = "", ""
				mu.Lock()
				seen[round] = append(seen[round], o)
				mu.Unlock()
			}
			return nil
		})
	}
	out := base64.NewEncoder(base64.StdEncoding, os.Stdout)
	if err := gob.NewEncoder(out).Encode(seen); err != nil {
		return err
	}
	return out.Close()
}

// someOperation is any. What goes by a key that both processes use says the same as a
// rule, and now and then another thing.
func someOperation(account tenancy.AccountID, holds []string, grants []int64) operation {
	n := 1 + rand.Int64N(12)
	key := fmt.Sprint(rand.Uint64())
	shared := rand.IntN(3) == 0
	if shared {
		n = 1 + rand.Int64N(sharedKeys)
		key = fmt.Sprint(n)
		if rand.IntN(8) == 0 {
			n++
		}
	}
	hold := "hld_none"
	if len(holds) > 0 {
		hold = holds[max(0, len(holds)-1-rand.IntN(3))]
	}
	verb := rand.IntN(22)
	if len(holds) == 0 && verb >= 16 {
		verb = 14
	}
	switch verb {
	case 0, 1, 2:
		priority := rand.IntN(1 << 30) // no two alike: which is spent first is no matter of ids
		if shared {
			priority = int(n)
		}
		return operation{Grant: &credits.Grant{Account: account, Amount: 3 * n, Key: "g" + key, Priority: priority, Category: credits.CategoryPaid}}
	case 3, 4, 5, 6, 7, 8, 9, 10, 11:
		if !shared && rand.IntN(2) == 0 {
			key = ""
		}
		return operation{Deduct: &credits.Deduct{Account: account, Amount: n, Key: key}}
	case 12:
		return operation{Refund: &credits.Refund{Account: account, Entry: 1 + rand.Int64N(40), Amount: rand.Int64N(4), Key: key}}
	case 13:
		entry := 1 + rand.Int64N(40)
		if len(grants) > 0 && rand.IntN(4) > 0 {
			entry = grants[len(grants)-1]
		}
		return operation{Revoke: &credits.Revoke{Account: account, Entry: entry, Key: "r" + key}}
	case 14, 15:
		return operation{Hold: &credits.Hold{Account: account, Amount: n, Key: "h" + key, For: time.Hour, AtEnd: credits.AtEndReview}}
	case 16, 17, 18:
		s := credits.Settle{Account: account, Hold: hold, Amount: n, Key: "s" + key, More: rand.IntN(2) == 0}
		if !s.More && rand.IntN(2) == 0 {
			s.Key = ""
		}
		return operation{Settle: &s}
	case 19:
		return operation{Extend: &credits.Extend{Account: account, Hold: hold, For: time.Duration(n) * time.Hour, AtEnd: credits.AtEndRelease}}
	default:
		return operation{Release: &credits.Release{Account: account, Hold: hold}}
	}
}
