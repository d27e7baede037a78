package tenancy

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/cache"
	"github.com/quitrent/quitrent/internal/changes"
)

// Found is what Beside reads: of an account what Check needs to know, and whether a
// user is a member of it. Its fields are for the database alone.
type Found struct {
	FoundAccount   *AccountID
	FoundMember    *UserID
	FoundStatus    Status
	FoundTrialEnds time.Time `bun:",nullzero"`
	FoundGraceEnds time.Time `bun:",nullzero"`
	FoundPaidUntil time.Time `bun:",nullzero"`
	FoundPlan      *string
	FoundName      string
	FoundActive    bool
	FoundPrices    string
	FoundCredits   int64
	FoundTrialDays int
	FoundRate      float64
	FoundBurst     int
	FoundLimits    string
	FoundFlags     string
	FoundOwnLimits string
	FoundOwnFlags  string
	FoundEpoch     int64
}

// Beside adds to a query that finds a credential what Validate needs to know of the
// account that the credential is for, so that both cost one statement. account and
// user name columns of the query; a user "" is no member of anything. The result is
// read into a struct that embeds Found. A host's Loader is asked later, by itself.
func (a *Accounts) Beside(q *bun.SelectQuery, account, user bun.Ident) *bun.SelectQuery {
	if a.cfg.Loader != nil {
		return q
	}
	return beside(q, "?", account).
		ColumnExpr("fm.user_id AS found_member").
		Join("LEFT JOIN tenancy_members AS fm ON fm.account_id = ? AND fm.user_id = ?", account, user)
}

func beside(q *bun.SelectQuery, is string, account any) *bun.SelectQuery {
	return q.ColumnExpr(`fa.account_id AS found_account, COALESCE(fa.status, '') AS found_status, fa.trial_ends_at AS found_trial_ends,
		fa.grace_ends_at AS found_grace_ends, fa.paid_until AS found_paid_until,
		fp.slug AS found_plan, COALESCE(fp.name, '') AS found_name, COALESCE(fp.active, FALSE) AS found_active,
		COALESCE(fp.prices, '[]') AS found_prices, COALESCE(fp.monthly_credits, 0) AS found_credits, COALESCE(fp.trial_days, 0) AS found_trial_days,
		COALESCE(fp.rate, 0.0) AS found_rate, COALESCE(fp.burst, 0) AS found_burst,
		COALESCE(fp.limits, '{}') AS found_limits, COALESCE(fp.flags, '{}') AS found_flags,
		COALESCE(fa.limits, '{}') AS found_own_limits, COALESCE(fa.flags, '{}') AS found_own_flags,
		COALESCE(fc.version, 0) AS found_epoch`).
		Join("LEFT JOIN tenancy_accounts AS fa ON fa.account_id = "+is, account).
		Join("LEFT JOIN tenancy_plans AS fp ON fp.slug = fa.plan").
		Join("LEFT JOIN tenancy_changes AS fc ON fc.subject = 'account:' || fa.account_id")
}

// IsMember reports that the user is a member of the account. Of a host's own members it
// knows nothing, and says yes: StillMember asks for them.
func (a *Accounts) IsMember(f Found) bool { return a.cfg.Loader != nil || f.FoundMember != nil }

// StillMember asks a host's MemberLoader, which stands beside no query, whether the user
// has any role in the account. Without one it says yes at once. lasting says that the
// answer counts until the account changes, and need not be asked for again before.
func (a *Accounts) StillMember(ctx context.Context, db bun.IDB, account AccountID, user UserID) (member, lasting bool, err error) {
	if a.cfg.MemberLoader == nil {
		return true, true, nil
	}
	if !account.known() || !user.known() {
		return false, false, nil
	}
	held, err := a.cfg.MemberLoader(ctx, db, account, user)
	return err == nil && len(held) > 0, a.cfg.LoaderAnnounces, err
}

// Subjects are those whose changes end what is remembered of p.
func (p Principal) Subjects() []string {
	subjects := []string{string(p.Account.Subject())}
	if p.known != nil {
		subjects = append(subjects, string(planSubject(p.known.plan.Slug)))
	}
	return subjects
}

// Know puts what was found beside a credential into its principal, so that Validate
// does not ask again, and remembers it. It returns the account's plan too, which is the
// zero Plan where a host's Loader knows it. t and at are from before the query.
func (a *Accounts) Know(t changes.Ticket, at time.Time, db bun.IDB, who Principal, f Found) (Principal, Plan, error) {
	if f.FoundAccount == nil || *f.FoundAccount != who.Account {
		return who, Plan{}, nil
	}
	k, err := f.known(at)
	if err != nil {
		return Principal{}, Plan{}, err
	}
	a.remember(t, db, k)
	who.known = k
	return who, *k.plan, nil
}

// load reads an account of this package's own tables in one statement, its overrides
// in its plan.
func load(ctx context.Context, db bun.IDB, id AccountID) (*known, error) {
	var row Found
	at := changes.Now().Time
	err := beside(db.NewSelect().TableExpr("(SELECT 1 AS one) AS o"), "?", id).Scan(ctx, &row)
	if err != nil {
		return nil, err
	}
	return row.known(at)
}

// known is what was found, read at an instant that is before the statement.
func (f Found) known(at time.Time) (*known, error) {
	if f.FoundAccount == nil {
		return nil, ErrNoAccount
	}
	k := &known{
		account: *f.FoundAccount, epoch: f.FoundEpoch, readAt: at,
		state: State{Status: f.FoundStatus, TrialEndsAt: utc(f.FoundTrialEnds), GraceEndsAt: utc(f.FoundGraceEnds), PaidUntil: utc(f.FoundPaidUntil)},
	}
	own := f.FoundOwnLimits != "{}" || f.FoundOwnFlags != "{}"
	var err error
	if k.plan, err = f.plan(own); err != nil {
		return nil, err
	}
	k.standing = standingOf(&k.state, k.plan)
	if !own || f.FoundPlan == nil {
		return k, nil
	}
	overrides, err := parseOverrides(f.FoundOwnLimits, f.FoundOwnFlags)
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", k.account, err)
	}
	overrides.apply(k.plan)
	return k, nil
}

// noPlan is that of an account whose plan is not there: Check refuses it.
var noPlan = &Plan{}

// plans are those that were read, by their row: accounts share theirs, in memory as in
// the table.
var plans = cache.New[planRow, *Plan](1<<10, func(r planRow) uint64 { return maphash.Comparable(hashSeed, r) }, nil)

// plan is the account's, one of its own where it will be changed.
func (f Found) plan(own bool) (*Plan, error) {
	if f.FoundPlan == nil {
		return noPlan, nil
	}
	row := planRow{
		Slug: *f.FoundPlan, Name: f.FoundName, Active: f.FoundActive, Prices: f.FoundPrices, MonthlyCredits: f.FoundCredits,
		TrialDays: f.FoundTrialDays, Rate: f.FoundRate, Burst: f.FoundBurst, Limits: f.FoundLimits, Flags: f.FoundFlags,
	}
	if p, ok := plans.Get(row); ok && !own {
		return p, nil
	}
	p, err := row.plan()
	if err == nil && !own {
		plans.Put(row, &p)
	}
	return &p, err
}
