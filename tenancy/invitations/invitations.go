package invitations

import (
	"context"
	"net/http"
	"time"

	"github.com/quitrent/quitrent/internal/opaque"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// The time an invitation is open.
const (
	DefaultLifetime = 7 * 24 * time.Hour
	MaxLifetime     = 365 * 24 * time.Hour
)

// DefaultMostOpen is how many invitations an account has open at once at most.
const DefaultMostOpen = 100

// Config is the policy of Invitations. The zero value works, but for Handler, which
// needs Notify.
type Config struct {
	// Lifetime is how long an invitation is open after it was sent; at its very end
	// it is over. Default: DefaultLifetime. Most: MaxLifetime.
	Lifetime time.Duration

	// MostOpen bounds the invitations that one account has open at once, each of
	// which is a mail to somebody who did not ask for it. How often an address is
	// mailed again, by Resend or anew after Revoke, is for a limiter before Handler.
	// Default: DefaultMostOpen.
	MostOpen int

	// Notify sends a message to the person invited. Handler calls it once the
	// invitation is committed, with a context that does not end with the request and
	// lasts 30 s. It is the only way a token leaves Handler: who invites never sees
	// it, so that whoever shows it can read the mail of that address. No default.
	Notify func(ctx context.Context, m Message) error

	// MaySignUp bounds the sign-ups by invitation: SignUp asks it about every request,
	// before anything that costs, and answers with its error. authn's
	// Passwords.MaySignUp is one, which counts them with all other sign-ups from the
	// network address. Default: nothing is counted.
	MaySignUp func(r *http.Request) error

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// OnError writes refusals. Default: problem details (RFC 9457).
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// Invitations makes and takes invitations to the accounts of accounts. It holds
// policy and no connection: every method that needs the database takes it. One
// value serves any number of goroutines.
type Invitations struct {
	accounts *tenancy.Accounts
	cfg      Config
	turns    opaque.Turns // of SignUp
}

// New makes Invitations from cfg.
func New(accounts *tenancy.Accounts, cfg Config) *Invitations {
	if cfg.Lifetime <= 0 {
		cfg.Lifetime = DefaultLifetime
	}
	cfg.Lifetime = min(cfg.Lifetime, MaxLifetime)
	if cfg.MostOpen <= 0 {
		cfg.MostOpen = DefaultMostOpen
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnError == nil {
		cfg.OnError = problem.Write
	}
	return &Invitations{accounts: accounts, cfg: cfg}
}

func (n *Invitations) now() time.Time { return n.cfg.Now().UTC().Truncate(time.Microsecond) }
