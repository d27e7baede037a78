package tenancy

import (
	"context"
	"net/netip"
	"time"

	"github.com/uptrace/bun"
)

// Principal is whom a credential belongs to and which account it acts for. That
// account has not been validated yet: EnterAs does it.
type Principal struct {
	Account AccountID
	Actor   Actor
	// May narrows what the account may be entered for; 0 narrows nothing. A key never
	// gets more than Use.
	May Capability
	// Bounds are the credential's own.
	Bounds Bounds
	// Delegation is on whose rights the actor acts, and how far. Nil: on its own.
	Delegation *Delegation
	// Env is the environment the credential was made for: "live", "test". "": none.
	Env string
}

// Bounds hold a credential back, and with it everything that is made of it, such as a
// token. What knows the credential keeps to them; Validate does not ask.
type Bounds struct {
	// ExpiresAt is when it ends by itself; zero: it does not.
	ExpiresAt time.Time
	// Addresses are those it may be used from. Empty: from anywhere.
	Addresses []netip.Prefix
}

// Delegation says on whose rights an API key or a token acts: on those that the user
// holds now, as far as they are among the scopes. It gives nobody more than the user
// has, and shrinks with the user.
type Delegation struct {
	// User is whose rights they are. "": the service's own, which hold every
	// permission, for what an operator or a job has made.
	User UserID
	// Scopes are permissions, or AllScopes. Empty: none.
	Scopes []Permission
}

// AllScopes, as a scope, is everything that the user may do.
const AllScopes Permission = "*"

// EnterAs is Enter for whom a credential belongs to.
//
// It returns what Enter returns, and ErrForbidden when need is more than the
// principal may.
func (a *Accounts) EnterAs(ctx context.Context, db bun.IDB, who Principal, need Capability) (context.Context, error) {
	scope, err := a.Validate(ctx, db, who, need)
	if err != nil {
		return nil, err
	}
	return context.WithValue(ctx, scopeKey{}, &scope), nil
}

// Validate is EnterAs without a context: for what stands in front of a transport of
// its own, and for a question about an account that nothing is done in. An observer of
// ctx learns of it (see Observe).
func (a *Accounts) Validate(ctx context.Context, db bun.IDB, who Principal, need Capability) (Scope, error) {
	if need == 0 {
		need = Use
	}
	if err := who.Actor.validate(); err != nil {
		return Scope{}, err
	}
	state, plan, err := a.Load(ctx, db, who.Account)
	if err != nil {
		return Scope{}, err
	}
	if err = Check(state, plan, a.now(), need); who.forbids(need) {
		err = ErrForbidden
	}
	recognise(ctx, who.Account, err == nil) // also who is refused: the credential was right
	if err != nil {
		return Scope{}, err
	}
	return Scope{
		Bounds:  who.Bounds,
		Account: who.Account, State: state, Plan: plan, Actor: who.Actor, Capability: need,
		Delegation: who.Delegation, Env: who.Env,
	}, nil
}

func (p Principal) forbids(need Capability) bool {
	return p.Actor.Kind == ActorKey && need&^Use != 0 || p.May != 0 && need&^p.May != 0
}
