package authn

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/changes"
	"github.com/quitrent/quitrent/tenancy"
)

// The characters of a key that another system has made, and of what it kept of it.
const (
	minForeignKey = 16
	maxForeignKey = 200
)

// SHA256Hex is the SHA-256 of a key in hexadecimal, in small letters: an
// ImportedConfig.Hash.
func SHA256Hex(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// SHA256Base64 is the SHA-256 of a key in base 64 with padding (RFC 4648, section 4).
func SHA256Base64(key string) string {
	sum := sha256.Sum256([]byte(key))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// SHA512Hex is the SHA-512 of a key in hexadecimal, in small letters.
func SHA512Hex(key string) string {
	sum := sha512.Sum512([]byte(key))
	return hex.EncodeToString(sum[:])
}

// ImportedConfig is the policy of Imported. Hash must be given; the rest works as it is.
type ImportedConfig struct {
	// Hash makes of a key what the other system kept of it: SHA256Hex, SHA256Base64,
	// SHA512Hex, or a function that always makes the same of the same key and nothing
	// alike of another. A hash with a salt for each key cannot be looked up.
	Hash func(key string) string
	// Schemes are those of Authorization with which the old keys come, in small letters:
	// "token", "api-key". Default: bearer, which a key in X-API-Key counts as.
	Schemes []string
	// MaxCached bounds the keys that are remembered while accounts.Run runs. Default:
	// 100,000.
	MaxCached int
}

// Imported is the Authenticator of keys that another system has made and Keys.Import has
// taken over: any 16 to 200 printable ASCII characters. It serves any number of
// goroutines.
type Imported struct {
	keys   *Keys
	cfg    ImportedConfig
	opened *changes.Memo[digest, *opened]
}

// NewImported makes Imported for what keys imports. The error says what is wrong with
// cfg.
func NewImported(keys *Keys, cfg ImportedConfig) (*Imported, error) {
	if cfg.Hash == nil {
		return nil, errors.New("authn: ImportedConfig.Hash is missing: name what the other system keeps of a key")
	}
	if len(cfg.Schemes) == 0 {
		cfg.Schemes = []string{schemeBearer}
	}
	cfg.Schemes = slices.Clone(cfg.Schemes)
	for _, s := range cfg.Schemes {
		if !token(s) || s != strings.ToLower(s) || s == schemeBasic {
			return nil, fmt.Errorf("authn: %q is no scheme that keys come with: one word in small letters", s)
		}
	}
	if cfg.MaxCached <= 0 {
		cfg.MaxCached = 100_000
	}
	return &Imported{keys: keys, cfg: cfg, opened: changes.NewMemo[digest, *opened](keys.accounts.Feed(), cfg.MaxCached, digest.hash)}, nil
}

// Authenticate implements Authenticator. What looks like a key of ours is none of its
// kind, nor is what no such key can be; of anything else the answer is final, so Imported
// comes last. It costs one statement, and none while it is remembered.
//
// It returns ErrBadCredential, also for a key that is revoked, expired, or past the end of
// its import, ErrAddress and ErrOrphaned.
func (m *Imported) Authenticate(ctx context.Context, db bun.IDB, c Credential) (Principal, error) {
	k := m.keys
	if !slices.Contains(m.cfg.Schemes, c.Scheme) || !foreignText(c.Value) || k.form.env(c.Value) >= 0 {
		return Principal{}, ErrNoCredential
	}
	now, d := changes.Now(), digest(sha256.Sum256([]byte("imported "+c.Value))) // no key of ours has a blank
	o, remembered := m.opened.Get(db, now, d)
	if !remembered {
		if k.memory.refused(db, now, d) {
			return Principal{}, ErrBadCredential
		}
		var err error
		if o, err = m.find(ctx, db, now, d, c.Value); err != nil {
			return Principal{}, err
		}
	}
	who, err := k.use(ctx, db, o, now, &arrived{Credential: c})
	if err != nil {
		return Principal{}, err
	}
	return *who, nil
}

// Challenge implements Challenger.
func (m *Imported) Challenge() string { return "Bearer" }

// find asks the database what a key opens, and remembers the answer.
func (m *Imported) find(ctx context.Context, db bun.IDB, now changes.Instant, d digest, key string) (*opened, error) {
	k := m.keys
	hash := m.cfg.Hash(key)
	if !foreignText(hash) {
		return nil, ErrBadCredential // nothing of the kind was imported
	}
	ticket := k.memory.feed.Begin()
	var rows []struct {
		presentedRow
		Key KeyID `bun:"key_id"`
	}
	q := db.NewSelect().TableExpr("authn_imported_keys AS i").ColumnExpr(presentedColumns).ColumnExpr("k.key_id").
		Join("JOIN authn_keys AS k ON k.account_id = i.account_id AND k.key_id = i.key_id").
		Join("JOIN authn_key_secrets AS s ON s.account_id = i.account_id AND s.key_id = i.key_id AND s.secret_id = i.secret_id").
		Where("i.hash = ?", hash)
	if err := k.accounts.Beside(q, "k.account_id", "k.maker_id").Scan(ctx, &rows); err != nil {
		return nil, err
	}
	if len(rows) != 1 || rows[0].Pepper != noPepper || !hmac.Equal([]byte(rows[0].Hash), []byte(hash)) {
		k.memory.refuse(db, now, d)
		return nil, ErrBadCredential
	}
	o, err := k.open(rows[0].presentedRow, rows[0].Key, func(who Principal) (Principal, tenancy.Plan, error) {
		return k.accounts.Know(ticket, now.Time, db, who, rows[0].Found)
	})
	if err != nil {
		return nil, err
	}
	m.opened.Keep(ticket, db, d, func([]*changes.Life) *opened { return o }, o.who.Subjects()...)
	return o, nil
}

// foreignText reports that s may be a key of another system, or what it kept of one.
func foreignText(s string) bool {
	if len(s) < minForeignKey || len(s) > maxForeignKey {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
