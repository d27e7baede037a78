package billing

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// Config is the policy of Subscriptions.
type Config struct {
	// Bank is where customers send transfers. Without one RequestTransfer refuses.
	Bank Bank

	// Currency is the ISO 4217 code of prices when a request names none.
	// Default: "USD".
	Currency string

	// Grace is how long an account stays open after its paid period. Default: none.
	Grace time.Duration

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// OnError writes refusals. Default: problem details (RFC 9457).
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// Subscriptions sells plans: it turns payments into time and credits. It holds
// policy and no connection: every method that needs the database takes it. One value
// serves any number of goroutines.
type Subscriptions struct {
	cfg       Config
	accounts  *tenancy.Accounts
	ledger    *credits.Ledger
	reference func() (string, error)
}

// New makes Subscriptions that activate accounts and grant credits in ledger. It
// returns an error when cfg makes no sense: a mistyped IBAN would send customers'
// money to somebody else. The accounts are those of tenancy's own tables and not a
// Loader's.
func New(accounts *tenancy.Accounts, ledger *credits.Ledger, cfg Config) (*Subscriptions, error) {
	if accounts == nil || ledger == nil {
		return nil, errors.New("billing: accounts and ledger are required")
	}
	if cfg.Bank != (Bank{}) {
		if err := cfg.Bank.clean(); err != nil {
			return nil, fmt.Errorf("billing: %w", err)
		}
	}
	if cfg.Grace < 0 {
		return nil, errors.New("billing: the grace is negative")
	}
	if cfg.Currency == "" {
		cfg.Currency = "USD"
	}
	if !currencyForm.MatchString(cfg.Currency) {
		return nil, fmt.Errorf("billing: the currency %q is not a code of ISO 4217", cfg.Currency)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnError == nil {
		cfg.OnError = problem.Write
	}
	return &Subscriptions{cfg: cfg, accounts: accounts, ledger: ledger, reference: newReference}, nil
}

func (s *Subscriptions) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Microsecond) }

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}
