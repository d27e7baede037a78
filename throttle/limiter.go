package throttle

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/quitrent/quitrent/internal/bucket"
	"github.com/quitrent/quitrent/internal/clientaddr"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// Config is the policy of a Limiter. The zero value works.
type Config struct {
	// Default is the limit of an account whose plan names none, and of every limit
	// that is not one (see the package's page). Default: 10 a second, 20 at once.
	Default Limit

	// Address is the limit of one network address for what comes without a
	// credential or with a bad one. Default: 1 a second, 20 at once.
	Address Limit

	// MaxKeys bounds the accounts, the addresses, the keys of Take and the refused
	// credentials and accounts that are remembered, each. Default: 1<<20.
	MaxKeys int

	// Now is the clock. While it stands behind what was taken from a bucket last, that
	// bucket does not fill. Default: the monotonic one, which never goes back.
	Now func() time.Time

	// OnError writes refusals. Default: problem details (RFC 9457).
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// Limiter decides how fast accounts and addresses may go. It holds their buckets
// in memory: use one for the whole process. It serves any number of goroutines.
type Limiter struct {
	cfg      Config
	real     bool // Config.Now is the clock of the machine
	policies *policies

	// A table for each, so that keys which strangers choose cannot push out others.
	keys       *bucket.Table[string]
	accounts   *bucket.Table[tenancy.AccountID]
	addresses  *bucket.Table[clientaddr.Key]
	refused    *bucket.Table[uint64]            // credentials that are right, of accounts that are refused
	turnedAway *bucket.Table[tenancy.AccountID] // and those accounts
}

// stranger is Config.Address as the tables take it.
func (l *Limiter) stranger() bucket.Limit { return bucket.Limit(l.cfg.Address) }

// New makes a Limiter from cfg.
func New(cfg Config) *Limiter {
	cfg.Default = cfg.Default.or(Limit{Rate: 10, Burst: 20})
	cfg.Address = cfg.Address.or(Limit{Rate: 1, Burst: 20})
	if cfg.MaxKeys <= 0 {
		cfg.MaxKeys = 1 << 20
	}
	real := cfg.Now == nil
	if real {
		cfg.Now = bucket.Clock()
	}
	if cfg.OnError == nil {
		cfg.OnError = problem.Write
	}
	return &Limiter{
		cfg:        cfg,
		real:       real,
		policies:   &policies{},
		keys:       bucket.New[string](cfg.MaxKeys),
		accounts:   bucket.New[tenancy.AccountID](cfg.MaxKeys),
		addresses:  bucket.New[clientaddr.Key](cfg.MaxKeys),
		refused:    bucket.New[uint64](cfg.MaxKeys),
		turnedAway: bucket.New[tenancy.AccountID](cfg.MaxKeys),
	}
}

// Take takes n tokens from the bucket of key, all or none; a refusal costs
// nothing. With n <= 0 it only looks, and Allowed reports that a token is there.
// An n above limit.Burst can never pass: its RetryAfter is rate.InfDuration. A
// limit that is not one is replaced by Config.Default.
//
// The keys are the host's own and meet neither accounts nor addresses. Their
// length is up to the host too: bound it where it comes from outside.
func (l *Limiter) Take(key string, limit Limit, n int) Decision {
	return decision(l.keys.Take(l.cfg.Now(), key, bucket.Limit(limit.or(l.cfg.Default)), n))
}

// TakeAccount is Take on the bucket of the scope's account with the limit of its
// plan: for work that costs more than the one token that Middleware takes, and
// for what does not come over HTTP.
func (l *Limiter) TakeAccount(scope tenancy.Scope, n int) Decision {
	return decision(l.accounts.Take(l.cfg.Now(), scope.Account, l.planLimit(&scope.Plan), n))
}

// takeEntered takes a token for a request at the instant at which it has entered, which
// saves reading the clock again. What is refused then may have waited since, or its
// context is an old one: that counts now.
func (l *Limiter) takeEntered(ctx context.Context) Decision {
	account, plan, at := tenancy.EnteredAt(ctx)
	limit := l.planLimit(plan)
	if l.real {
		if d := l.accounts.Take(at.Time, account, limit, 1); d.Allowed {
			return decision(d)
		}
	}
	return decision(l.accounts.Take(l.cfg.Now(), account, limit, 1))
}

// planLimit is the plan's limit as the tables take it.
func (l *Limiter) planLimit(p *tenancy.Plan) bucket.Limit {
	return bucket.Limit(Limit{Rate: rate.Limit(p.Rate), Burst: p.Burst}.or(l.cfg.Default))
}
