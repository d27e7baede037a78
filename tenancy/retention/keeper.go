package retention

import (
	"net/http"
	"time"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// The defaults of Config.
const (
	DefaultRowRetention = 30 * 24 * time.Hour
	DefaultEvery        = time.Hour
)

// Config is the policy of Keeper. The zero value works for a host that uses package
// tenancy alone.
type Config struct {
	// Lookups are the tables that find an account from outside: authn.Lookups(),
	// billing.Lookups() and the host's own. Those of package tenancy are known.
	Lookups []owned.Lookup
	// Exempt names tables that have a column named like an account's or a person's
	// and hold nothing of either. Default: none.
	Exempt []string
	// RowRetention is how long soft-deleted rows can be restored: Purge removes them
	// after that. Default: DefaultRowRetention.
	RowRetention time.Duration
	// Every is how often Run purges. Default: DefaultEvery.
	Every time.Duration
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// OnError writes refusals. Default: those of the Accounts.
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// Keeper exports, erases and purges what the registered tables hold of accounts. One
// value serves any number of goroutines.
type Keeper struct {
	accounts *tenancy.Accounts
	tables   *owned.Tables
	cfg      Config
}

// New makes a Keeper of the tables, to which Tables and the functions of that name in
// the other packages add the library's own. The tables must be bound to the database
// by owned.Tables.Bind; what reads rows or deletes them returns owned.ErrUnbound
// otherwise.
func New(accounts *tenancy.Accounts, tables *owned.Tables, cfg Config) *Keeper {
	if cfg.RowRetention <= 0 {
		cfg.RowRetention = DefaultRowRetention
	}
	if cfg.Every <= 0 {
		cfg.Every = DefaultEvery
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnError == nil {
		cfg.OnError = accounts.Refuse
	}
	var lookups []owned.Lookup
	for _, l := range append(ownLookups(), cfg.Lookups...) {
		if l.Account == "" {
			l.Account = owned.DefaultColumn
		}
		lookups = append(lookups, l)
	}
	cfg.Lookups = lookups
	return &Keeper{accounts: accounts, tables: tables, cfg: cfg}
}

func (k *Keeper) now() time.Time { return k.cfg.Now().UTC().Truncate(time.Microsecond) }
