package authn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// LimitKeys is the name of the plan limit that bounds an account's keys. The
// expired and the revoked do not count.
const LimitKeys = "keys"

// Issue makes an API key.
type Issue struct {
	Account tenancy.AccountID
	// Name tells the account's keys apart: 1 to 200 bytes.
	Name  string
	Actor tenancy.Actor
	// ExpiresAt ends the key; zero: it does not expire.
	ExpiresAt time.Time
}

// Issue makes a key and writes it to the audit log and the outbox. What it returns
// is the only copy of the secret.
//
// It returns ErrInvalid of tenancy for a bad name, an end that is not in the future
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

func (i Issue) line() tenancy.Audit {
	return tenancy.Audit{Account: i.Account, Actor: i.Actor, Action: "authn.issue_key"}
}

func (k *Keys) issue(ctx context.Context, db bun.IDB, i Issue) (Issued, error) {
	now := k.now()
	row := keyRow{
		Account: i.Account, Name: i.Name, Env: k.env, CreatedByKind: i.Actor.Kind, CreatedByID: i.Actor.ID,
		CreatedAt: now, ExpiresAt: utc(i.ExpiresAt.Truncate(time.Microsecond)),
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
	secret := k.form.write(row.ID, random(secretLength))
	_, text, _ := k.form.parse(secret)
	pepper, hash := k.ring.sum(text)
	if _, err := db.NewInsert().Model(&row).Exec(ctx); err != nil {
		return Issued{}, err
	}
	if _, err := db.NewInsert().Model(&secretRow{
		Account: i.Account, Key: row.ID, ID: id.New("sec"), Pepper: pepper, Hash: hash, CreatedAt: now,
	}).Exec(ctx); err != nil {
		return Issued{}, err
	}
	line := i.line()
	line.At, line.Target = now, string(row.ID)
	err = tenancy.Note(ctx, db, line, KeyIssued{Key: row.ID, ExpiresAt: row.ExpiresAt})
	return Issued{Key: row.key(), Secret: secret}, err
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
		row := keyIDRow{ID: KeyID(random(idLength)), Account: account}
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
