package prices

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Prices asks for all that is in effect.
type Prices struct {
	// Account is who asks: its own prices are in the place of the general ones.
	// Default: nobody, so the general ones.
	Account tenancy.AccountID
	// At is the instant. Default: now.
	At time.Time
}

// Prices reads what is in effect, in the order of operations, compared byte by byte.
// ErrInvalid.
func (l *List) Prices(ctx context.Context, db bun.IDB, what Prices) ([]Version, error) {
	if err := cmp.Or(checkAccount(what.Account), checkTime(what.At)); err != nil {
		return nil, err
	}
	at := l.at(what.At)
	var rows []versionRow
	err := db.NewSelect().Model(&rows).Where("account_id IN ('', ?)", what.Account).Where("effective_at <= ?", at).
		Where(`NOT EXISTS (SELECT 1 FROM credits_prices AS later WHERE later.account_id = p.account_id AND later.operation = p.operation
			AND later.effective_at <= ? AND (later.effective_at > p.effective_at
				OR later.effective_at = p.effective_at AND later.version > p.version))`, at).Scan(ctx)
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(r versionRow) bool { return r.Ended })
	// An account's own before the general one, of which it takes the place.
	slices.SortFunc(rows, func(a, b versionRow) int {
		return cmp.Or(cmp.Compare(a.Operation, b.Operation), -cmp.Compare(a.Account, b.Account))
	})
	return versions(slices.CompactFunc(rows, func(a, b versionRow) bool { return a.Operation == b.Operation }))
}

// History asks for a page of the versions of one price, newest first.
type History struct {
	// Account is whose price it is. Default: the general one.
	Account   tenancy.AccountID
	Operation string
	// Before continues a page: the Number of its last version. 0 starts with the newest.
	Before int64
	// Limit is 1 to 500. Default: 50.
	Limit int
}

// History reads a page of versions in the order in which they were set, newest first:
// those that were in effect, those that will be and those that were called off before.
// It is empty where there never was a price. ErrInvalid.
func (l *List) History(ctx context.Context, db bun.IDB, what History) ([]Version, error) {
	if err := cmp.Or(checkAccount(what.Account), checkOperation(what.Operation)); err != nil {
		return nil, err
	}
	limit := min(what.Limit, 500)
	if limit <= 0 {
		limit = 50
	}
	var rows []versionRow
	q := db.NewSelect().Model(&rows).Where("account_id = ? AND operation = ?", what.Account, what.Operation).
		OrderExpr("version DESC").Limit(int64(limit))
	if what.Before > 0 {
		q = q.Where("version < ?", what.Before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	return versions(rows)
}
