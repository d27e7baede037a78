package authn

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/internal/opaque"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// LimitKeys is the name of the plan limit that bounds an account's keys. The
// expired and the revoked do not count.
const LimitKeys = "keys"

// LimitKeyDays is the name of the plan limit that bounds how old a secret of a key may
// be, in days of 24 hours: older ones open nothing, and the key is rotated in time. An
// account's own is set by tenancy's Override. A shorter limit counts for the secrets that
// are there too, where no Loader keeps the accounts; a longer one for those made under it.
// 0: no secret opens anything. Over 365,000: no limit.
const LimitKeyDays = "key_days"

// Issue makes an API key.
type Issue struct {
	Account tenancy.AccountID
	// Name tells the account's keys apart: 1 to 200 bytes.
	Name  string
	Actor tenancy.Actor
	// Env is one of Config.Envs. Default: the first.
	Env string
	// Scopes are the permissions that the key may use, as far as who makes it holds them
	// at that time: at most 100. AllScopes: all of them. Default: none, so the key can do
	// what asks for a capability of the account alone.
	Scopes []tenancy.Permission
	// May narrows what the key can enter its account for. Default: tenancy.Use, which is
	// also the most.
	May tenancy.Capability
	// Addresses are those that the key may be used from: at most 100. Default: any.
	Addresses []netip.Prefix
	// ExpiresAt ends the key; zero: it does not expire.
	ExpiresAt time.Time
}

// Issue makes a key and writes it to the audit log and the outbox. What it returns
// is the only copy of the secret.
//
// A key that a user makes acts on that user's rights: see Key.Maker. One that an
// operator or the system makes holds its scopes whatever anybody's roles are.
//
// It returns ErrInvalid of tenancy for a bad name, an environment that is not here, a
// scope that is no name, a capability that no key has, an end that is not in the future
// and a missing actor, the refusals of tenancy.Check for an account that may not
// mint keys, ErrForbidden when the actor is itself a key, and tenancy.ErrLimit when
// the plan's limit of keys is reached: two at once at the last place make one.
func (k *Keys) Issue(ctx context.Context, db bun.IDB, i Issue) (Issued, error) {
	i.Name = strings.TrimSpace(i.Name)
	if i.Name == "" {
		return Issued{}, fmt.Errorf("%w: the key's name is missing", tenancy.ErrInvalid)
	}
	if err := tenancy.CheckText("key's name", i.Name, 200); err != nil {
		return Issued{}, err
	}
	if err := i.line().Validate(); err != nil {
		return Issued{}, err
	}
	if err := k.check(&i); err != nil {
		return Issued{}, err
	}
	var out Issued
	err := tx.Join(ctx, db, func(db bun.IDB) (err error) {
		out, err = k.issue(ctx, db, i)
		return err
	})
	if err != nil {
		return Issued{}, err
	}
	return out, nil
}

// maxScopes bounds the scopes and the addresses of a key.
const maxScopes = 100

// check puts i in order and says what is wrong with it.
func (k *Keys) check(i *Issue) error {
	if i.Env == "" {
		i.Env = k.form.envs[0]
	}
	i.Scopes = slices.Compact(slices.Sorted(slices.Values(i.Scopes)))
	i.Addresses = slices.Clone(i.Addresses)
	switch {
	case !slices.Contains(k.form.envs, i.Env):
		return fmt.Errorf("%w: the environment is one of %v", tenancy.ErrInvalid, k.form.envs)
	case i.May&^tenancy.Use != 0:
		return fmt.Errorf("%w: a key may %s at most", tenancy.ErrInvalid, tenancy.Use)
	case len(i.Scopes) > maxScopes || len(i.Addresses) > maxScopes:
		return fmt.Errorf("%w: a key has at most %d scopes and %d addresses", tenancy.ErrInvalid, maxScopes, maxScopes)
	}
	for _, s := range i.Scopes {
		if _, err := tenancy.ParseAccountID(string(s)); err != nil && s != tenancy.AllScopes { // of the same letters
			return fmt.Errorf("%w: a scope is a permission, of 1 to 64 of A-Z a-z 0-9 _ . : -, or *", tenancy.ErrInvalid)
		}
	}
	for n, a := range i.Addresses {
		if !a.IsValid() {
			return fmt.Errorf("%w: an address is written like 192.0.2.0/24 or 2001:db8::/32", tenancy.ErrInvalid)
		}
		i.Addresses[n] = a.Masked()
	}
	return nil
}

func (i Issue) line() tenancy.Audit {
	return tenancy.Audit{Account: i.Account, Actor: i.Actor, Action: "authn.issue_key"}
}

