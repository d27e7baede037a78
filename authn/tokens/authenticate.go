package tokens

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/clientaddr"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// scheme is that of a token.
const scheme = "bearer"

// Authenticate implements authn.Authenticator for bearer tokens of ours. What does not
// begin like one is none of its kind, as keys and the tokens of others are not.
//
// A token is good until it expires, and as long as neither its account nor its user has
// changed since it was made. It returns authn.ErrBadCredential, in the same words for
// all that can be wrong. What is not signed by one of the keys is refused without the
// database.
func (t *Tokens) Authenticate(ctx context.Context, db bun.IDB, c authn.Credential) (authn.Principal, error) {
	key, ok := t.ring.find(c.Value)
	if c.Scheme != scheme || !ok {
		return authn.Principal{}, authn.ErrNoCredential
	}
	said, who, err := t.read(c.Value, key)
	if err != nil {
		return authn.Principal{}, authn.ErrBadCredential
	}
	if !from(who.Bounds, c) {
		return authn.Principal{}, authn.ErrBadCredential
	}
	current, err := t.current(ctx, db, said)
	if err != nil {
		return authn.Principal{}, err
	}
	if !current {
		return authn.Principal{}, authn.ErrBadCredential
	}
	return who, nil
}

// Challenge implements authn.Challenger.
func (t *Tokens) Challenge() string { return "Bearer" }

// from reports that the credential was shown where it may be.
func from(b *tenancy.Bounds, c authn.Credential) bool {
	return b == nil || len(b.Addresses) == 0 || c.Addr.IsValid() && clientaddr.Contains(b.Addresses, c.Addr.Unmap())
}

// current reports that nothing has changed since the token was made.
func (t *Tokens) current(ctx context.Context, db bun.IDB, said *claims) (bool, error) {
	now, err := t.epochs(ctx, db, said.Account, tenancy.Actor{Kind: said.Actor.Kind, ID: said.Actor.ID})
	if err != nil || now == said.Epochs {
		return err == nil, err
	}
	if said.Epochs.Account < now.Account || said.Epochs.User < now.User {
		return false, nil
	}
	// It was made after a change that this process may have heard nothing of yet. In a
	// transaction nothing is answered from memory.
	err = tx.Join(ctx, db, func(db bun.IDB) (err error) {
		now, err = t.epochs(ctx, db, said.Account, tenancy.Actor{Kind: said.Actor.Kind, ID: said.Actor.ID})
		return err
	})
	return err == nil && now == said.Epochs, err
}
