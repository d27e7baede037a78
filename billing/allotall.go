package billing

import (
	"context"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

const allotPage = 100

// AllotAll asks for the allotments of many accounts to follow, in the order of their ids.
type AllotAll struct {
	// Plan is the slug of the plan that was changed. "": everybody's accounts.
	Plan string
	// After continues: the Next of the call before, kept wherever the host likes. Default:
	// from the first account on.
	After tenancy.AccountID
	// Limit is how many accounts this call takes at most. Default: all that there are.
	Limit int
}

// Allotted is what AllotAll did.
type Allotted struct {
	// Accounts is how many are now as they should be, whether or not they were before.
	Accounts int
	// Failed says, by account, what kept one from following; call Allot for it, or
	// AllotAll again, once that is put right.
	Failed map[tenancy.AccountID]error
	// Next is the After of the next call; "" where no account is left. With an error it is
	// where to go on all the same: behind the last account that was looked at.
	Next tenancy.AccountID
}

// AllotAll calls Allot for every account on a plan, after Ensure has changed what the plan
// grants and its transaction has committed; accounts that are not active lose what they
// should not have. It locks one account at a time, for a transaction of its own, and so
// takes no *bun.Tx. One that fails is told in Allotted.Failed and holds up nobody.
//
// When ctx ends, or the list of accounts cannot be read, it returns that error with how far
// it came. To go on from there, to begin anew and to do it on several machines at once come
// to the same: a month is granted once. An account that was registered, or came to the plan,
// in a transaction that was still open when this one listed accounts may have read the plan
// as it was; a second call, once such transactions are over, finds it.
//
// Each call leaves a line in the installation's audit log, unless ctx is of
// tenancy.Accounts.System, which has left one. ErrNoPlan of package tenancy: there is no
// plan of that slug. ErrInvalid of it: After is no account's id.
func (s *Subscriptions) AllotAll(ctx context.Context, db *bun.DB, what AllotAll) (Allotted, error) {
	done := Allotted{Next: what.After}
	if what.Plan != "" {
		if _, err := s.accounts.Plan(ctx, db, what.Plan); err != nil {
			return done, err
		}
	}
	across := ctx
	if _, is := tenancy.AcrossAccounts(ctx); !is {
		why := "the credits of every account are to follow its plan"
		if what.Plan != "" {
			why = fmt.Sprintf("the credits of the accounts on %q are to follow the plan", what.Plan)
		}
		var err error
		if across, err = s.accounts.System(ctx, db, ownActor, why); err != nil {
			return done, err
		}
	}
	for left := what.Limit; ; {
		page := tenancy.List{Plan: what.Plan, After: done.Next, Limit: allotPage}
		if what.Limit > 0 {
			page.Limit = min(page.Limit, left)
		}
		accounts, err := s.accounts.List(across, db, page)
		if err != nil {
			return done, err
		}
		for _, account := range accounts {
			err := s.Allot(ctx, db, account.ID)
			switch {
			case err == nil:
				done.Accounts++
			case ctx.Err() != nil:
				return done, ctx.Err()
			case errors.Is(err, tenancy.ErrNoAccount): // gone meanwhile
			default:
				if done.Failed == nil {
					done.Failed = map[tenancy.AccountID]error{}
				}
				done.Failed[account.ID] = err
			}
			done.Next = account.ID
		}
		if len(accounts) < page.Limit {
			done.Next = ""
			return done, nil
		}
		if left -= len(accounts); what.Limit > 0 && left <= 0 {
			return done, nil
		}
	}
}
