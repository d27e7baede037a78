package tenancy

import (
	"context"
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
	// Delegation is on whose rights the actor acts, and how far. Nil: on its own.
	Delegation *Delegation
	// Env is the environment the credential was made for: "live", "test". "": none.
	Env string

	known *known // what was read of the account with the credential; nil: nothing
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
	return &entered{ctx, scope}, nil
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
	now := time.Now()
	k, err := a.known(ctx, db, who, now)
	if err != nil {
		return Scope{}, err
	}
	if !a.realClock {
		now = a.cfg.Now()
	}
	if err = Check(k.state, k.plan, now, need); who.forbids(need) {
		err = ErrForbidden
	}
	recognise(ctx, who.Account, err == nil) // also who is refused: the credential was right
	if err != nil {
		return Scope{}, err
	}
	return Scope{
		Account: who.Account, State: k.state, Plan: k.plan, Actor: who.Actor, Capability: need,
		Delegation: who.Delegation, Env: who.Env, Epoch: k.epoch,
	}, nil
}

func (p Principal) forbids(need Capability) bool {
	return p.Actor.Kind == ActorKey && need&^Use != 0 || p.May != 0 && need&^p.May != 0
}
