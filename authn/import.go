package authn

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/internal/opaque"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Import takes over a key of another system, which its holder goes on using until it
// ends. Package adoption imports many, with a dry run. Formatting, logging and
// encoding/json leave the hash out.
type Import struct {
	Account tenancy.AccountID
	// Hash is what the other system kept of the key: what ImportedConfig.Hash makes of it,
	// 16 to 200 printable ASCII characters.
	Hash string `json:"-"`
	// Name tells the account's keys apart: 1 to 200 bytes.
	Name string
	// EndsAt is when the old text opens nothing any more. The key stays: rotated before,
	// it has a secret of ours by then.
	EndsAt time.Time
	// Maker is the user on whose rights the key acts. "": it holds its Scopes whatever
	// anybody's roles are.
	Maker tenancy.UserID
	// Env, Scopes, May and Addresses are those of Issue.
	Env       string
	Scopes    []tenancy.Permission
	May       tenancy.Capability
	Addresses []netip.Prefix
	// CreatedAt is when the other system made it. Default: now.
	CreatedAt time.Time

	// Actor is who imports it: an operator or the system.
	Actor tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// String names the account.
func (i Import) String() string { return "imported key of " + string(i.Account) }

// Format implements fmt.Formatter: no verb shows the hash.
func (i Import) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, i.String()) }

// LogValue implements slog.LogValuer.
func (i Import) LogValue() slog.Value { return slog.StringValue(i.String()) }

// noPepper marks a hash that was not made here. No pepper has this id, so that no key of
// ours is ever held against it.
const noPepper = ""

type importedRow struct {
	bun.BaseModel `bun:"table:authn_imported_keys,alias:im"`

	Hash    string            `bun:"hash,pk"`
	Account tenancy.AccountID `bun:"account_id"`
	Key     KeyID             `bun:"key_id"`
	Secret  string            `bun:"secret_id"`
}

// Importable says what is wrong with a key, whatever the database knows: nil, or
// tenancy.ErrInvalid or tenancy.ErrForbidden.
func (k *Keys) Importable(i Import) error {
	_, err := k.importable(&i)
	return err
}

func (k *Keys) importable(i *Import) (keyRow, error) {
	if err := i.line().Validate(); err != nil {
		return keyRow{}, err
	}
	if i.Actor.Kind != tenancy.ActorOperator && i.Actor.Kind != tenancy.ActorSystem {
		return keyRow{}, fmt.Errorf("%w: an operator imports keys", tenancy.ErrForbidden)
	}
	if !foreignText(i.Hash) {
		return keyRow{}, fmt.Errorf("%w: the hash of a key has %d to %d printable ASCII characters", tenancy.ErrInvalid, minForeignKey, maxForeignKey)
	}
	if i.Name = strings.TrimSpace(i.Name); i.Name == "" {
		return keyRow{}, fmt.Errorf("%w: the key's name is missing", tenancy.ErrInvalid)
	}
	if err := tenancy.CheckText("key's name", i.Name, 200); err != nil {
		return keyRow{}, err
	}
	if _, err := tenancy.ParseAccountID(string(i.Maker)); i.Maker != "" && err != nil { // of the same letters
		return keyRow{}, fmt.Errorf("%w: the maker is no user's id", tenancy.ErrInvalid)
	}
	rights := Issue{Env: i.Env, Scopes: i.Scopes, May: i.May, Addresses: i.Addresses}
	if err := k.check(&rights); err != nil {
		return keyRow{}, err
	}
	now := k.now()
	i.EndsAt = utc(i.EndsAt.Truncate(time.Microsecond))
	if created := i.CreatedAt.UTC().Year(); !i.EndsAt.After(now) || i.EndsAt.Year() > 9999 || created < 1 || created > 9999 {
		return keyRow{}, fmt.Errorf("%w: an imported key ends at a time to come, before the year 10000, and was made after the year 0", tenancy.ErrInvalid)
	}
	row := keyRow{
		Account: i.Account, Name: i.Name, Env: rights.Env, CreatedByKind: i.Actor.Kind, CreatedByID: i.Actor.ID, Maker: i.Maker,
		May: rights.May.String(), CreatedAt: now,
	}
	if !i.CreatedAt.IsZero() {
		row.CreatedAt = utc(i.CreatedAt.Truncate(time.Microsecond))
	}
	if i.Maker != "" {
		row.CreatedByKind, row.CreatedByID = tenancy.ActorUser, string(i.Maker)
	}
	return row, cmp.Or(marshal(rights.Scopes, &row.Scopes), marshal(rights.Addresses, &row.Addresses))
}

func (i Import) line() tenancy.Audit {
	return tenancy.Audit{Account: i.Account, Actor: i.Actor, Action: "authn.import_key", Reason: i.Reason}
}

// Import makes a key of an account that opens by what the other system gave its holder,
// for an Imported to verify. It is a key like any other: it is listed, revoked and
// rotated, and its old text is one of its secrets. It is written to the audit log, and no
// event is published. The plan's limit of keys is not asked, nor what the account may do
// now: a key that worked yesterday is refused where it is used, like every other. A text
// that was tried and refused a moment ago may be refused for a minute more.
//
// It returns ErrImported when the hash is here already, tenancy.ErrNoAccount, what
// tenancy.Check says of an account that is closed, and what Importable returns.
func (k *Keys) Import(ctx context.Context, db bun.IDB, i Import) (Key, error) {
	row, err := k.importable(&i)
	if err != nil {
		return Key{}, err
	}
	err = tx.Join(ctx, db, func(db bun.IDB) error { return k.importKey(ctx, db, i, &row) })
	if err != nil {
		return Key{}, err
	}
	return row.key()
}

func (k *Keys) importKey(ctx context.Context, db bun.IDB, i Import, row *keyRow) error {
	now := k.now()
	if err := k.lock(ctx, db, i.Account); err != nil {
		return err
	}
	state, plan, err := k.accounts.Load(ctx, db, i.Account)
	if err != nil {
		return err
	}
	if err := tenancy.Check(state, plan, now, tenancy.Export); err != nil { // nothing comes back to what is closed
		return err
	}
	row.ID = KeyID(opaque.Random(idLength))
	secret := secretRow{
		Account: i.Account, Key: row.ID, ID: id.New("sec"), Pepper: noPepper, Hash: i.Hash, CreatedAt: now, ExpiresAt: i.EndsAt,
	}
	// This one first: a refusal leaves nothing behind.
	res, err := db.NewInsert().Model(&importedRow{Hash: i.Hash, Account: i.Account, Key: row.ID, Secret: secret.ID}).
		On("CONFLICT (hash) DO NOTHING").Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return ErrImported
	}
	_, err = db.NewRaw(`INSERT INTO authn_accounts (account_id, issued) VALUES (?, 1)
		ON CONFLICT (account_id) DO UPDATE SET issued = authn_accounts.issued + 1`, i.Account).Exec(ctx)
	if err != nil {
		return err
	}
	for _, model := range []any{&keyIDRow{ID: row.ID, Account: i.Account}, row, &secret} {
		if _, err := db.NewInsert().Model(model).Exec(ctx); err != nil {
			return err
		}
	}
	if err := k.accounts.Changed(ctx, db, i.Account.Subject()); err != nil {
		return err
	}
	line := i.line()
	line.At, line.Target = now, string(row.ID)
	return tenancy.Record(ctx, db, line)
}
