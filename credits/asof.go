package credits

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// AsOf asks what an account had at a moment.
type AsOf struct {
	Account tenancy.AccountID
	// At is the moment, to the microsecond; what was written at it counts.
	At time.Time
}

// Booked is an account's booked balance right after one of its entries.
type Booked struct {
	// Number is the entry's; 0 is before the first one.
	Number int64 `json:"number"`
	// Balance is the sum of all entries up to it, in credits.
	Balance int64 `json:"balance"`
}

// BalanceAsOf is what an account had at a moment, in the past as far back as its first
// entry: the sum of the entries made by then. What has become due meanwhile is booked
// first, as of its moment. A moment to come shows what is there now, and one that passed
// just now may still get the entry of a transaction that has not been committed.
//
// It looks at as many entries as their number has binary digits, and needs no index of
// times: numbers ascend with them. ErrInvalid: the account is no account id, or the
// moment is not set or not within the years 1 to 9999.
func (l *Ledger) BalanceAsOf(ctx context.Context, db bun.IDB, what AsOf) (Booked, error) {
	if err := checkAccount(what.Account); err != nil {
		return Booked{}, err
	}
	if what.At.IsZero() {
		return Booked{}, fmt.Errorf("%w: a moment is required", ErrInvalid)
	}
	if err := checkMoment(what.At); err != nil {
		return Booked{}, err
	}
	if err := l.bookDue(ctx, db, what.Account); err != nil {
		return Booked{}, err
	}
	at := micro(what.At)
	_, booked, err := lastBy(ctx, db, what.Account, l.cfg.Unit, at, at)
	return booked, err
}

func checkMoment(t time.Time) error {
	if y := t.UTC().Year(); y < 1 || y > 9999 {
		return fmt.Errorf("%w: a date is not within the years 1 to 9999", ErrInvalid)
	}
	return nil
}

// lastBy finds the last entries that were written at or before two moments, of which
// the second is not before the first. Both are searched in one statement and so in the
// same ledger, whatever is being added to it.
//
// Each search goes up by halved powers of two, as long as there is such an entry and it
// is not too late. The look-ups are sub-queries, since of a join a planner could make a
// reading of the whole account.
func lastBy(ctx context.Context, db bun.IDB, account tenancy.AccountID, unit string, first, second time.Time) (a, b Booked, err error) {
	err = db.NewRaw(`WITH RECURSIVE search (a, b, step) AS (
			SELECT CAST(0 AS BIGINT), CAST(0 AS BIGINT), CAST(4611686018427387904 AS BIGINT)
			UNION ALL
			SELECT
				a + CASE WHEN (SELECT e.at FROM credits_entries AS e
					WHERE e.account_id = ?0 AND e.unit = ?1 AND e.number = a + step) <= ?2 THEN step ELSE 0 END,
				b + CASE WHEN (SELECT e.at FROM credits_entries AS e
					WHERE e.account_id = ?0 AND e.unit = ?1 AND e.number = b + step) <= ?3 THEN step ELSE 0 END,
				step / 2
			FROM search WHERE step > 0)
		SELECT
			a, COALESCE((SELECT e.balance FROM credits_entries AS e WHERE e.account_id = ?0 AND e.unit = ?1 AND e.number = a), 0),
			b, COALESCE((SELECT e.balance FROM credits_entries AS e WHERE e.account_id = ?0 AND e.unit = ?1 AND e.number = b), 0)
		FROM search WHERE step = 0`, account, unit, first, second).
		Scan(ctx, &a.Number, &a.Balance, &b.Number, &b.Balance)
	if err != nil {
		return Booked{}, Booked{}, err
	}
	return a, b, nil
}
