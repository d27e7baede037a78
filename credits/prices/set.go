package prices

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Set writes a price into the list.
type Set struct {
	// Account is whose price it is, agreed with that customer: it goes before the
	// general one for as long as it is there. Default: everybody's.
	Account tenancy.AccountID
	// Operation is what is paid for: "chat". 200 bytes at most, of what prints and is
	// neither a quote nor a backslash.
	Operation string
	Price     Price
	// EffectiveAt is when the price takes effect. Default: at once. No time that has
	// passed: it was another price then, or none.
	EffectiveAt time.Time
	// Reason is for the audit log, 1000 bytes at most.
	Reason string
	// Actor is who sets it, for the audit log. Default: the system.
	Actor tenancy.Actor
}

// End writes into the list that there is no price any more: ErrNoPrice for the
// operation, or, of an account's own price, the general one again.
type End struct {
	// Account is whose price ends. Default: the general one.
	Account   tenancy.AccountID
	Operation string
	// EffectiveAt is when it ends. Default: at once. No time that has passed.
	EffectiveAt time.Time
	// Reason is for the audit log, 1000 bytes at most.
	Reason string
	// Actor is who ends it, for the audit log. Default: the system.
	Actor tenancy.Actor
}

// Set appends a version to the list, and a line to the audit log: of the account, or of
// the installation for a general price. It returns the version.
//
// Each version holds from its date to the next one's, and of several with one date the
// last that was set. So what is not in effect yet is called off or corrected by another
// Set for the same date; what was once in effect stays as it was.
//
// What the list says already is not written again: the same price at the same date, or,
// without a date, the one that is in effect. So a program may set its price whenever it
// starts, in any number of processes.
//
// A price without a date counts from the commit of its transaction. To the moment, in
// all processes, counts one that is dated some minutes ahead of it.
//
// It returns ErrInvalid. Two transactions that set several prices set them in one order.
func (l *List) Set(ctx context.Context, db bun.IDB, s Set) (Version, error) {
	price, err := s.Price.normal()
	if err != nil {
		return Version{}, err
	}
	v := Version{Account: s.Account, Operation: s.Operation, Price: price, EffectiveAt: s.EffectiveAt}
	return l.write(ctx, db, v, tenancy.Audit{Action: "credits.set_price", Actor: s.Actor, Reason: s.Reason})
}

// End appends a version that is no price, as Set does. It returns ErrInvalid, and
// ErrNoPrice where there never was one.
func (l *List) End(ctx context.Context, db bun.IDB, e End) (Version, error) {
	v := Version{Account: e.Account, Operation: e.Operation, Ended: true, EffectiveAt: e.EffectiveAt}
	return l.write(ctx, db, v, tenancy.Audit{Action: "credits.end_price", Actor: e.Actor, Reason: e.Reason})
}

// maxTurns bounds how often a version waits for others to be set before it.
const maxTurns = 100

func (l *List) write(ctx context.Context, db bun.IDB, v Version, line tenancy.Audit) (Version, error) {
	if line.Actor == (tenancy.Actor{}) {
		line.Actor = tenancy.Actor{Kind: tenancy.ActorSystem, ID: "credits"}
	}
	line.Account, line.Target = v.Account, v.Operation
	v.EffectiveAt = micro(v.EffectiveAt)
	if err := cmp.Or(checkAccount(v.Account), checkOperation(v.Operation), checkTime(v.EffectiveAt)); err != nil {
		return Version{}, err
	}
	// Before anything is written: a host may commit in spite of a refusal.
	if line.Validate() != nil {
		return Version{}, fmt.Errorf("%w: the actor has a kind and an id of 200 bytes, the reason 1000, in text that prints", ErrInvalid)
	}
	var out Version
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		for range maxTurns {
			var (
				wrote bool
				err   error
			)
			if out, wrote, err = l.next(ctx, db, v); err != nil {
				return err
			}
			if wrote {
				return l.note(ctx, db, out, line)
			}
			if out.Unchanged {
				return nil
			}
		}
		return errors.New("prices: too many versions of one price are set at once")
	})
	if err != nil {
		return Version{}, err
	}
	return out, nil
}

// next tries to append v as the version after the newest. Where somebody else took that
// number first it neither wrote nor is the version unchanged: all is to be asked again.
func (l *List) next(ctx context.Context, db bun.IDB, v Version) (out Version, wrote bool, err error) {
	// The number first: whoever comes between it and what is read next has taken it.
	var newest int64
	err = db.NewRaw("SELECT COALESCE(MAX(version), 0) FROM credits_prices WHERE account_id = ? AND operation = ?",
		v.Account, v.Operation).Scan(ctx, &newest)
	if err != nil {
		return Version{}, false, err
	}
	if v.Ended && newest == 0 {
		return Version{}, false, ErrNoPrice
	}
	now := l.now()
	standing, err := stands(ctx, db, v, now)
	if err != nil {
		return Version{}, false, err
	}
	if standing != nil && standing.Ended == v.Ended && standing.Price.equal(v.Price) {
		standing.Unchanged = true
		return *standing, false, nil
	}
	if v.EffectiveAt.IsZero() {
		v.EffectiveAt = now
	}
	if v.EffectiveAt.Before(now) {
		return Version{}, false, fmt.Errorf("%w: a price does not take effect in the past", ErrInvalid)
	}
	v.Number, v.SetAt = newest+1, now
	row, err := newVersionRow(v)
	if err != nil {
		return Version{}, false, err
	}
	res, err := db.NewInsert().Model(row).On("CONFLICT (account_id, operation, version) DO NOTHING").Exec(ctx)
	if err != nil {
		return Version{}, false, err
	}
	n, err := res.RowsAffected()
	return v, n == 1, err
}

// stands is the version that v would take the place of: the last one for its date, or
// the one that is in effect now. nil: there is none.
func stands(ctx context.Context, db bun.IDB, v Version, now time.Time) (*Version, error) {
	var rows []versionRow
	q := db.NewSelect().Model(&rows).Where("account_id = ? AND operation = ?", v.Account, v.Operation).
		OrderExpr("effective_at DESC, version DESC").Limit(1)
	if v.EffectiveAt.IsZero() {
		q = q.Where("effective_at <= ?", now)
	} else {
		q = q.Where("effective_at = ?", v.EffectiveAt)
	}
	if err := q.Scan(ctx); err != nil || len(rows) == 0 {
		return nil, err
	}
	found, err := rows[0].version()
	return &found, err
}

func (l *List) note(ctx context.Context, db bun.IDB, v Version, line tenancy.Audit) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	line.At, line.Data = v.SetAt, data
	return tenancy.Record(ctx, db, line)
}
