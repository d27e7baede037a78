package tenancy

import (
	"context"
	"fmt"
	"strings"

	"github.com/uptrace/bun"
)

// system is what a context holds for work that belongs to no one account.
type system struct{ actor Actor }

// System returns a context for work that goes across accounts: a purge, a report, a
// migration of rows. Package owned shows it the rows of all of them. It enters no
// account, so From panics in it, and Enter leaves it again for one.
//
// Who asks and why is written to the installation's own audit log, in the caller's
// transaction if db is one. It returns ErrInvalid when the actor or the reason is
// missing, and ErrForbidden for an actor who is neither an operator nor the system.
func (a *Accounts) System(ctx context.Context, db bun.IDB, actor Actor, reason string) (context.Context, error) {
	if strings.TrimSpace(reason) == "" {
		return nil, fmt.Errorf("%w: work across accounts has a reason", ErrInvalid)
	}
	if !actor.acrossAccounts() {
		return nil, ErrForbidden
	}
	if err := Record(ctx, db, Audit{At: a.now(), Actor: actor, Action: "tenancy.system", Reason: reason}); err != nil {
		return nil, err
	}
	return context.WithValue(ctx, scopeKey{}, &system{actor: actor}), nil
}

// acrossAccounts reports whether the actor may work across accounts.
func (a Actor) acrossAccounts() bool { return a.Kind == ActorOperator || a.Kind == ActorSystem }

// AcrossAccounts reports whether ctx is one that System made, and for whom.
func AcrossAccounts(ctx context.Context) (Actor, bool) {
	s, ok := ctx.Value(scopeKey{}).(*system)
	if !ok {
		return Actor{}, false
	}
	return s.actor, true
}
