package emails

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Preview is what a page shows before the token in a link is used.
type Preview struct {
	Kind Kind `json:"kind"`
	// Email is the user's address. Over HTTP most of it is hidden: a mail may have
	// been passed on.
	Email     string    `json:"email"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Peek asks what a token is good for.
type Peek struct {
	Kind  Kind
	Token Token
}

// Peek shows what a token that works would be used for, to whoever has it, and
// changes nothing. ErrNoToken: there is none.
func (e *Emails) Peek(ctx context.Context, db bun.IDB, p Peek) (Preview, error) {
	row, user, err := e.find(ctx, db, p.Kind, p.Token)
	if err != nil {
		return Preview{}, err
	}
	return Preview{Kind: row.Kind, Email: user.Email, ExpiresAt: row.ExpiresAt.UTC()}, nil
}

// find reads a token that works now, and whose it is. What is no token is not for the
// database.
func (e *Emails) find(ctx context.Context, db bun.IDB, kind Kind, token Token) (tokenRow, tenancy.User, error) {
	hash, ok := token.hash()
	if !ok {
		return tokenRow{}, tenancy.User{}, ErrNoToken
	}
	var row tokenRow
	err := db.NewSelect().Model(&row).Where("token_hash = ?", hash).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) || err == nil && (row.Kind != kind || !e.now().Before(row.ExpiresAt)) {
		err = ErrNoToken
	}
	if err != nil {
		return tokenRow{}, tenancy.User{}, err
	}
	user, err := e.accounts.User(ctx, db, row.User)
	if _, key, bad := tenancy.ParseEmail(user.Email); errors.Is(err, tenancy.ErrNoUser) || err == nil && (bad != nil || key != row.EmailKey) {
		err = ErrNoToken // sent to an address that is the user's no more
	}
	return row, user, err
}

// use ends a token that find has found. Of two at once one finds it still there.
func (e *Emails) use(ctx context.Context, db bun.IDB, row tokenRow) error {
	res, err := db.NewUpdate().Model((*tokenRow)(nil)).Set("token_hash = NULL").
		Where("user_id = ? AND kind = ? AND token_hash = ? AND expires_at > ?", row.User, row.Kind, row.Hash, e.now()).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return ErrNoToken
	}
	return nil
}

// proven marks the address that a token went to as the user's. ErrNoToken: it has
// become another one meanwhile.
func (e *Emails) proven(ctx context.Context, db bun.IDB, row tokenRow) (tenancy.User, error) {
	v, err := e.accounts.MarkVerified(ctx, db, tenancy.MarkVerified{
		User: row.User, Email: row.EmailKey, Actor: actor(row.User), Reason: "a token came by mail",
	})
	return v.User, gone(err)
}

// gone says of a user that is not there what is said of a token.
func gone(err error) error {
	if errors.Is(err, tenancy.ErrNoUser) {
		return ErrNoToken
	}
	return err
}

func actor(user tenancy.UserID) tenancy.Actor {
	return tenancy.Actor{Kind: tenancy.ActorUser, ID: string(user)}
}
