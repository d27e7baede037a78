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
	CreatedAt     time.Time `bun:"created_at"`
	UpdatedAt     time.Time `bun:"updated_at"`
}

func (r accountRow) account() Account {
	return Account{
		ID: r.ID, Name: r.Name, State: r.state(), SuspendedFrom: r.SuspendedFrom, Plan: r.Plan, Owner: r.Owner, Zone: r.Zone,
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

func (r accountRow) state() State {
	return State{Status: r.Status, TrialEndsAt: utc(r.TrialEndsAt), GraceEndsAt: utc(r.GraceEndsAt), PaidUntil: utc(r.PaidUntil)}
}

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
	for _, at := range []*time.Time{&row.TrialEndsAt, &row.GraceEndsAt, &row.PaidUntil, &row.CreatedAt, &row.UpdatedAt} {
		*at = utc(*at) // so that a row that changes nothing equals the one it came from
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

// load is the Loader for this package's own tables: one statement.
func load(ctx context.Context, db bun.IDB, id AccountID) (State, Plan, error) {
	var row struct {
		accountRow
		Slug           *string
		PlanName       string
		Active         bool
		Prices         string
		MonthlyCredits int64
		TrialDays      int
		Rate           float64
		Burst          int
		Limits         string
	}
	err := db.NewRaw(`SELECT a.status, a.trial_ends_at, a.grace_ends_at, a.paid_until, p.slug, COALESCE(p.name, '') AS plan_name,
		COALESCE(p.active, FALSE) AS active, p.prices, p.monthly_credits, p.trial_days, p.rate, p.burst, p.limits
		FROM tenancy_accounts AS a LEFT JOIN tenancy_plans AS p ON p.slug = a.plan
		WHERE a.account_id = ?`, id).Scan(ctx, &row)
	if errors.Is(err, sql.ErrNoRows) {
		return State{}, Plan{}, ErrNoAccount
	}
	if err != nil {
		return State{}, Plan{}, err
	}
	if row.Slug == nil {
		return row.state(), Plan{}, nil // Check refuses an account without a plan
	}
	plan, err := planRow{
		Slug: *row.Slug, Name: row.PlanName, Active: row.Active, Prices: row.Prices, MonthlyCredits: row.MonthlyCredits,
		TrialDays: row.TrialDays, Rate: row.Rate, Burst: row.Burst, Limits: row.Limits,
	}.plan()
	return row.state(), plan, err
}
