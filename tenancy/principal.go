package tenancy

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/changes"
)

// Principal is whom a credential belongs to and which account it acts for. That
// account has not been validated yet: EnterAs does it.
type Principal struct {
	Account AccountID
	Actor   Actor
	// May narrows what the account may be entered for; 0 narrows nothing. A key never
	// gets more than Use.
	May Capability
	// Bounds are the credential's own. Nil: none.
	Bounds *Bounds
	// Delegation is on whose rights the actor acts, and how far. Nil: on its own.
	Delegation *Delegation
	// Env is the environment the credential was made for: "live", "test". "": none.
	Env string

	known *known // what was read of the account with the credential; nil: nothing
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

// AllScopes is, as a scope, everything that the user may do.
const AllScopes Permission = "*"

// EnterAs is Enter for whom a credential belongs to.
//
// It returns what Enter returns, and ErrForbidden when need is more than the
// principal may.
func (a *Accounts) EnterAs(ctx context.Context, db bun.IDB, who Principal, need Capability) (context.Context, error) {
	e := &struct {
		entered
		who Principal
	}{entered{Context: ctx}, who}
	if err := a.validate(ctx, db, &e.who, need, changes.Now(), &e.entry); err != nil {
		return nil, err
	}
	return &e.entered, nil
}

// Validate is EnterAs without a context: for what stands in front of a transport of
// its own, and for a question about an account that nothing is done in. An observer of
// ctx learns of it (see Observe).
func (a *Accounts) Validate(ctx context.Context, db bun.IDB, who Principal, need Capability) (Scope, error) {
	var e entry
	if err := a.validate(ctx, db, &who, need, changes.Now(), &e); err != nil {
		return Scope{}, err
	}
	return e.scope(), nil
}

// EnterSeen is EnterAs for package authn, which has read the clock and has found who in
// its memory then, or in the database since: neither is done twice in one request. Nobody
// changes who any more.
func (a *Accounts) EnterSeen(ctx context.Context, db bun.IDB, who *Principal, need Capability, now changes.Instant) (context.Context, error) {
	e := &entered{Context: ctx}
	if err := a.seen(ctx, db, who, need, now, &e.entry); err != nil {
		return nil, err
	}
	return e, nil
}

// ValidateSeen is Validate as EnterSeen is EnterAs. It fills s where nothing is wrong.
func (a *Accounts) ValidateSeen(ctx context.Context, db bun.IDB, who *Principal, need Capability, now changes.Instant, s *Scope) error {
	var e entry
	if err := a.seen(ctx, db, who, need, now, &e); err != nil {
		return err
	}
	*s = e.scope()
	return nil
}

func (a *Accounts) seen(ctx context.Context, db bun.IDB, who *Principal, need Capability, now changes.Instant, e *entry) error {
	if k := who.known; k != nil && k.lives != nil && k.account == who.Account {
		return a.check(ctx, who, k, need, now, e)
	}
	return a.validate(ctx, db, who, need, now, e)
}

// validate fills e where nothing is wrong.
func (a *Accounts) validate(ctx context.Context, db bun.IDB, who *Principal, need Capability, now changes.Instant, e *entry) error {
	if err := who.Actor.validate(); err != nil {
		return err
	}
	k, err := a.known(ctx, db, who, now)
	if err != nil {
		return err
	}
	return a.check(ctx, who, k, need, now, e)
}

func (a *Accounts) check(ctx context.Context, who *Principal, k *known, need Capability, now changes.Instant, e *entry) error {
	if need == 0 {
		need = Use
	}
	at := now.Time
	if !a.realClock {
		at = a.cfg.Now()
	}
	err := k.standing.check(at, need)
	if missing := who.forbids(need) & all; missing != 0 {
		err = forbidden[missing]
	}
	recognise(ctx, who.Account, err == nil) // also who is refused: the credential was right
	if err != nil {
		return err
	}
	*e = entry{known: k, who: who, at: now, need: need}
	return nil
}

// forbidden are the refusals by what is missing: whoever gets one may come back a
// thousand times a second.
var forbidden = func() (refusals [all + 1]error) {
	for missing := range refusals {
		refusals[missing] = fmt.Errorf("%w: it needs %s", ErrForbidden, Capability(missing))
	}
	return refusals
}()

// forbids is what the principal may not enter for, of what is needed.
func (p *Principal) forbids(need Capability) Capability {
	var missing Capability
	if p.Actor.Kind == ActorKey {
		missing = need &^ Use
	}
	if p.May != 0 {
		missing |= need &^ p.May
	}
	return missing
}
