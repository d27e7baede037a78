package credits

import (
	"context"
	"math"
	"time"

	"github.com/uptrace/bun"
)

// walk is what the entries add up to, as far as it got.
type walk struct {
	after int64 // the number of the last one
	count int64 // the number that it should have
	total int64
	at    time.Time
	debt  int64
	lost  int64 // splits whose grant is not there

	orphan int64 // the newest entry that is not there and has splits

	grants map[string]walkedGrant
}

// walkedGrant is what the entries put into a grant and took from it.
type walkedGrant struct {
	number int64 // of the entry that made it
	begun  bool
	given  int64 // by that entry
	left   int64
}

func newWalk() walk {
	return walk{after: math.MinInt64, orphan: math.MinInt64, grants: map[string]walkedGrant{}}
}

// ahead walks what is there by now. It stays as it is.
func (v *verification) ahead(ctx context.Context, db bun.IDB) error {
	var number int64
	rows, err := db.QueryContext(ctx, `SELECT number FROM credits_accounts WHERE account_id = ? AND unit = ?`, v.account, v.unit)
	err = each(rows, err, func(scan func(...any) error) error { return scan(&number) })
	if err != nil || number <= 0 {
		return err
	}
	return v.walkTo(ctx, db, number)
}

// rest walks what came since, to the end.
func (v *verification) rest(ctx context.Context, db bun.IDB) error {
	if err := v.walkTo(ctx, db, math.MaxInt64); err != nil {
		return err
	}
	return v.splits(ctx, db, math.MaxInt64, func(number, _ int64) { v.orphan(number) })
}

// orphan reports an entry that only its splits are left of, once.
func (v *verification) orphan(number int64) {
	if v.walk.orphan == number {
		return
	}
	v.walk.orphan = number
	v.finding("every split's entry exists", number, "entry %d", number)
}

// walkTo walks the ledger once up to a number, whatever its length, in bounded memory.
func (v *verification) walkTo(ctx context.Context, db bun.IDB, last int64) error {
	// Whatever an entry up to there is of was written with it or before.
	rows, err := db.QueryContext(ctx, `SELECT grant_id, number FROM credits_grants WHERE account_id = ? AND unit = ?`, v.account, v.unit)
	err = each(rows, err, func(scan func(...any) error) error {
		var id string
		var number int64
		err := scan(&id, &number)
		if _, known := v.walk.grants[id]; !known {
			v.walk.grants[id] = walkedGrant{number: number}
		}
		return err
	})
	for err == nil {
		var page []walkedEntry
		if page, err = v.page(ctx, db, last); err != nil || len(page) == 0 {
			break
		}
		for _, e := range page {
			v.entry(e)
		}
	}
	return err
}

// walkedEntry is an entry with the sum of its splits.
type walkedEntry struct {
	Number, Amount, Balance, Spendable int64
	At                                 time.Time
	Grant                              string
	split                              int64
}

func (v *verification) page(ctx context.Context, db bun.IDB, last int64) ([]walkedEntry, error) {
	page := make([]walkedEntry, 0, 1000)
	rows, err := db.QueryContext(ctx, `SELECT number, amount, balance, spendable, at, grant_id FROM credits_entries
		WHERE account_id = ? AND unit = ? AND number > ? AND number <= ? ORDER BY number LIMIT 1000`, v.account, v.unit, v.walk.after, last)
	err = each(rows, err, func(scan func(...any) error) error {
		var e walkedEntry
		err := scan(&e.Number, &e.Amount, &e.Balance, &e.Spendable, &e.At, &e.Grant)
		if e.Grant != "" {
			v.split(e.Number, e.Grant, e.Amount)
			e.split = e.Amount
		}
		page = append(page, e)
		return err
	})
	if err != nil || len(page) == 0 {
		return nil, err
	}
	i := 0
	return page, v.splits(ctx, db, page[len(page)-1].Number, func(number, amount int64) {
		for page[i].Number < number {
			i++
		}
		if page[i].Number == number {
			page[i].split += amount
		} else {
			v.orphan(number)
		}
	})
}

// splits hands over those of the entries after the walk's last one, up to another.
func (v *verification) splits(ctx context.Context, db bun.IDB, last int64, fn func(number, amount int64)) error {
	rows, err := db.QueryContext(ctx, `SELECT number, grant_id, amount FROM credits_splits
		WHERE account_id = ? AND unit = ? AND number > ? AND number <= ? ORDER BY number, position`, v.account, v.unit, v.walk.after, last)
	return each(rows, err, func(scan func(...any) error) error {
		var number, amount int64
		var grant string
		if err := scan(&number, &grant, &amount); err != nil {
			return err
		}
		v.split(number, grant, amount)
		fn(number, amount)
		return nil
	})
}

func (v *verification) split(number int64, grant string, amount int64) {
	g, known := v.walk.grants[grant]
	switch {
	case grant == "":
		v.walk.debt -= amount
	case !known:
		v.walk.lost++
	default:
		if number == g.number && !g.begun {
			g.begun, g.given = true, amount
		}
		g.left += amount
		v.walk.grants[grant] = g
	}
}

func (v *verification) entry(e walkedEntry) {
	w := &v.walk
	w.after = e.Number
	w.count++
	if e.Number != w.count {
		v.finding("entries are numbered without gaps", e.Number, "entry %d where %d belongs", e.Number, w.count)
		w.count = e.Number
	}
	if e.At.Before(w.at) {
		v.finding("an entry is not older than the one before", e.Number, "entry %d is of %s, the one before of %s", e.Number, instant(e.At), instant(w.at))
	}
	w.at = e.At
	w.total += e.Amount
	if e.Balance != w.total {
		v.finding("each balance is the one before plus the amount", e.Number, "entry %d says %d, the sum is %d", e.Number, e.Balance, w.total)
	}
	if e.Spendable < 0 || e.Spendable > max(0, e.Balance) {
		v.finding("what can be spent is between nothing and the balance", e.Number, "entry %d says %d of %d", e.Number, e.Spendable, e.Balance)
	}
	if e.split != e.Amount {
		v.finding("an entry is the sum of its splits", e.Number, "entry %d is %d, its splits %d", e.Number, e.Amount, e.split)
	}
}