func (k *Keys) issue(ctx context.Context, db bun.IDB, i Issue) (Issued, error) {
	now := k.now()
	row := keyRow{
		Account: i.Account, Name: i.Name, Env: i.Env, CreatedByKind: i.Actor.Kind, CreatedByID: i.Actor.ID,
		Scopes: "[]", Addresses: "[]", May: i.May.String(),
		CreatedAt: now, ExpiresAt: utc(i.ExpiresAt.Truncate(time.Microsecond)),
	}
	if i.Actor.Kind == tenancy.ActorUser {
		row.Maker = tenancy.UserID(i.Actor.ID)
	}
	if err := cmp.Or(marshal(i.Scopes, &row.Scopes), marshal(i.Addresses, &row.Addresses)); err != nil {
		return Issued{}, err
	}
	if !row.ExpiresAt.IsZero() && !row.ExpiresAt.After(now) {
		return Issued{}, fmt.Errorf("%w: the key would expire before it is used", tenancy.ErrInvalid)
	}
	if row.ExpiresAt.Year() > 9999 {
		return Issued{}, fmt.Errorf("%w: the key would expire after the year 9999: leave the end out instead", tenancy.ErrInvalid)
	}
	if err := k.lock(ctx, db, i.Account); err != nil {
		return Issued{}, err
	}
	plan, err := k.mayMint(ctx, db, i)
	if err != nil {
		return Issued{}, err
	}
	if err := k.room(ctx, db, i.Account, plan, now); err != nil {
		return Issued{}, err
	}
	if row.ID, err = claimID(ctx, db, i.Account); err != nil {
		return Issued{}, err
	}
	if _, err := db.NewInsert().Model(&row).Exec(ctx); err != nil {
		return Issued{}, err
	}
	var out Issued
	if out.Secret, err = k.newSecret(ctx, db, row, plan, now); err != nil {
		return Issued{}, err
	}
	line := i.line()
	line.At, line.Target = now, string(row.ID)
	if err := tenancy.Note(ctx, db, line, KeyIssued{Key: row.ID, ExpiresAt: row.ExpiresAt}); err != nil {
		return Issued{}, err
	}
	out.Key, err = row.key()
	return out, err
}

// newSecret makes another secret of a key and stores its hash, to end when the account's
// policy says so.
func (k *Keys) newSecret(ctx context.Context, db bun.IDB, key keyRow, plan tenancy.Plan, now time.Time) (string, error) {
	secret := k.form.write(slices.Index(k.form.envs, key.Env), key.ID, opaque.Random(secretLength))
	_, text, _ := k.form.parse(secret)
	pepper, hash := k.ring.sum(text)
	row := &secretRow{Account: key.Account, Key: key.ID, ID: id.New("sec"), Pepper: pepper, Hash: hash, CreatedAt: now}
	if days, limited := plan.Limit(LimitKeyDays); limited {
		row.ExpiresAt = endOf(now, days)
	}
	_, err := db.NewInsert().Model(row).Exec(ctx)
	return secret, err
}

// maxKeyDays is the most that LimitKeyDays says something with: no database writes
// much later dates.
const maxKeyDays = 365_000

// endOf is when a secret of that age ends. A time.Duration would overflow with 292
// years.
func endOf(created time.Time, days int64) time.Time {
	if days > maxKeyDays {
		return time.Time{}
	}
	return created.UTC().AddDate(0, 0, int(days))
}

// marshal is what unmarshal reads.
func marshal[E any](list []E, text *string) error {
	if len(list) == 0 {
		*text = "[]"
		return nil
	}
	b, err := json.Marshal(list)
	*text = string(b)
	return err
}

// lock keeps every other change of the account waiting. It comes before every other
// lock, as in the whole library, so that nobody waits in a circle. An account of a
// Loader's has no row to lock.
func (k *Keys) lock(ctx context.Context, db bun.IDB, account tenancy.AccountID) error {
	if _, err := k.accounts.Lock(ctx, db, account); !errors.Is(err, tenancy.ErrNoAccount) {
		return err
	}
	return nil
}

// mayMint validates the account like every other way in, also one of a host's own
// tables, and returns its plan. A key mints no keys.
func (k *Keys) mayMint(ctx context.Context, db bun.IDB, i Issue) (tenancy.Plan, error) {
	if i.Actor.Kind == tenancy.ActorKey {
		return tenancy.Plan{}, tenancy.ErrForbidden
	}
	state, plan, err := k.accounts.Load(ctx, db, i.Account)
	if err != nil {
		return tenancy.Plan{}, err
	}
	return plan, tenancy.Check(state, plan, k.now(), tenancy.MintKeys)
}

// room locks the account's keys and refuses one more than the plan allows.
func (k *Keys) room(ctx context.Context, db bun.IDB, account tenancy.AccountID, plan tenancy.Plan, now time.Time) error {
	_, err := db.NewRaw(`INSERT INTO authn_accounts (account_id, issued) VALUES (?, 1)
		ON CONFLICT (account_id) DO UPDATE SET issued = authn_accounts.issued + 1`, account).Exec(ctx)
	if err != nil {
		return err
	}
	limit, limited := plan.Limits[LimitKeys]
	if !limited {
		return nil
	}
	n, err := db.NewSelect().Model((*keyRow)(nil)).
		Where("account_id = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)", account, now).Count(ctx)
	if err != nil {
		return err
	}
	if n >= limit {
		return fmt.Errorf("%w: %d keys", tenancy.ErrLimit, limit)
	}
	return nil
}

// claimID draws ids until one is new, which the first one is.
func claimID(ctx context.Context, db bun.IDB, account tenancy.AccountID) (KeyID, error) {
	for range 10 {
		row := keyIDRow{ID: KeyID(opaque.Random(idLength)), Account: account}
		res, err := db.NewInsert().Model(&row).On("CONFLICT (key_id) DO NOTHING").Exec(ctx)
		if err != nil {
			return "", err
		}
		if n, err := res.RowsAffected(); err != nil {
			return "", err
		} else if n == 1 {
			return row.ID, nil
		}
	}
	return "", fmt.Errorf("no new key id in 10 draws of %d characters", idLength)
}
