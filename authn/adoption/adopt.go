package adoption

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Config says how the old system's rows are read. The zero value works.
type Config struct {
	// KeyHash is what the old system kept of a key, the ImportedConfig.Hash of authn.
	// Default: authn.SHA256Hex.
	KeyHash func(key string) string
	// KeysEndAt is the end of the keys that name none. Zero: each names its own.
	KeysEndAt time.Time
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Adoption takes over passwords and keys. It holds policy and no connection, and serves
// any number of goroutines.
type Adoption struct {
	accounts  *tenancy.Accounts
	passwords *authn.Passwords
	keys      *authn.Keys
	cfg       Config
}

// New makes an Adoption from cfg, of what passwords and keys will verify.
func New(accounts *tenancy.Accounts, passwords *authn.Passwords, keys *authn.Keys, cfg Config) *Adoption {
	if cfg.KeyHash == nil {
		cfg.KeyHash = authn.SHA256Hex
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Adoption{accounts: accounts, passwords: passwords, keys: keys, cfg: cfg}
}

// Password is a user's hash. Formatting, logging and encoding/json leave it out.
type Password struct {
	User tenancy.UserID
	// Hash is what the old system kept of the password, as it wrote it.
	Hash string `json:"-"`
}

// String names the user.
func (p Password) String() string { return "password of " + string(p.User) }

// Format implements fmt.Formatter: no verb shows the hash.
func (p Password) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// LogValue implements slog.LogValuer.
func (p Password) LogValue() slog.Value { return slog.StringValue(p.String()) }

// Adopt is what to take over.
type Adopt struct {
	Passwords []Password
	// Keys are the API keys. Their Actor and Reason are those below; an EndsAt that is
	// zero is Config.KeysEndAt.
	Keys []authn.Import
	// DryRun reads, checks and reports, and writes nothing.
	DryRun bool
	// Actor is who adopts: an operator or the system.
	Actor tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// Adopt takes over what is not here yet, in one transaction: all of it or nothing.
// Everything is checked first, and the report names everything that is wrong. What is
// here already is counted and left alone, so that Adopt may run as often as one likes, and
// in two processes at once.
//
// It returns tenancy.ErrInvalid when the actor is missing or the reason too long,
// tenancy.ErrForbidden for an actor who is neither an operator nor the system, and
// ErrRefused, with the report, when Report.Refused is not empty; a dry run then returns
// nil. All leave a joined transaction usable.
func (a *Adoption) Adopt(ctx context.Context, db bun.IDB, what Adopt) (Report, error) {
	line := tenancy.Audit{Actor: what.Actor, Action: "authn.adopt", Reason: what.Reason}
	if err := line.Validate(); err != nil {
		return Report{}, err
	}
	if what.Actor.Kind != tenancy.ActorOperator && what.Actor.Kind != tenancy.ActorSystem {
		return Report{}, tenancy.ErrForbidden
	}
	if what.DryRun {
		s, err := a.survey(ctx, db, what)
		if err != nil {
			return Report{}, err
		}
		return s.report, nil
	}
	var report Report
	err := tx.Join(ctx, db, func(db bun.IDB) (err error) {
		report, err = a.adopt(ctx, db, what, line)
		return err
	})
	if err != nil && !errors.Is(err, ErrRefused) {
		return Report{}, err
	}
	return report, err
}

func (a *Adoption) adopt(ctx context.Context, db bun.IDB, what Adopt, line tenancy.Audit) (Report, error) {
	// One adoption at a time, with those of package tenancy: the row of a lease, which
	// nobody holds, is the lock.
	now := a.now()
	_, err := db.NewRaw(`INSERT INTO tenancy_leases (name, holder, until) VALUES ('adoption', '', ?)
		ON CONFLICT (name) DO UPDATE SET until = excluded.until`, now).Exec(ctx)
	if err != nil {
		return Report{}, err
	}
	s, err := a.survey(ctx, db, what)
	if err != nil {
		return Report{}, err
	}
	switch {
	case len(s.report.Refused) > 0:
		return s.report, ErrRefused
	case len(s.passwords) == 0 && len(s.keys) == 0:
		return s.report, nil
	}
	// In the order in which others lock accounts.
	slices.SortStableFunc(s.keys, func(a, b authn.Import) int { return strings.Compare(string(a.Account), string(b.Account)) })
	for _, k := range s.keys {
		if _, err := a.keys.Import(ctx, db, k); err != nil {
			return Report{}, err
		}
	}
	for rows := range slices.Chunk(s.passwords, page) {
		res, err := db.NewInsert().Model(&rows).On("CONFLICT (user_id) DO NOTHING").Exec(ctx)
		if err != nil {
			return Report{}, err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return Report{}, err
		}
		since := len(rows) - int(n) // set by their persons in this moment
		s.report.Passwords.New -= since
		s.report.Passwords.Different += since
	}
	line.At = now
	if line.Data, err = s.report.counts(); err != nil {
		return Report{}, err
	}
	return s.report, tenancy.Record(ctx, db, line)
}

func (a *Adoption) now() time.Time { return a.cfg.Now().UTC().Truncate(time.Microsecond) }
