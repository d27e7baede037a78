package tenancy

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"
)

type accountRow struct {
	bun.BaseModel `bun:"table:tenancy_accounts,alias:a"`

	ID            AccountID `bun:"account_id,pk"`
	Name          string    `bun:"name"`
	Status        Status    `bun:"status"`
	SuspendedFrom Status    `bun:"suspended_from"`
	Plan          string    `bun:"plan"`
	Owner         UserID    `bun:"owner_id"`
	Zone          string    `bun:"zone"`
	TrialEndsAt   time.Time `bun:"trial_ends_at,nullzero"`
	GraceEndsAt   time.Time `bun:"grace_ends_at,nullzero"`
	PaidUntil     time.Time `bun:"paid_until,nullzero"`
	ClosedFrom    Status    `bun:"closed_from"`
	ClosedAt      time.Time `bun:"closed_at,nullzero"`
	PurgeAt       time.Time `bun:"purge_at,nullzero"`
	CreatedAt     time.Time `bun:"created_at"`
	UpdatedAt     time.Time `bun:"updated_at"`
}

func (r accountRow) account() Account {
	return Account{
		ID: r.ID, Name: r.Name, State: r.state(), SuspendedFrom: r.SuspendedFrom, Plan: r.Plan, Owner: r.Owner, Zone: r.Zone,
		ClosedFrom: r.ClosedFrom, ClosedAt: utc(r.ClosedAt), PurgeAt: utc(r.PurgeAt),
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

func newAccountRow(a Account) accountRow {
	return accountRow{
		ID: a.ID, Name: a.Name, Status: a.Status, SuspendedFrom: a.SuspendedFrom, Plan: a.Plan, Owner: a.Owner, Zone: a.Zone,
		TrialEndsAt: a.TrialEndsAt, GraceEndsAt: a.GraceEndsAt, PaidUntil: a.PaidUntil,
		ClosedFrom: a.ClosedFrom, ClosedAt: a.ClosedAt, PurgeAt: a.PurgeAt,
		CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt,
	}
}

func (r accountRow) state() State {
	return State{Status: r.Status, TrialEndsAt: utc(r.TrialEndsAt), GraceEndsAt: utc(r.GraceEndsAt), PaidUntil: utc(r.PaidUntil)}
}

// gone reports that there is no such account any more, whatever is left of it.
func (r accountRow) gone() bool { return r.Status == StatusClosed || r.Status == StatusErased }

// utc keeps the zero time zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

// Get reads an account. ErrNoAccount: there is none.
func (a *Accounts) Get(ctx context.Context, db bun.IDB, id AccountID) (Account, error) {
	row, err := readAccount(ctx, db, id)
	return row.account(), err
}

// Lock reads an account and keeps every other change of it, and of its members,
// waiting until the caller's transaction ends. A transaction that changes an account
// and its credits, or other rows of it that one waits for, in whatever order, locks
// the account first, as this library does: then nobody waits in a circle. The audit
// log and the outbox are waited for by nobody. Given a *bun.DB it is Get.
// ErrNoAccount: there is none.
func (a *Accounts) Lock(ctx context.Context, db bun.IDB, id AccountID) (Account, error) {
	row, err := lockAccount(ctx, db, id)
	return row.account(), err
}

func readAccount(ctx context.Context, db bun.IDB, id AccountID) (accountRow, error) {
	var row accountRow
	if !id.known() {
		return row, ErrNoAccount
	}
	err := db.NewSelect().Model(&row).Where("account_id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return accountRow{}, ErrNoAccount
	}
	return row, err
}

// lockAccount reads an account and keeps every other change of it, and of its
// members, waiting until the transaction ends. A write is the lock: the same
// statement on both databases.
func lockAccount(ctx context.Context, db bun.IDB, id AccountID) (accountRow, error) {
	if !id.known() {
		return accountRow{}, ErrNoAccount
	}
	res, err := db.NewUpdate().Model((*accountRow)(nil)).Set("updated_at = updated_at").Where("account_id = ?", id).Exec(ctx)
	if err != nil {
		return accountRow{}, err
	}
	if n, err := res.RowsAffected(); err != nil {
		return accountRow{}, err
	} else if n == 0 {
		return accountRow{}, ErrNoAccount
	}
	return readAccount(ctx, db, id)
}
