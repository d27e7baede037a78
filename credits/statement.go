package credits

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Statement asks for an account's entries of a period, oldest first.
type Statement struct {
	Account tenancy.AccountID
	// From and To are the period: what was written at From or after it and before To.
	// Default: from the first entry, to the newest one.
	From, To time.Time
	// Cursor continues a page, with the same account and period: its Next.
	Cursor string
	// Limit is 1 to 500 entries a page. Default: 50.
	Limit int
	// Totals asks for the sums of the whole period, whichever its page. They take a
	// pass over all its entries; a page without them does not.
	Totals bool
}

// StatementPage is a page of a statement.
type StatementPage struct {
	// Opening is what was booked before the period, Closing at its end: the opening
	// balance and the amounts of all entries of the period make the closing one. All
	// pages of a statement say the same.
	Opening Booked `json:"opening"`
	Closing Booked `json:"closing"`
	// Totals are by kind, in its order.
	Totals []Total `json:"totals,omitempty"`
	// Entries are lines with the balance after each.
	Entries []Entry `json:"entries"`
	// Next is the Cursor of the following page; "" when this is the last.
	Next string `json:"next,omitempty"`
}

// Total is what the entries of a kind add up to.
type Total struct {
	Kind    Kind  `json:"kind"`
	Entries int64 `json:"entries"`
	// In is what they put into the account and Out what they took out of it, in
	// credits; neither is below zero.
	In  int64 `json:"in"`
	Out int64 `json:"out"`
}

// Statement reads a page of a statement. The first one finds which entries the period
// has; the cursor keeps that, so that what is written meanwhile comes into none of the
// pages, and page 10,000 costs no more than the first one. Periods of which one ends
// where the next begins have every entry once. A period that ended just now may still
// get the entry of a transaction that has not been committed.
//
// ErrInvalid: the account is no account id, the period ends before it begins or is not
// within the years 1 to 9999, the cursor is of another statement. ErrOverflow: a total
// is larger than an int64.
func (l *Ledger) Statement(ctx context.Context, db bun.IDB, what Statement) (StatementPage, error) {
	if err := what.validate(); err != nil {
		return StatementPage{}, err
	}
	limit := min(what.Limit, 500)
	if limit <= 0 {
		limit = 50
	}
	if what.Cursor == "" {
		if err := l.bookDue(ctx, db, what.Account); err != nil {
			return StatementPage{}, err
		}
	}
	p, after, err := what.find(ctx, db, l.cfg.Unit)
	if err != nil {
		return StatementPage{}, err
	}
	page := StatementPage{Opening: p.opening, Closing: p.closing}
	if page.Entries, err = p.lines(ctx, db, after, limit); err != nil {
		return StatementPage{}, err
	}
	if after += int64(len(page.Entries)); after < p.closing.Number {
		page.Next = what.next(p, after)
	}
	if what.Totals {
		if page.Totals, err = p.totals(ctx, db); err != nil {
			return StatementPage{}, err
		}
	}
	return page, nil
}

func (s Statement) validate() error {
	if err := checkAccount(s.Account); err != nil {
		return err
	}
	for _, t := range []time.Time{s.From, s.To} {
		if err := checkMoment(t); err != nil {
			return err
		}
	}
	if !s.To.IsZero() && s.To.Before(s.From) {
		return fmt.Errorf("%w: the period ends before it begins", ErrInvalid)
	}
	return nil
}

// period is the part of a ledger that a statement shows: the entries after opening up
// to closing. What has a number is written and stays as it is.
type period struct {
	account          tenancy.AccountID
	unit             string
	opening, closing Booked
}

// find is the period, and the number after which the page begins.
func (s Statement) find(ctx context.Context, db bun.IDB, unit string) (period, int64, error) {
	if s.Cursor != "" {
		return s.resume(ctx, db, unit)
	}
	opening, closing, err := lastBy(ctx, db, s.Account, unit, before(s.From), before(s.end()))
	return period{s.Account, unit, opening, closing}, opening.Number, err
}

// end is To, or after everything.
func (s Statement) end() time.Time {
	if s.To.IsZero() {
		return time.Date(9999, time.December, 31, 23, 59, 59, int(time.Second-1), time.UTC)
	}
	return s.To
}

// before is the last moment before t that an entry can have been written at.
func before(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return micro(t.Add(-1))
}

// lines reads the entries after a number.
func (p period) lines(ctx context.Context, db bun.IDB, after int64, limit int) ([]Entry, error) {
	n := min(int64(limit), p.closing.Number-after)
	if n <= 0 {
		return []Entry{}, nil
	}
	rows := make([]entryRow, 0, n)
	err := db.NewSelect().Model(&rows).
		Where("account_id = ? AND unit = ? AND number > ? AND number <= ?", p.account, p.unit, after, after+n).
		OrderExpr("number").Scan(ctx)
	if err != nil {
		return nil, err
	}
	// Better no statement than one from which something is missing.
	if int64(len(rows)) != n {
		return nil, fmt.Errorf("credits: after entry %d of %s there are %d where %d belong: run Verify", after, p.account, len(rows), n)
	}
	entries := make([]Entry, n)
	for i, r := range rows {
		entries[i] = r.entry()
	}
	return entries, nil
}

// totals adds up the period by kind. The sums are taken in halves of 32 bits: what
// came in over the years can be more than an int64 has room for, even if the balance
// never was, and databases fail at that.
func (p period) totals(ctx context.Context, db bun.IDB) ([]Total, error) {
	type line struct {
		Kind                           Kind
		Entries                        int64
		InHigh, InLow, OutHigh, OutLow int64
	}
	var lines []line
	err := db.NewRaw(`SELECT kind, COUNT(*) AS entries,
			CAST(SUM(CASE WHEN amount > 0 THEN amount / 4294967296 ELSE 0 END) AS BIGINT) AS in_high,
			CAST(SUM(CASE WHEN amount > 0 THEN amount % 4294967296 ELSE 0 END) AS BIGINT) AS in_low,
			CAST(SUM(CASE WHEN amount < 0 THEN -(amount / 4294967296) ELSE 0 END) AS BIGINT) AS out_high,
			CAST(SUM(CASE WHEN amount < 0 THEN -(amount % 4294967296) ELSE 0 END) AS BIGINT) AS out_low
		FROM credits_entries WHERE account_id = ? AND unit = ? AND number > ? AND number <= ?
		GROUP BY kind`, p.account, p.unit, p.opening.Number, p.closing.Number).Scan(ctx, &lines)
	if err != nil {
		return nil, err
	}
	totals := make([]Total, len(lines))
	for i, t := range lines {
		totals[i] = Total{Kind: t.Kind, Entries: t.Entries}
		var inOK, outOK bool
		totals[i].In, inOK = join(t.InHigh, t.InLow)
		totals[i].Out, outOK = join(t.OutHigh, t.OutLow)
		if !inOK || !outOK {
			return nil, fmt.Errorf("%w: ask for the totals of a shorter period", ErrOverflow)
		}
	}
	slices.SortFunc(totals, func(a, b Total) int { return cmp.Compare(a.Kind, b.Kind) })
	return totals, nil
}

// join is high·2³² + low, both not below zero, if an int64 has room for it.
func join(high, low int64) (int64, bool) {
	high, carried := high+low>>32, low&(1<<32-1)
	if high >= 1<<31 {
		return 0, false
	}
	return high<<32 | carried, true
}
