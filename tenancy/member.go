package tenancy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
)

// Role is what a member of an account is there for. A member may hold several.
type Role string

// The roles. An account has exactly one owner: Account.Owner.
const (
	RoleOwner     Role = "owner"
	RoleAdmin     Role = "admin"
	RoleEditor    Role = "editor"
	RoleViewer    Role = "viewer"
	RoleDeveloper Role = "developer"
)

var roles = []Role{RoleOwner, RoleAdmin, RoleEditor, RoleViewer, RoleDeveloper}

// LimitUsers is the name of the plan limit that bounds an account's members.
const LimitUsers = "users"

// Member is a user's place in an account.
type Member struct {
	Account   AccountID
	User      UserID
	Roles     []Role // in order of the constants
	CreatedAt time.Time
}

type memberRow struct {
	bun.BaseModel `bun:"table:tenancy_members,alias:m"`

	Account   AccountID `bun:"account_id,pk"`
	User      UserID    `bun:"user_id,pk"`
	CreatedAt time.Time `bun:"created_at"`
}

type memberRoleRow struct {
	bun.BaseModel `bun:"table:tenancy_member_roles,alias:mr"`

	Account AccountID `bun:"account_id,pk"`
	User    UserID    `bun:"user_id,pk"`
	Role    Role      `bun:"role,pk"`
}

func insertMember(ctx context.Context, db bun.IDB, account AccountID, user UserID, roles []Role, now time.Time) error {
	res, err := db.NewInsert().Model(&memberRow{Account: account, User: user, CreatedAt: now}).
		On("CONFLICT (account_id, user_id) DO NOTHING").Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return ErrMemberThere
	}
	rows := make([]memberRoleRow, len(roles))
	for i, r := range roles {
		rows[i] = memberRoleRow{Account: account, User: user, Role: r}
	}
	_, err = db.NewInsert().Model(&rows).Exec(ctx)
	return err
}

// AddMember makes a user a member of an account.
type AddMember struct {
	Account AccountID
	User    UserID
	// Roles are one or more, RoleOwner excepted.
	Roles  []Role
	Actor  Actor
	Reason string
}

// AddMember adds a member. It returns ErrInvalid for no or unknown roles, for
// RoleOwner and when the actor is missing, ErrNoAccount, ErrNoUser, ErrMemberThere,
// ErrNoPlan for an account whose plan is missing, and ErrLimit when the plan's limit
// of users is reached: two at once at the last seat add one.
func (a *Accounts) AddMember(ctx context.Context, db bun.IDB, m AddMember) (Member, error) {
	held := slices.DeleteFunc(slices.Clone(roles), func(r Role) bool { return !slices.Contains(m.Roles, r) })
	if len(held) == 0 || len(held) != len(m.Roles) || slices.Contains(held, RoleOwner) {
		return Member{}, fmt.Errorf("%w: a member's roles are one or more of %v, each once", ErrInvalid, roles[1:])
	}
	line := Audit{Account: m.Account, Actor: m.Actor, Action: "tenancy.add_member", Target: string(m.User), Reason: m.Reason}
	if err := line.Validate(); err != nil {
		return Member{}, err
	}
	out := Member{Account: m.Account, User: m.User, Roles: held}
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		out.CreatedAt = a.now()
		row, err := lockAccount(ctx, db, m.Account)
		if err != nil {
			return err
		}
		if _, err := a.User(ctx, db, m.User); err != nil {
			return err
		}
		if _, err := a.AccountOf(ctx, db, m.User, m.Account); err == nil {
			return ErrMemberThere
		} else if !errors.Is(err, ErrNoAccount) {
			return err
		}
		if err := a.seat(ctx, db, row); err != nil {
			return err
		}
		if err := insertMember(ctx, db, m.Account, m.User, held, out.CreatedAt); err != nil {
			return err
		}
		line.At = out.CreatedAt
		return Note(ctx, db, line, MemberAdded{User: m.User, Roles: held})
	})
	if err != nil {
		return Member{}, err
	}
	return out, nil
}

