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

// Bank is an account at a bank, as a customer types it into a transfer.
type Bank struct {
	Holder string `json:"holder"`
	// IBAN is the account's number (ISO 13616), with or without blanks.
	IBAN string `json:"iban"`
	// BIC names the bank (ISO 9362). Often not needed.
	BIC string `json:"bic,omitempty"`
}

// Subscriptions sells plans: it turns payments into time and credits. It holds
// policy and no connection: every method that needs the database takes it. One value
// serves any number of goroutines.
type Subscriptions struct {
	cfg      Config
	accounts *tenancy.Accounts
	ledger   *credits.Ledger
}

// New makes Subscriptions that activate accounts and grant credits in ledger. It
// returns an error when cfg makes no sense: a mistyped IBAN would send customers'
// money to somebody else.
func New(accounts *tenancy.Accounts, ledger *credits.Ledger, cfg Config) (*Subscriptions, error) {
	if accounts == nil || ledger == nil {
		return nil, errors.New("billing: accounts and ledger are required")
	}
	if cfg.Bank != (Bank{}) {
		if cfg.Bank.Holder == "" {
			return nil, errors.New("billing: the bank account's holder is missing")
		}
		iban, err := cleanIBAN(cfg.Bank.IBAN)
		if err != nil {
			return nil, fmt.Errorf("billing: %w", err)
		}
		cfg.Bank.IBAN = iban
	}
	if cfg.Grace < 0 {
		return nil, errors.New("billing: the grace is negative")
	}
	if cfg.Currency == "" {
		cfg.Currency = "USD"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnError == nil {
		cfg.OnError = problem.Write
	}
	return &Subscriptions{cfg: cfg, accounts: accounts, ledger: ledger}, nil
}

func (s *Subscriptions) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Microsecond) }

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}
