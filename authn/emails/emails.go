package emails

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/opaque"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// How long a token works, and how many there are.
const (
	DefaultVerificationLifetime = 48 * time.Hour
	DefaultResetLifetime        = time.Hour
	MaxLifetime                 = 30 * 24 * time.Hour

	DefaultMostPerHour = 5
	DefaultParallel    = 32
)

// perTurn is how many requests for a reset there may be for each that is at work.
const perTurn = 32

// Hook does something for a user in the transaction of a reset, which may be run
// again, and comes before the new password is written. An error undoes the reset.
type Hook = func(ctx context.Context, db bun.IDB, user tenancy.UserID) error

// Config is the policy of Emails. The zero value works, but for what sends, which
// needs Notify.
type Config struct {
	// VerificationLifetime is how long the token of a verification works; at its very
	// end it is over. Default: DefaultVerificationLifetime. Most: MaxLifetime.
	VerificationLifetime time.Duration

	// ResetLifetime is how long the token of a reset works. Default:
	// DefaultResetLifetime. Most: MaxLifetime.
	ResetLifetime time.Duration

	// MostPerHour bounds the mails of one kind to one user, in an hour that begins
	// with the first of them. Default: DefaultMostPerHour.
	MostPerHour int

	// Parallel bounds the mails for a reset that are on their way at once; 31 times as
	// many wait for their turn. Default: DefaultParallel.
	Parallel int

	// Notify sends a message to a user. Its context does not end with the request and
	// lasts 30 s. It is the only way a token leaves a handler. No default.
	Notify func(ctx context.Context, m Message) error

	// AfterReset runs in every reset, in order: it ends what the old password opened,
	// such as the user's sessions.
	AfterReset []Hook

	// Keys are the API keys. When a reset shows for the first time that the address is
	// the user's, those that the user made or took over end (Keys.RevokeMadeBy): whoever
	// did may have been somebody else, who signed up with this address. Nil: there are
	// none.
	Keys *authn.Keys

	// FirstProof runs in that reset too, in order, before AfterReset: for what else
	// somebody else may have left behind, such as the account's other members, who
	// stay with their keys otherwise, or the address of a webhook.
	FirstProof []Hook

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// OnError writes refusals. Default: problem details (RFC 9457).
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// Emails verifies users' addresses and resets their passwords. It holds policy and no
// connection: every method that needs the database takes it. One value serves any
// number of goroutines.
type Emails struct {
	accounts  *tenancy.Accounts
	passwords *authn.Passwords
	cfg       Config
	room      chan struct{} // holds one element for each SendReset that has not ended
	turns     chan struct{} // and one for each of those that is at work
	waits     sync.Mutex    // of Wait
	inUse     opaque.Turns  // of Reset
}

// New makes Emails from cfg, for the users of accounts and their passwords.
func New(accounts *tenancy.Accounts, passwords *authn.Passwords, cfg Config) *Emails {
	cfg.AfterReset, cfg.FirstProof = slices.Clone(cfg.AfterReset), slices.Clone(cfg.FirstProof)
	cfg.VerificationLifetime = lifetime(cfg.VerificationLifetime, DefaultVerificationLifetime)
	cfg.ResetLifetime = lifetime(cfg.ResetLifetime, DefaultResetLifetime)
	if cfg.MostPerHour <= 0 {
		cfg.MostPerHour = DefaultMostPerHour
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = DefaultParallel
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnError == nil {
		cfg.OnError = problem.Write
	}
	return &Emails{
		accounts: accounts, passwords: passwords, cfg: cfg,
		room: make(chan struct{}, perTurn*cfg.Parallel), turns: make(chan struct{}, cfg.Parallel),
	}
}

func lifetime(d, byDefault time.Duration) time.Duration {
	if d <= 0 {
		return byDefault
	}
	return min(d, MaxLifetime)
}

// now is the instant of one operation: UTC, in the microseconds that PostgreSQL
// keeps.
func (e *Emails) now() time.Time { return e.cfg.Now().UTC().Truncate(time.Microsecond) }
