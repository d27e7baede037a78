package credits_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
)

// judge compares what callers were told with what is there: each success is one entry, as
// it was told, and no refusal is. The ledger adds up, and was spent in burn order.

func judge(t *testing.T, db *bun.DB, told []answered) {
	t.Helper()
	type row struct {
		Account   tenancy.AccountID `bun:"account_id"`
		Number    int64
		Kind      string
		Amount    int64
		Balance   int64
		Spendable int64
		Key       string
		At        time.Time
		GrantID   string
	}
	var rows []row
	if err := db.NewRaw("SELECT account_id, number, kind, amount, balance, spendable, key, at, grant_id FROM credits_entries ORDER BY account_id, number").Scan(t.Context(), &rows); err != nil {
		t.Fatal(err)
	}
	type id struct {
		a tenancy.AccountID
		n int64
	}
	by, keys := map[id]row{}, map[string]row{}
	for _, r := range rows {
		by[id{r.Account, r.Number}] = r
		if r.Key != "" {
			k := string(r.Account) + "/" + r.Key
			if _, twice := keys[k]; twice {
				t.Errorf("key %s twice", k)
			}
			keys[k] = r
		}
	}
	seen := map[id]int{}
	bad := 0
	fail := func(f string, a ...any) {
		if bad++; bad <= 8 {
			t.Errorf(f, a...)
		}
	}
	ok := 0
	for _, x := range told {
		if x.Verb != "deduct" && x.Verb != "grant" {
			continue
		}
		k := string(x.Account) + "/" + x.Key
		if x.Err != "" {
			if x.Sure && x.Key != "" && !strings.HasPrefix(x.Key, "shared") {
				if r, there := keys[k]; there {
					fail("refused but there: %+v %+v", x, r)
				}
			}
			continue
		}
		ok++
		e := x.Entry
		r, there := by[id{x.Account, e.Number}]
		if !there {
			fail("LOST: told %+v", e)
			continue
		}
		if string(e.Kind) != r.Kind || e.Amount != r.Amount || e.Balance != r.Balance || e.Spendable != r.Spendable || e.Key != r.Key || !e.At.Equal(r.At) {
			fail("told %+v, there is %+v", e, r)
		}
		if x.Replayed {
			continue
		}
		if seen[id{x.Account, e.Number}]++; seen[id{x.Account, e.Number}] > 1 {
			fail("number %d of %s told twice", e.Number, x.Account)
		}
	}
	l := credits.New(credits.Config{})
	found, err := l.Verify(t.Context(), db, "")
	if err != nil {
		t.Error(err)
	}
	for i, f := range found {
		if i < 5 {
			t.Error(f)
		}
	}
	order := burn(t, db)
	if len(order) > 0 {
		t.Errorf("%d entries out of burn order or with another spendable, first %v", len(order), order[:min(4, len(order))])
	}
	if ok == 0 {
		t.Error("nothing was done")
	}
}

// burn replays the ledger and looks for deductions that did not take what came first, and
// for those with another spendable.
func burn(t *testing.T, db *bun.DB) (wrong []string) {
	t.Helper()
	type g struct {
		Account     tenancy.AccountID `bun:"account_id"`
		ID          string            `bun:"grant_id"`
		Category    string
		Priority    int64
		Amount      int64
		Operations  string
		Number      int64
		EffectiveAt time.Time
		ExpiresAt   time.Time `bun:",nullzero"`
		left        int64
	}
	var gs []*g
	if err := db.NewRaw("SELECT account_id, grant_id, category, priority, amount, operations, number, effective_at, expires_at FROM credits_grants").Scan(t.Context(), &gs); err != nil {
		t.Fatal(err)
	}
	holds := map[tenancy.AccountID]bool{}
	var held []tenancy.AccountID
	if err := db.NewRaw("SELECT DISTINCT account_id FROM credits_holds").Scan(t.Context(), &held); err != nil {
		t.Fatal(err)
	}
	for _, h := range held {
		holds[h] = true
	}
	var es []struct {
		Account   tenancy.AccountID `bun:"account_id"`
		Number    int64
		Kind      string
		Amount    int64
		Spendable int64
		At        time.Time
		Grant     string `bun:"grant_id"`
		Part      int64
		Position  int64
		Operation string
	}
	if err := db.NewRaw(`SELECT e.account_id, e.number, e.kind, e.amount, e.spendable, e.at, e.operation, s.grant_id, s.amount AS part, s.position FROM credits_entries e JOIN (
			SELECT account_id, unit, number, position, grant_id, amount FROM credits_splits
			UNION ALL SELECT account_id, unit, number, 1, grant_id, amount FROM credits_entries WHERE grant_id <> '') AS s
			USING (account_id, unit, number) ORDER BY 1, 2, s.position`).Scan(t.Context(), &es); err != nil {
		t.Fatal(err)
	}
	byID := map[string]*g{}
	of := map[tenancy.AccountID][]*g{}
	for _, x := range gs {
		byID[x.ID] = x
		of[x.Account] = append(of[x.Account], x)
	}
	cats := map[string]int{"allowance": 0, "promo": 1, "adjustment": 2, "paid": 3}
	before := func(a, b *g) bool {
		if a.Priority != b.Priority {
			return a.Priority < b.Priority
		}
		if !a.ExpiresAt.Equal(b.ExpiresAt) {
			if a.ExpiresAt.IsZero() || b.ExpiresAt.IsZero() {
				return b.ExpiresAt.IsZero()
			}
			return a.ExpiresAt.Before(b.ExpiresAt)
		}
		if cats[a.Category] != cats[b.Category] {
			return cats[a.Category] < cats[b.Category]
		}
		if !a.EffectiveAt.Equal(b.EffectiveAt) {
			return a.EffectiveAt.Before(b.EffectiveAt)
		}
		return a.ID < b.ID
	}
	live := func(x *g, at time.Time) bool {
		return x.left > 0 && !at.Before(x.EffectiveAt) && (x.ExpiresAt.IsZero() || at.Before(x.ExpiresAt)) && x.Operations == ""
	}
	for i, e := range es {
		x := byID[e.Grant]
		if x == nil {
			continue
		}
		if e.Kind == "deduct" && !holds[e.Account] && x.Operations == "" {
			if !live(x, e.At) {
				wrong = append(wrong, fmt.Sprintf("%s/%d took from a grant that is not live (made by %d, eff %v exp %v at %v left %d)", e.Account, e.Number, x.Number, x.EffectiveAt, x.ExpiresAt, e.At, x.left))
			}
			for _, y := range of[e.Account] {
				if y != x && live(y, e.At) && before(y, x) {
					wrong = append(wrong, fmt.Sprintf("%s/%d took from %d before %d (eff %v at %v)", e.Account, e.Number, x.Number, y.Number, y.EffectiveAt, e.At))
				}
			}
		}
		x.left += e.Part
		last := i+1 == len(es) || es[i+1].Account != e.Account || es[i+1].Number != e.Number
		if last && e.Kind == "deduct" && !holds[e.Account] {
			n := int64(0)
			for _, y := range of[e.Account] {
				if live(y, e.At) {
					n += y.left
				}
			}
			if n != e.Spendable {
				wrong = append(wrong, fmt.Sprintf("%s/%d says spendable %d, it is %d", e.Account, e.Number, e.Spendable, n))
			}
		}
	}
	return wrong
}
