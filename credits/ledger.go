package credits

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// defaultUnit is Config.Unit where nobody sets it.
const defaultUnit = "credit"

var unitForm = regexp.MustCompile(`^[a-z0-9_]{1,32}$`)

// maxKey is the longest idempotency key, in bytes.
const maxKey = 200

// maxText is the longest operation or note, in bytes.
const maxText = 500

// maxBasis is the longest basis of an amount, in bytes.
const maxBasis = 1000

// Config is the policy of a Ledger. The zero value works.
type Config struct {
	// Unit is what the ledger counts: "credit", "gpu_second". Each unit of an account is
	// a ledger of its own, with entries, grants, holds and keys of its own. Events and
	// audit data say which unit they are about, where that is not the default. 1 to 32 of a
	// to z, 0 to 9 and "_". Default: "credit".
	Unit string

	// Exponent is how many decimals of the unit an amount has, 0 to 9: with 3, 1,500 are
	// 1.5. Amounts are whole numbers everywhere; it is told to who shows them. Default: 0.
	Exponent int

	// Overdraft is how far, in credits, Settle may take an account into debt for work
	// that cost more than was held and could be spent. The next grant repays it first.
	// Default: 0, no debt.
	Overdraft int64

	// Combine says which requests of one process share a commit. Deductions and holds that
	// come while a commit is under way go into the next one together: each is accepted
	// or refused by itself, in the order they came, and answered after the commit. It
	// is for calls on a *bun.DB; those in a transaction of the host's commit with it.
	// At most 8,192 requests of a Ledger wait, 4,096 of them for one account, in less than
	// 2 KiB each besides their goroutines; ErrBusy refuses more. Default: CombineAll.
	Combine Combining

	// RefundGrace is how long a refund to a grant that has expired since can be spent.
	// Default: 0, it is as expired as the rest of the grant.
	RefundGrace time.Duration

	// Pay tells a customer, in the answer to a refusal for want of credits, how to
	// get more: a sentence or an address. Default: nothing.
	Pay string

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// OnError writes refusals. Default: problem details (RFC 9457).
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// Ledger counts the credits of accounts. It holds policy and no connection: every
// method that needs the database takes it. One value serves any number of
// goroutines, and any number of processes share a database.
type Ledger struct {
	cfg      Config
	combiner combiner
	shelf    shelf
	prepared prepared
	looking  atomic.Int64 // for how many batches keys are looked up beforehand
}

// New makes a Ledger from cfg. It panics where a unit, an exponent or an overdraft is out
// of its range, which is a mistake in the program.
func New(cfg Config) *Ledger {
	if cfg.Unit == "" {
		cfg.Unit = defaultUnit
	}
	if !unitForm.MatchString(cfg.Unit) || cfg.Exponent < 0 || cfg.Exponent > 9 || cfg.Overdraft < 0 {
		panic(fmt.Sprintf("credits: Config has the unit %q, the exponent %d and the overdraft %d", cfg.Unit, cfg.Exponent, cfg.Overdraft))
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnError == nil {
		cfg.OnError = problem.Write
	}
	return &Ledger{cfg: cfg}
}

// otherUnit is the unit, or "" where it is the default one, of which keys, digests and
// events say nothing.
func (l *Ledger) otherUnit() string {
	if l.cfg.Unit == defaultUnit {
		return ""
	}
	return l.cfg.Unit
}

// dataUnit is what the data of an audit line end with.
func (l *Ledger) dataUnit() string {
	if unit := l.otherUnit(); unit != "" {
		return `,"unit":"` + unit + `"`
	}
	return ""
}

// unitData is the data of an audit line that has no other.
func (l *Ledger) unitData() []byte {
	if unit := l.otherUnit(); unit != "" {
		return []byte(`{"unit":"` + unit + `"}`)
	}
	return nil
}

func (l *Ledger) now() time.Time { return micro(l.cfg.Now()) }

// micro is what PostgreSQL keeps of a time; the zero time stays zero.
func micro(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// OnRegister is a hook for tenancy.Config.OnRegister: it seeds a new account with
// its plan's monthly credits, in the registration's transaction. An account that
// waits for its first payment gets none before it has paid.
func (l *Ledger) OnRegister(ctx context.Context, db bun.IDB, r tenancy.Registered) error {
	seed := Seed{Account: r.Account.ID, Amount: r.Plan.MonthlyCredits}
	switch r.Account.Status {
	case tenancy.StatusTrial:
		seed.Category = CategoryPromo
	case tenancy.StatusActive:
		seed.Category = CategoryAllowance
	default:
		return nil
	}
	if seed.Amount == 0 {
		return nil
	}
	_, err := l.Seed(ctx, db, seed)
	return err
}

func checkAccount(id tenancy.AccountID) error {
	if _, err := tenancy.ParseAccountID(string(id)); err != nil {
		return fmt.Errorf("%w: %q is not an account id", ErrInvalid, id)
	}
	return nil
}

func checkAmount(n int64) error {
	if n <= 0 {
		return fmt.Errorf("%w: the amount must be above zero", ErrInvalid)
	}
	return nil
}

func checkKey(key string, required bool) error {
	switch {
	case key == "" && required:
		return fmt.Errorf("%w: an idempotency key is required", ErrInvalid)
	case len(key) > maxKey:
		return fmt.Errorf("%w: an idempotency key has at most %d bytes", ErrInvalid, maxKey)
	}
	return checkText("idempotency key", key)
}

// ownKeys is what the keys of this library's own grants begin with, those of billing
// too: no key that comes from a client can take one before it is needed.
const ownKeys = "quitrent:"

// checkForeign refuses a key that is kept for this library.
func checkForeign(key string) error {
	if strings.HasPrefix(key, ownKeys) {
		return fmt.Errorf("%w: an idempotency key does not begin with %q", ErrInvalid, ownKeys)
	}
	return nil
}

// checkActor takes nobody, or somebody with a kind and an id.
func checkActor(a tenancy.Actor) error {
	if a == (tenancy.Actor{}) {
		return nil
	}
	if err := (tenancy.Audit{Actor: a, Action: "credits"}).Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

func checkBasis(s string) error {
	if err := tenancy.CheckText("basis", s, maxBasis); err != nil {
		return fmt.Errorf("%w: the basis is longer than %d bytes or has a character that does not print", ErrInvalid, maxBasis)
	}
	return nil
}

func checkText(what, s string) error {
	if err := tenancy.CheckText(what, s, maxText); err != nil {
		return fmt.Errorf("%w: the %s is too long or has a character that does not print", ErrInvalid, what)
	}
	return nil
}
