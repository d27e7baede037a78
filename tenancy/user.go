package tenancy

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
)

// User is a person. A user may belong to several accounts or to none.
type User struct {
	ID        UserID    `json:"id"`
	Email     string    `json:"email"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
	// VerifiedAt is when it was first known that the address is the user's own. Zero:
	// it is not known, and may be anybody's.
	VerifiedAt time.Time `json:"verified_at,omitzero"`
}

type userRow struct {
	bun.BaseModel `bun:"table:tenancy_users,alias:u"`

	ID         UserID    `bun:"user_id,pk"`
	Email      string    `bun:"email,nullzero"`
	EmailKey   string    `bun:"email_key,nullzero"`
	Name       string    `bun:"name"`
	CreatedAt  time.Time `bun:"created_at"`
	UpdatedAt  time.Time `bun:"updated_at"`
	VerifiedAt time.Time `bun:"email_verified_at,nullzero"`
}

func (r userRow) user() User {
	return User{ID: r.ID, Email: r.Email, Name: r.Name, CreatedAt: r.CreatedAt.UTC(), VerifiedAt: utc(r.VerifiedAt)}
}

// CreateUser is a person who belongs to no account yet.
type CreateUser struct {
	Email string
	Name  string
}

// CreateUser adds a user. ErrInvalid, ErrEmailTaken.
func (a *Accounts) CreateUser(ctx context.Context, db bun.IDB, c CreateUser) (User, error) {
	var (
		key string
		err error
	)
	if c.Name, err = ParseName(c.Name); err != nil {
		return User{}, err
	}
	if c.Email, key, err = ParseEmail(c.Email); err != nil {
		return User{}, err
	}
	return insertUser(ctx, db, c, key, a.now())
}

func insertUser(ctx context.Context, db bun.IDB, c CreateUser, emailKey string, now time.Time) (User, error) {
	row := userRow{ID: UserID(id.New("usr")), Email: c.Email, EmailKey: emailKey, Name: c.Name, CreatedAt: now, UpdatedAt: now}
	res, err := db.NewInsert().Model(&row).On("CONFLICT (email_key) DO NOTHING").Exec(ctx)
	if err != nil {
		return User{}, err
	}
	if n, err := res.RowsAffected(); err != nil {
		return User{}, err
	} else if n == 0 {
		return User{}, ErrEmailTaken
	}
	return row.user(), nil
}

// User reads a user. ErrNoUser: there is none.
func (a *Accounts) User(ctx context.Context, db bun.IDB, id UserID) (User, error) {
	if !id.known() {
		return User{}, ErrNoUser
	}
	return findUser(ctx, db, "user_id = ?", string(id))
}

// UserByEmail finds a user by address, whatever its letter case. ErrNoUser: there
// is none, which also answers what is no address.
func (a *Accounts) UserByEmail(ctx context.Context, db bun.IDB, email string) (User, error) {
	_, key, err := ParseEmail(email)
	if err != nil {
		return User{}, ErrNoUser
	}
	return findUser(ctx, db, "email_key = ?", key)
}

func findUser(ctx context.Context, db bun.IDB, where, arg string) (User, error) {
	var row userRow
	err := db.NewSelect().Model(&row).Where(where, arg).Scan(ctx) // sqltext: the callers' constants
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, ErrNoUser
	}
	return row.user(), err
}
