package tenancy

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/changes"
	"github.com/quitrent/quitrent/internal/tx"
)

// ActorKind is the sort of someone who does something.
type ActorKind string

// The kinds of actors.
const (
	ActorUser     ActorKind = "user"     // a person, signed in
	ActorKey      ActorKind = "key"      // an API key
	ActorOperator ActorKind = "operator" // someone who runs the service
	ActorSystem   ActorKind = "system"   // a job, a queue, a migration
)

// Actor is who does something: what the audit log names. It holds ids, never
// personal data.
type Actor struct {
	Kind ActorKind `json:"kind"`
	ID   string    `json:"id"`
}

// Scope is the account a context has entered, validated for Capability. What it refers
// to is shared: read it, and copy what you would change.
type Scope struct {
	Account    AccountID
	State      State
	Plan       Plan
	Actor      Actor
	Capability Capability
	// Bounds are those of the credential. Nil: it has none.
	Bounds *Bounds
	// Delegation is on whose rights the actor acts; nil: on its own.
	Delegation *Delegation
	// Env is the environment of the credential, if it has one: "live", "test".
	Env string
	// Epoch is Epoch of the account, as far as this process knows it.
	Epoch int64
}

type scopeKey struct{}

// entered is a context in an account: one small allocation, where WithValue needs two.
type entered struct {
	context.Context
	entry
}

// entry is what a Scope is made of when somebody asks for it.
type entry struct {
	known *known
	who   *Principal // that nobody changes
	at    changes.Instant
	need  Capability
}

func (e *entered) Value(key any) any {
	if key == (scopeKey{}) {
		return e
	}
	return e.Context.Value(key)
}

func (e *entry) scope() Scope {
	return Scope{
		Account: e.known.account, State: e.known.state, Plan: *e.known.plan, Actor: e.who.Actor, Capability: e.need,
		Delegation: e.who.Delegation, Bounds: e.who.Bounds, Env: e.who.Env, Epoch: e.known.epoch,
	}
}

// From is the scope that the context has entered. It panics when there is none:
// the handler runs outside the middleware that enters, which is a programming
// error and must not be answered with somebody's data.
func From(ctx context.Context) Scope {
	e := from(ctx)
	return e.scope()
}

func from(ctx context.Context) *entered {
	e, ok := ctx.Value(scopeKey{}).(*entered)
	if !ok {
		panic("tenancy: no account in this context: mount the handler behind authn's middleware or call Accounts.Enter")
	}
	return e
}

// EnteredAt is what package throttle needs of From in each request, and when the context
// entered. The plan is shared: read it.
func EnteredAt(ctx context.Context) (account AccountID, plan *Plan, at changes.Instant) {
	e := from(ctx)
	return e.known.account, e.known.plan, e.at
}

// Lookup is From for code that may run outside an account.
func Lookup(ctx context.Context) (Scope, bool) {
	e, ok := ctx.Value(scopeKey{}).(*entered)
	if !ok {
		return Scope{}, false
	}
	return e.scope(), true
}

// Enter is the only way an account gets into a context: it loads the account,
// validates it for everything in need (0 means Use) and returns a context in
// which From finds it. Middleware calls it, and so do jobs and queue workers,
// which hold an id and no credential. Whether the actor belongs to the account is not
// asked: see AccountOf.
//
// It returns the refusals of Check, ErrForbidden for an API key that asks for more
// than Use, and ErrInvalid for an actor without kind or id. A suspension counts from
// its commit on; while Run runs, within Config.RevocationBound of it.
func (a *Accounts) Enter(ctx context.Context, db bun.IDB, id AccountID, actor Actor, need Capability) (context.Context, error) {
	return a.EnterAs(ctx, db, Principal{Account: id, Actor: actor}, need)
}

// Load reads what Check needs to know of an account from the database, by
// Config.Loader if there is one. It validates nothing: Enter does. It returns
// ErrNoAccount.
func (a *Accounts) Load(ctx context.Context, db bun.IDB, id AccountID) (State, Plan, error) {
	if !id.known() {
		return State{}, Plan{}, ErrNoAccount
	}
	k, err := a.read(ctx, db, id)
	if err != nil {
		return State{}, Plan{}, err
	}
	return k.state, *k.plan, nil
}

// WrapTx is a transaction that the host began with another tool (database/sql,
// sqlc, GORM) as the bun.IDB that every method here takes. db gives the dialect.
// Who began the transaction commits it; its BeginTx and RunInTx return an error.
func WrapTx(db *bun.DB, conn bun.IConn) bun.IDB { return tx.Wrap(db, conn) }