// seat refuses one more member than the plan allows. The account is locked.
func (a *Accounts) seat(ctx context.Context, db bun.IDB, row accountRow) error {
	return room(ctx, db, row.ID, LimitUsers, 1, func(ctx context.Context, db bun.IDB) (int64, error) {
		return db.NewSelect().Model((*memberRow)(nil)).Where("account_id = ?", row.ID).Count(ctx)
	})
}

// RemoveMember ends a membership.
type RemoveMember struct {
	Account AccountID
	User    UserID
	Actor   Actor
	Reason  string
}

// RemoveMember removes a member. It returns ErrInvalid when the actor is missing,
// ErrNoAccount, ErrNoUser for one who is no member, and ErrLastOwner for the owner.
func (a *Accounts) RemoveMember(ctx context.Context, db bun.IDB, m RemoveMember) error {
	line := Audit{Account: m.Account, Actor: m.Actor, Action: "tenancy.remove_member", Target: string(m.User), Reason: m.Reason}
	if err := line.Validate(); err != nil {
		return err
	}
	if !m.User.known() {
		return ErrNoUser
	}
	return tx.Join(ctx, db, func(db bun.IDB) error {
		row, err := lockAccount(ctx, db, m.Account)
		if err != nil {
			return err
		}
		if row.Owner == m.User {
			return ErrLastOwner
		}
		const where = "account_id = ? AND user_id = ?"
		if _, err := db.NewDelete().Model((*memberRoleRow)(nil)).Where(where, m.Account, m.User).Exec(ctx); err != nil {
			return err
		}
		res, err := db.NewDelete().Model((*memberRow)(nil)).Where(where, m.Account, m.User).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return ErrNoUser
		}
		line.At = a.now()
		return Note(ctx, db, line, MemberRemoved{User: m.User})
	})
}

// Members lists an account's members in the order of their joining.
func (a *Accounts) Members(ctx context.Context, db bun.IDB, account AccountID) ([]Member, error) {
	var (
		rows []memberRow
		held []memberRoleRow
	)
	if !account.known() {
		return []Member{}, nil
	}
	if err := db.NewSelect().Model(&rows).Where("account_id = ?", account).OrderExpr("created_at, user_id").Scan(ctx); err != nil {
		return nil, err
	}
	if err := db.NewSelect().Model(&held).Where("account_id = ?", account).Scan(ctx); err != nil {
		return nil, err
	}
	members := make([]Member, len(rows))
	for i, r := range rows {
		members[i] = Member{Account: r.Account, User: r.User, CreatedAt: r.CreatedAt.UTC()}
		for _, role := range roles {
			if slices.ContainsFunc(held, func(h memberRoleRow) bool { return h.User == r.User && h.Role == role }) {
				members[i].Roles = append(members[i].Roles, role)
			}
		}
	}
	return members, nil
}

// AccountOf is the account that a user acts for: the one wanted, or with "" the
// only one the user belongs to. It returns ErrNoAccount when the user does not
// belong to the one wanted or to none, and ErrWhichAccount when "" leaves a choice.
func (a *Accounts) AccountOf(ctx context.Context, db bun.IDB, user UserID, wanted AccountID) (AccountID, error) {
	if !user.known() || wanted != "" && !wanted.known() {
		return "", ErrNoAccount
	}
	q := db.NewSelect().Model((*memberRow)(nil)).Column("account_id").Where("user_id = ?", user).Limit(2)
	if wanted != "" {
		q = q.Where("account_id = ?", wanted)
	}
	var ids []AccountID
	if err := q.Scan(ctx, &ids); err != nil {
		return "", err
	}
	switch len(ids) {
	case 0:
		return "", ErrNoAccount
	case 1:
		return ids[0], nil
	default:
		return "", ErrWhichAccount
	}
}
