package prices

import (
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// maxOperation is the longest name of an operation, in bytes.
const maxOperation = 200

// Config is the policy of a List. The zero value works.
type Config struct {
	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// OnError writes refusals. Default: problem details (RFC 9457).
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// List is the price list. It holds policy and no connection: every method takes the
// database. One value serves any number of goroutines, and any number of processes
// share a database.
type List struct {
	cfg Config
}

// New makes a List from cfg.
func New(cfg Config) *List {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnError == nil {
		cfg.OnError = problem.Write
	}
	return &List{cfg: cfg}
}

func (l *List) now() time.Time { return micro(l.cfg.Now()) }

// at is t, or now where t is not said.
func (l *List) at(t time.Time) time.Time {
	if t.IsZero() {
		return l.now()
	}
	return micro(t)
}

// micro is what PostgreSQL keeps of a time; the zero time stays zero.
func micro(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

func checkTime(t time.Time) error {
	if y := t.UTC().Year(); y < 1 || y > 9999 {
		return fmt.Errorf("%w: a date is not within the years 1 to 9999", ErrInvalid)
	}
	return nil
}

// checkAccount takes an account's id, or "" for the general list.
func checkAccount(id tenancy.AccountID) error {
	if id == "" {
		return nil
	}
	if _, err := tenancy.ParseAccountID(string(id)); err != nil {
		return fmt.Errorf("%w: %q is not an account id", ErrInvalid, id)
	}
	return nil
}

// checkOperation takes what stands in a basis as it is: with characters that JSON
// escapes, a basis could be longer than an entry holds.
func checkOperation(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: the operation is missing", ErrInvalid)
	case len(s) > maxOperation:
		return fmt.Errorf("%w: an operation has at most %d bytes", ErrInvalid, maxOperation)
	case !utf8.ValidString(s) || strings.ContainsAny(s, `"\`) ||
		strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%w: an operation is text that prints, without quotes and backslashes", ErrInvalid)
	}
	return nil
}
