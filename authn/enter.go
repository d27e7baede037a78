package authn

import (
	"context"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Enter asks the authenticators in order whose the credential is and enters the
// account for everything in need (0 means tenancy.Use): the whole way in without a
// transport, for gRPC, sockets, queues. In the context it returns, tenancy.From
// finds the account. The first authenticator that knows the credential decides: a
// bad one is never tried as another kind.
//
// It returns ErrNoCredential for the zero Credential, ErrBadCredential also for one
// of a kind that is not asked for here, tenancy.ErrNoAccount for one that belongs to
// another account than it names, and what the authenticators and accounts.Enter
// return. With Passwords among them db must not be a transaction.
func Enter(ctx context.Context, db bun.IDB, accounts *tenancy.Accounts, need tenancy.Capability,
	c Credential, auth ...Authenticator,
) (context.Context, error) {
	if c.Scheme == "" && c.Value == "" {
		return nil, ErrNoCredential
	}
	for _, a := range auth {
		who, err := a.Authenticate(ctx, db, c)
		switch {
		case errors.Is(err, ErrNoCredential):
			continue
		case err != nil:
			return nil, err
		}
		if c.Account != "" && c.Account != who.Account {
			return nil, tenancy.ErrNoAccount
		}
		return accounts.Enter(ctx, db, who.Account, who.Actor, need)
	}
	return nil, fmt.Errorf("%w: this takes another kind of credential", ErrBadCredential)
}
