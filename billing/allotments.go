package billing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// The names of this package's allotments: of a plan that costs nothing, and of each
// year that was paid for, with its transfer's id.
const (
	freeName   = "plan"
	yearPrefix = "plan "
)

// yearMonths is how many months longer than its own the credits of a month can be spent
// in a year that is paid: what a payment for one month grants is not lost either.
const yearMonths = 120

var ownActor = tenancy.Actor{Kind: tenancy.ActorSystem, ID: "billing"}

// Allotments is a hook for tenancy.Config.OnChange: it lets ledger grant plans' credits
// month by month, as the package comment says, and stops that in the transaction in
// which an account is suspended, cancelled, closed or past due. Allotments named "plan",
// or "plan" and a blank and more, are its own.
func Allotments(ledger *credits.Ledger) tenancy.ChangeHook {
	return func(ctx context.Context, db bun.IDB, c tenancy.Changed) error {
		return allot(ctx, db, ledger, c.To, c.Plan, c.To.UpdatedAt)
	}
}

// Allot makes the allotments of an account what its status, its plan and its payments
// say. Allotments, as a hook, does so whenever one of them changes: Allot is for what
// no hook has seen, an account that was adopted or is older than the hook, or a plan
// whose monthly credits are others now, for which AllotAll calls it for every account.
// Called again it changes nothing.
//
// It returns tenancy.ErrNoAccount; after any other error roll back.
func (s *Subscriptions) Allot(ctx context.Context, db bun.IDB, account tenancy.AccountID) error {
	return tx.Join(ctx, db, func(db bun.IDB) error {
		acc, err := s.accounts.Lock(ctx, db, account)
		if err != nil {
			return err
		}
		plan, err := s.accounts.Plan(ctx, db, acc.Plan)
		if err != nil && !errors.Is(err, tenancy.ErrNoPlan) {
			return err
		}
		return allot(ctx, db, s.ledger, acc, plan, s.now())
	})
}

// allot ends the allotments that are to be no more and sets the others. The account is
// locked.
func allot(ctx context.Context, db bun.IDB, ledger *credits.Ledger, account tenancy.Account, plan tenancy.Plan, now time.Time) error {
	wanted, err := allotments(ctx, db, account, plan, now)
	if err != nil {
		return err
	}
	has, err := ledger.Allotments(ctx, db, account.ID)
	if err != nil {
		return err
	}
	for _, a := range has {
		own := a.Name == freeName || strings.HasPrefix(a.Name, yearPrefix)
		if _, stays := wanted[a.Name]; stays || !own || a.NextAt.IsZero() {
			continue
		}
		if _, err := ledger.EndAllotment(ctx, db, credits.EndAllotment{Account: account.ID, Name: a.Name, Actor: ownActor}); err != nil {
			return err
		}
	}
	for _, a := range wanted {
		_, err := ledger.SetAllotment(ctx, db, a)
		if errors.Is(err, credits.ErrInvalid) {
			// After what was written before it, this is no refusal that a host may commit.
			return fmt.Errorf("billing: allotment %q of account %s: %v", a.Name, account.ID, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// allotments are those that an account has to have, by name. They depend on what is
// stored and on nothing that happened in between, so that it makes no difference how
// often, in what order and by which process they are set.
func allotments(ctx context.Context, db bun.IDB, account tenancy.Account, plan tenancy.Plan, now time.Time) (map[string]credits.SetAllotment, error) {
	if account.Status != tenancy.StatusActive {
		return nil, nil
	}
	wanted := map[string]credits.SetAllotment{}
	open := account.PaidUntil.IsZero() || now.Before(account.PaidUntil)
	if plan.Free() && plan.Active && plan.MonthlyCredits > 0 && open {
		wanted[freeName] = credits.SetAllotment{
			Account: account.ID, Name: freeName, Amount: plan.MonthlyCredits, Anchor: account.CreatedAt, From: after(account.CreatedAt),
			Zone: account.Zone, Until: account.PaidUntil, Actor: ownActor,
		}
	}
	years, err := paidYears(ctx, db, account.ID, now)
	for _, t := range years {
		// What had begun when it was paid was granted then.
		from := t.PeriodStart
		if paid := after(t.DecidedAt); paid.After(from) {
			from = paid
		}
		wanted[yearPrefix+t.ID] = credits.SetAllotment{
			Account: account.ID, Name: yearPrefix + t.ID, Amount: t.Monthly, Anchor: t.AnchorAt, From: from, Zone: account.Zone,
			Category: credits.CategoryPaid, Rollover: credits.Rollover{Periods: yearMonths}, Until: t.PeriodEnd, Actor: ownActor,
		}
	}
	return wanted, err
}

// paidYear is a year that was paid for by a transfer.
type paidYear struct {
	ID          string    `bun:"transfer_id"`
	Monthly     int64     `bun:"monthly"`
	DecidedAt   time.Time `bun:"decided_at"`
	PeriodStart time.Time `bun:"period_start"`
	PeriodEnd   time.Time `bun:"period_end"`
	AnchorAt    time.Time `bun:"anchor_at"`
}

// paidYears are the years of the account's subscription that were paid for and are not
// over.
func paidYears(ctx context.Context, db bun.IDB, account tenancy.AccountID, now time.Time) (years []paidYear, err error) {
	err = db.NewRaw(`SELECT t.transfer_id, t.monthly, t.decided_at, t.period_start, t.period_end, sub.anchor_at
		FROM billing_subscriptions AS sub JOIN billing_transfers AS t
		ON t.account_id = sub.account_id AND t.subscription_id = sub.subscription_id
		WHERE sub.account_id = ? AND sub.ended_at IS NULL AND t.monthly > 0 AND t.period_end > ?`, account, now).Scan(ctx, &years)
	return years, err
}

// forgetYears ends what was still to come of the years that were paid for: the
// subscription begins anew.
func forgetYears(ctx context.Context, db bun.IDB, account tenancy.AccountID) error {
	_, err := db.NewUpdate().Model((*transferRow)(nil)).Set("monthly = 0").Where("account_id = ? AND monthly > 0", account).Exec(ctx)
	return err
}

// after is the next instant: what begins at t begins before it.
func after(t time.Time) time.Time { return t.Add(time.Microsecond) }

// split says what of a transfer's credits is granted as it is confirmed: those of a
// month, and of a year the months that have begun. The others come as they begin.
func split(t *transferRow, sub subscriptionRow, zone string) (atOnce int64, err error) {
	if t.Interval != tenancy.Yearly {
		return t.Credits, nil
	}
	t.Monthly = t.Credits / 12
	for month := 12 * (sub.Periods - 1); month < 12*sub.Periods; month++ {
		begin, err := periodEnd(sub.AnchorAt, tenancy.Monthly, month, zone)
		if err != nil {
			return 0, err
		}
		if begin.After(t.DecidedAt) {
			break
		}
		atOnce += t.Monthly
	}
	return atOnce, nil
}
