package credits

import (
	"context"
	"database/sql"
	"errors"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Balance is what an account has, in credits.
type Balance struct {
	// Booked is the sum of all entries.
	Booked int64 `json:"booked"`
	// Held is set aside for work under way.
	Held int64 `json:"held"`
	// Spendable is what a deduction may take now for any operation: what is in effect,
	// not expired, not held, not for some operations only, less a debt.
	Spendable int64 `json:"spendable"`
}

// Balance reads an account's balance. An account that never had credits has zero.
// What has become due meanwhile – a grant has expired – is booked first, which writes.
// Deduct decides again under the account's lock: a balance read before is a hint.
// ErrInvalid: account is no account id.
func (l *Ledger) Balance(ctx context.Context, db bun.IDB, account tenancy.AccountID) (Balance, error) {
	if err := checkAccount(account); err != nil {
		return Balance{}, err
	}
	if err := l.bookDue(ctx, db, account); err != nil {
		return Balance{}, err
	}
	var b Balance
	var free, debt int64
	now := l.now()
	err := db.NewRaw(`SELECT a.booked, a.held, a.debt, (
			SELECT CAST(COALESCE(SUM(CASE g.grant_id WHEN a.head THEN a.head_free ELSE g.remaining - g.held END), 0) AS BIGINT) FROM credits_grants AS g
			WHERE g.account_id = a.account_id AND g.unit = a.unit AND g.filled AND g.operations = ''
			AND g.effective_at <= ? AND (g.expires_at IS NULL OR g.expires_at > ?)
		) FROM credits_accounts AS a WHERE a.account_id = ? AND a.unit = ?`, now, now, account, l.cfg.Unit).
		Scan(ctx, &b.Booked, &b.Held, &debt, &free)
	if errors.Is(err, sql.ErrNoRows) {
		return Balance{}, nil
	}
	if err != nil {
		return Balance{}, err
	}
	b.Spendable = max(0, free-debt)
	return b, nil
}
