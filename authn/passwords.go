package authn

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
	"golang.org/x/crypto/argon2"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// PasswordConfig is the policy of Passwords. The zero value works.
type PasswordConfig struct {
	// Memory is what one hash takes, in KiB. Default and least: 19456 (OWASP).
	// Most: 262144. Where Memory or Passes was higher before, signing in takes longer
	// for a user whose hash was made then, which tells that there is such a user.
	Memory uint32
	// Passes are how often a hash goes over its memory. Default and least: 2
	// (OWASP). Most: 16.
	Passes uint32
	// Parallel bounds how many hashes are computed at once, and so the memory they
	// take together; the others wait for their turn as long as their context
	// allows. Default: the number of CPUs.
	Parallel int
	// Waiting bounds how many wait for their turn, and half of it those who sign in
	// from one network address; one more gets ErrTooManyAttempts at once. Default: 64
	// for each of Parallel, some 3 s.
	Waiting int
	// Realm is what a browser shows with its question for a password: printable
	// ASCII without quotes and backslashes, or it is not used. Default: "API".
	Realm string
	// Foreign names the hashes of another framework that a sign-in verifies and
	// replaces. Default: none.
	Foreign Foreign
	// Limits bounds how often passwords are tried. Default: see PasswordLimits.
	Limits PasswordLimits
	// TrustedProxies are those whose X-Forwarded-For is believed for the address that
	// a request comes from, as GuardConfig.TrustedProxies says. Default: none.
	TrustedProxies []netip.Prefix
	// SignUpAnswer adds members to the answer of SignUp, the credits to begin with
	// for example. It runs in the registration's transaction after everything else,
	// and like it maybe twice; an error undoes the registration.
	SignUpAnswer func(ctx context.Context, db bun.IDB, r tenancy.Registered) (map[string]any, error)

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// OnError writes refusals. Default: problem details (RFC 9457).
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// Passwords signs users up and in. It holds policy and what was tried lately, and no
// connection: every method that needs the database takes it. Use one value for the
// whole process: it serves any number of goroutines.
type Passwords struct {
	accounts *tenancy.Accounts
	cfg      PasswordConfig
	cost     cost
	attempts *attempts
	turns    chan struct{} // holds one element for each hash that is being computed
	waiting  atomic.Int64  // how many wait to put one there
	derive   func(password, salt []byte, passes, memory uint32, lanes uint8, length uint32) []byte
	stretch  stretch
}

// NewPasswords makes Passwords from cfg, for the users of accounts.
func NewPasswords(accounts *tenancy.Accounts, cfg PasswordConfig) *Passwords {
	if cfg.Parallel <= 0 {
		cfg.Parallel = runtime.GOMAXPROCS(0)
	}
	if cfg.Waiting <= 0 {
		cfg.Waiting = 64 * cfg.Parallel
	}
	if cfg.Realm == "" || !quotable(cfg.Realm) {
		cfg.Realm = "API"
	}
	cfg.Foreign = cfg.Foreign.within()
	cfg.TrustedProxies = slices.Clone(cfg.TrustedProxies)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnError == nil {
		cfg.OnError = problem.Write
	}
	return &Passwords{
		accounts: accounts,
		cfg:      cfg,
		cost: cost{
			memory: min(max(cfg.Memory, leastCost.memory), mostCost.memory),
			passes: min(max(cfg.Passes, leastCost.passes), mostCost.passes),
			lanes:  1,
		},
		attempts: newAttempts(cfg.Limits, cfg.Parallel+(cfg.Waiting+1)/2),
		turns:    make(chan struct{}, cfg.Parallel),
		derive:   argon2.IDKey,
		stretch:  realStretch,
	}
}

func quotable(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// errInTransaction is a mistake of the program: hashing takes tens of
// milliseconds, for which SQLite's one writer, or a row's lock, would be held.
var errInTransaction = errors.New("authn: a password is hashed outside of transactions: pass the *bun.DB, or call Prepare before the transaction begins")

type passwordRow struct {
	bun.BaseModel `bun:"table:authn_passwords,alias:pw"`

	User      tenancy.UserID `bun:"user_id,pk"`
	Hash      string         `bun:"hash"`
	UpdatedAt time.Time      `bun:"updated_at"`
}

// Register is tenancy.Accounts.Register with a password: the account, its owner
// and the password's hash in one transaction. db must not be a transaction; Prepare
// is for joining one. The password is not in r: tenancy knows none, and its Register
// is handed to the host's BeforeRegister and may be printed whole.
//
// It returns ErrWeakPassword, and what tenancy's returns.
func (p *Passwords) Register(ctx context.Context, db bun.IDB, r tenancy.Register, password string) (tenancy.Registered, error) {
	if !tx.Owns(db) {
		return tenancy.Registered{}, errInTransaction
	}
	r, err := p.Prepare(ctx, r, password)
	if err != nil {
		return tenancy.Registered{}, err
	}
	return p.accounts.Register(ctx, db, r)
}

// Prepare hashes the password of a registration and returns the registration with
// a Then that stores the hash, before the Then it had. It does not touch the
// database. It is for hosts that register in a transaction of their own:
//
//	r, err := passwords.Prepare(ctx, tenancy.Register{Name: name, Email: email}, password)
//	// begin, write the host's rows, accounts.Register(ctx, tx, r), commit
//
// It returns ErrWeakPassword.
func (p *Passwords) Prepare(ctx context.Context, r tenancy.Register, password string) (tenancy.Register, error) {
	hash, err := p.newHash(ctx, password, r.Email, r.Name)
	if err != nil {
		return tenancy.Register{}, err
	}
	then := r.Then
	r.Then = func(ctx context.Context, db bun.IDB, made tenancy.Registered) error {
		if err := p.store(ctx, db, made.User.ID, hash); err != nil || then == nil {
			return err
		}
		return then(ctx, db, made)
	}
	return r, nil
}

// SetPassword gives a user another password, or the first one. Formatting, logging
// and encoding/json leave the password out.
type SetPassword struct {
	User  tenancy.UserID
	Actor tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
	// Password is the new one, as it was typed.
	Password string `json:"-"`
}

// String names the user.
func (s SetPassword) String() string { return "password of " + string(s.User) }

// Format implements fmt.Formatter: no verb shows the password.
func (s SetPassword) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements slog.LogValuer.
func (s SetPassword) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Set stores the password and writes to the installation's audit log, since a user
// belongs to no one account. The user's tokens end with it; sessions are ended by
// RevokeOthers or RevokeAll of package sessions. Who may do so is the caller's to know:
// Change is for the person itself. db must not be a transaction.
//
// It returns tenancy.ErrNoUser, ErrWeakPassword, and tenancy.ErrInvalid when the
// actor is missing or the reason is no text.
func (p *Passwords) Set(ctx context.Context, db bun.IDB, s SetPassword) error {
	if !tx.Owns(db) {
		return errInTransaction
	}
	line := tenancy.Audit{Actor: s.Actor, Action: "authn.set_password", Target: string(s.User), Reason: s.Reason}
	if err := line.Validate(); err != nil {
		return err
	}
	user, err := p.accounts.User(ctx, db, s.User)
	if err != nil {
		return err
	}
	hash, err := p.newHash(ctx, s.Password, user.Email, user.Name)
	if err != nil {
		return err
	}
	return tx.Join(ctx, db, func(db bun.IDB) error {
		if err := p.accounts.Changed(ctx, db, user.ID.Subject()); err != nil { // its tokens end
			return err
		}
		if err := p.replace(ctx, db, user.ID, hash); err != nil {
			return err
		}
		line.At = p.now()
		return tenancy.Record(ctx, db, line)
	})
}

// newHash applies the policy and hashes.
func (p *Passwords) newHash(ctx context.Context, password, email, name string) (string, error) {
	if err := checkPassword(password, email, name); err != nil {
		return "", err
	}
	h, err := p.hash(ctx, normal(password))
	return h.String(), err
}

func (p *Passwords) store(ctx context.Context, db bun.IDB, user tenancy.UserID, hash string) error {
	_, err := db.NewInsert().Model(&passwordRow{User: user, Hash: hash, UpdatedAt: p.now()}).
		On("CONFLICT (user_id) DO UPDATE").Set("hash = EXCLUDED.hash, updated_at = EXCLUDED.updated_at").Exec(ctx)
	return err
}

// stored is the user's hash; "" if the user has no password.
func (p *Passwords) stored(ctx context.Context, db bun.IDB, user tenancy.UserID) (string, error) {
	var row passwordRow
	err := db.NewSelect().Model(&row).Where("user_id = ?", user).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return row.Hash, err
}

func (p *Passwords) now() time.Time { return p.cfg.Now().UTC().Truncate(time.Microsecond) }
