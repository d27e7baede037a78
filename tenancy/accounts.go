package tenancy

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/internal/problem"
)

// DefaultTrialPlan is the plan that sign-up assigns unless Config says otherwise.
const DefaultTrialPlan = "free-trial"

// Loader finds an account's state and plan. It returns ErrNoAccount when there is
// no such account.
type Loader func(ctx context.Context, db bun.IDB, id AccountID) (State, Plan, error)

// Hook adds something to a registration, in its transaction, which may be run again.
type Hook = func(ctx context.Context, db bun.IDB, r Registered) error

// ChangeHook adds something to a change of an account, in its transaction, which may be
// run again.
type ChangeHook = func(ctx context.Context, db bun.IDB, c Changed) error

// Config is the policy of Accounts. The zero value works.
type Config struct {
	// TrialPlan is the slug of the plan that registration assigns.
	// Default: DefaultTrialPlan.
	TrialPlan string

	// BeforeRegister may refuse a registration by returning an error, before
	// anything is written: invitation only, a disposable address. Over HTTP an
	// error that wraps ErrRefused is answered with 403 and its text, any other
	// one that is not a sentinel of this library with 503 and no text.
	BeforeRegister func(ctx context.Context, r Register) error

	// Retention is how long a closed account can be restored before it is erased.
	// Default: DefaultRetention; a negative one is no time at all.
	Retention time.Duration

	// OnRegister runs in the registration's transaction, in order, after the
	// account, its owner and its plan are written: credits.Ledger.OnRegister seeds
	// the trial's credits here. An error undoes the registration. A transaction may
	// be run again, so a hook must be safe to run twice.
	OnRegister []Hook

	// OnChange runs in the transaction of every registration, after OnRegister, and of
	// every change of an account's status, plan or ends, in order, after all else is
	// written: billing.Allotments grants plans' credits by it. An error undoes the change,
	// a suspension too. A hook must be safe to run twice.
	OnChange []ChangeHook

	// Loader replaces the tables of this package for a host that keeps accounts in
	// its own. Then only Enter, Load, Middleware, Refuse, System and Run are of use,
	// and with a MemberLoader Can, CanUser and Require.
	Loader Loader

	// LoaderAnnounces says that the host calls Changed in every transaction that changes
	// what the Loader reads, or takes a role away that the MemberLoader finds, so that their
	// answers may be remembered as long as nothing is announced: a change of a plan or a
	// tier for every account that has it. Otherwise they are asked each time.
	LoaderAnnounces bool

	// RevocationBound is how late this process may learn, while Run runs, that another
	// one has suspended an account, revoked a key or taken a right away: that long at
	// most after the commit, what was remembered lets somebody in. A process learns of
	// its own changes at once. While Run does not run, or the news cannot be read,
	// nothing is remembered, and the database is asked each time.
	// Default: 1 s. Negative: nothing is ever remembered.
	RevocationBound time.Duration
	// MaxCached bounds the accounts that are remembered, at about 1 KiB each.
	// Default: 100,000.
	MaxCached int

	// MemberLoader finds the roles of a user in an account, for a host with a Loader
	// that keeps its members in tables of its own too: none for who is no member. Then
	// Can, CanUser and Require know roles on the account only, and Visible shows a user
	// nothing. It is asked each time, and by every use of an API key that a user made,
	// which opens nothing once its maker has no role; with LoaderAnnounces a key asks once
	// and again when Changed says that its account has changed. Without a MemberLoader
	// such a key outlasts its maker's membership: revoke it, or take it over.
	MemberLoader func(ctx context.Context, db bun.IDB, account AccountID, user UserID) ([]Role, error)

	// Roles adds roles of the host's own, and permissions of the host's own to the
	// roles of this package: {"accountant": {PermBillingRead}, RoleEditor: {"sites.publish"}}.
	// It takes none away. The owner holds every permission that is named. A role that
	// is not here any more stays with its members and holds nothing. New panics where
	// a name is none.
	Roles map[Role][]Permission

	// OfferLifetime is how long an offer of the ownership is open. Default: 7 days.
	OfferLifetime time.Duration

	// Deliver receives the events of the outbox while Run runs, at least once each,
	// those of one account in the order that the package comment promises. An error
	// is retried with growing delays. Its context ends after 30 s, and it must return
	// then.
	Deliver func(ctx context.Context, e Event) error

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// OnError writes refusals. Default: problem details (RFC 9457).
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// Accounts registers, finds, validates and changes accounts. It holds policy and
// no connection: every method that needs the database takes it. One value serves
// any number of goroutines.
type Accounts struct {
	cfg    Config
	policy *policy
	holder string // names this process in leases
	// realClock: Config.Now is time.Now.
	realClock bool
	memory    memory
	// justRead is how old an account may be that was read with its credential.
	justRead time.Duration
}

// New makes Accounts from cfg.
func New(cfg Config) *Accounts {
	if cfg.TrialPlan == "" {
		cfg.TrialPlan = DefaultTrialPlan
	}
	if cfg.OfferLifetime <= 0 {
		cfg.OfferLifetime = 7 * 24 * time.Hour
	}
	if cfg.Retention == 0 {
		cfg.Retention = DefaultRetention
	}
	cfg.Retention = max(cfg.Retention, 0)
	realClock := cfg.Now == nil
	if realClock {
		cfg.Now = time.Now
	}
	if cfg.OnError == nil {
		cfg.OnError = problem.Write
	}
	if cfg.RevocationBound == 0 {
		cfg.RevocationBound = time.Second
	}
	if cfg.MaxCached <= 0 {
		cfg.MaxCached = 100_000
	}
	return &Accounts{
		cfg: cfg, policy: newPolicy(cfg.Roles), holder: id.New("node"), realClock: realClock, memory: newMemory(cfg),
		justRead: min(cmp.Or(max(cfg.RevocationBound, 0), time.Second), time.Second),
	}
}

// now is the instant of one operation: UTC, in the microseconds that PostgreSQL
// keeps, so that what is returned equals what is read back.
func (a *Accounts) now() time.Time { return a.cfg.Now().UTC().Truncate(time.Microsecond) }
