package tenancy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
)

// LimitUsers is the name of the plan limit that bounds an account's members.
const LimitUsers = "users"

// Member is a user's place in an account. One without any role, on the account or
// on an object, holds no permission and keeps the place until it is removed: it may
// still enter, as far as a route asks for a Capability alone.
type Member struct {
	Account AccountID `json:"account"`
	User    UserID    `json:"user"`
	// Roles are those on the account: in order of the constants, the host's own behind.
	Roles []Role `json:"roles"`
	// Objects are the roles on single objects, by kind and id.
	Objects   []ObjectRole `json:"objects,omitempty"`
	CreatedAt time.Time    `json:"created_at"`
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

func insertMember(ctx context.Context, db bun.IDB, m Member) error {
	res, err := db.NewInsert().Model(&memberRow{Account: m.Account, User: m.User, CreatedAt: m.CreatedAt}).
		On("CONFLICT (account_id, user_id) DO NOTHING").Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return ErrMemberThere
	}
	if err := insertRoles(ctx, db, m.Account, m.User, m.Roles); err != nil {
		return err
	}
	return insertObjectRoles(ctx, db, m.Account, m.User, m.Objects, m.CreatedAt)
}

// AddMember makes a user a member of an account.
type AddMember struct {
	Account AccountID
	User    UserID
	// Roles are those on the account, RoleOwner excepted. There may be none when
	// Objects has one.
	Roles []Role
	// Objects are roles on single objects of the account: at most 1000.
	Objects []ObjectRole
	Actor   Actor
	Reason  string
}

// AddMember adds a member. A user who does it needs members.manage and gives no
// more than it holds (see MayGrant), in an account that may write; an operator and
// the system may also do it while the account is suspended or waits for money.
//
// It returns ErrInvalid for no or unknown roles, for RoleOwner and when the actor is
// missing, ErrForbidden, ErrNoAccount (also for one that is closed), ErrNoUser,
// ErrMemberThere, the other refusals of Check, ErrNoPlan for an account whose plan
// is missing, and ErrLimit when the plan's limit of users is reached: two at once at
// the last seat add one.
func (a *Accounts) AddMember(ctx context.Context, db bun.IDB, m AddMember) (Member, error) {
	out := Member{Account: m.Account, User: m.User}
	var err error
	if out.Roles, err = a.policy.granted(m.Roles); err != nil {
		return Member{}, err
	}
	if out.Objects, err = a.policy.grantedOn(m.Objects); err != nil {
		return Member{}, err
	}
	if len(out.Roles)+len(out.Objects) == 0 {
		return Member{}, fmt.Errorf("%w: a member has one or more roles of %v", ErrInvalid, a.policy.grantable)
	}
	line := Audit{Account: m.Account, Actor: m.Actor, Action: "tenancy.add_member", Target: string(m.User), Reason: m.Reason}
	if err := line.Validate(); err != nil {
		return Member{}, err
	}
	fact := MemberAdded{User: m.User, Roles: none(out.Roles), Objects: out.Objects}
	if line.Data, err = json.Marshal(fact); err != nil {
		return Member{}, err
	}
	err = tx.Join(ctx, db, func(db bun.IDB) error {
		out.CreatedAt = a.now()
		row, err := lockAccount(ctx, db, m.Account)
		if err != nil {
			return err
		}
		if err := a.takesMembers(ctx, db, m); err != nil {
			return err
		}
		if _, err := a.User(ctx, db, m.User); err != nil {
			return err
		}
		if _, err := a.Member(ctx, db, m.Account, m.User); err == nil {
			return ErrMemberThere
		} else if !errors.Is(err, ErrNoUser) {
			return err
		}
		if err := a.seat(ctx, db, row); err != nil {
			return err
		}
		if err := insertMember(ctx, db, out); err != nil {
			return err
		}
		line.At = out.CreatedAt
		return Note(ctx, db, line, fact)
	})
	if err != nil {
		return Member{}, err
	}
	return out, nil
}

// takesMembers refuses when the actor may not add such a member or the account may
// take none. The account is locked: whoever lost a right while this waited has lost it.
func (a *Accounts) takesMembers(ctx context.Context, db bun.IDB, m AddMember) error {
	g, err := a.grantor(ctx, db, m.Account, m.Actor, m.Objects)
	if err != nil {
		return err
	}
	need := Write
	if g.all {
		need = SignIn
	}
	state, plan, err := a.Load(ctx, db, m.Account)
	if err != nil {
		return err
	}
	return cmp.Or(Check(state, plan, a.now(), need), g.covers(m.Roles, m.Objects))
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

// RemoveMember removes a member and every role it holds. A user who does it needs
// members.manage and holds everything that the member does; anybody may leave. It
// works while the account waits for money or is suspended. An invitation that is still
// open for the member's address is revoked: it would bring the member back.
//
// It returns ErrInvalid when the actor is missing, ErrForbidden, ErrNoAccount (also
// for one that is closed), ErrNoUser for one who is no member, and ErrLastOwner for
// the owner.
func (a *Accounts) RemoveMember(ctx context.Context, db bun.IDB, m RemoveMember) error {
	line := Audit{Account: m.Account, Actor: m.Actor, Action: "tenancy.remove_member", Target: string(m.User), Reason: m.Reason}
	if err := line.Validate(); err != nil {
		return err
	}
	leaves := m.Actor == Actor{Kind: ActorUser, ID: string(m.User)}
	return tx.Join(ctx, db, func(db bun.IDB) error {
		row, err := a.lockOpen(ctx, db, m.Account)
		if err != nil {
			return err
		}
		member, missing := a.Member(ctx, db, m.Account, m.User)
		if missing != nil && !errors.Is(missing, ErrNoUser) {
			return missing
		}
		g := grantor{all: true}
		if !leaves {
			if g, err = a.grantor(ctx, db, m.Account, m.Actor, member.Objects); err != nil {
				return err
			}
		}
		switch {
		case missing != nil:
			return missing
		case row.Owner == m.User:
			return ErrLastOwner
		}
		if err := g.covers(member.Roles, member.Objects); err != nil {
			return err
		}
		const where = "account_id = ? AND user_id = ?"
		for _, model := range []any{(*offerRow)(nil), (*objectRoleRow)(nil), (*memberRoleRow)(nil), (*memberRow)(nil)} {
			if _, err := db.NewDelete().Model(model).Where(where, m.Account, m.User).Exec(ctx); err != nil {
				return err
			}
		}
		if err := a.Changed(ctx, db, m.Account.Subject()); err != nil {
			return err
		}
		line.At = a.now()
		if err := uninvite(ctx, db, m.Account, m.User, line.At); err != nil {
			return err
		}
		return Note(ctx, db, line, MemberRemoved{User: m.User})
	})
}

// uninvite revokes the invitation to an account that a user has not used. The table is
// of this package, the rest of an invitation's life is package invitations'.
func uninvite(ctx context.Context, db bun.IDB, account AccountID, user UserID, at time.Time) error {
	_, err := db.NewRaw(`UPDATE tenancy_invitations SET revoked_at = ?
		WHERE account_id = ? AND accepted_at IS NULL AND revoked_at IS NULL
		AND email_key = (SELECT email_key FROM tenancy_users WHERE user_id = ?)`, at, account, user).Exec(ctx)
	return err
}

// lockOpen locks an account that is not closed, whatever else its status: who must
// not be in it any more can always be put out.
func (a *Accounts) lockOpen(ctx context.Context, db bun.IDB, account AccountID) (accountRow, error) {
	row, err := lockAccount(ctx, db, account)
	if err != nil {
		return accountRow{}, err
	}
	return row, Check(row.state(), Plan{}, a.now(), SignIn)
}

// Member reads a user's place in an account. ErrNoUser: the user is no member of it.
func (a *Accounts) Member(ctx context.Context, db bun.IDB, account AccountID, user UserID) (Member, error) {
	if !account.known() || !user.known() {
		return Member{}, ErrNoUser
	}
	members, err := readMembers(ctx, db, "account_id = ? AND user_id = ?", account, user)
	if err != nil {
		return Member{}, err
	}
	if len(members) == 0 {
		return Member{}, ErrNoUser
	}
	return members[0], nil
}

// Members lists an account's members in the order of their joining.
func (a *Accounts) Members(ctx context.Context, db bun.IDB, account AccountID) ([]Member, error) {
	if !account.known() {
		return []Member{}, nil
	}
	return readMembers(ctx, db, "account_id = ?", account)
}

// readMembers reads members with their roles, those that Config does not know too:
// they are there, and hold nothing.
func readMembers(ctx context.Context, db bun.IDB, where string, args ...any) ([]Member, error) {
	var (
		rows []memberRow
		held []memberRoleRow
		on   []objectRoleRow
	)
	if err := db.NewSelect().Model(&rows).Where(where, args...).OrderExpr("created_at, account_id, user_id").Scan(ctx); err != nil { // sqltext: the callers' constants
		return nil, err
	}
	if len(rows) == 0 {
		return []Member{}, nil
	}
	if err := db.NewSelect().Model(&held).Where(where, args...).Scan(ctx); err != nil { // sqltext: the callers' constants
		return nil, err
	}
	if err := db.NewSelect().Model(&on).Where(where, args...).Scan(ctx); err != nil { // sqltext: the callers' constants
		return nil, err
	}
	type place struct {
		account AccountID
		user    UserID
	}
	members, at := make([]Member, len(rows)), make(map[place]*Member, len(rows))
	for i, r := range rows {
		members[i] = Member{Account: r.Account, User: r.User, CreatedAt: r.CreatedAt.UTC()}
		at[place{r.Account, r.User}] = &members[i]
	}
	// A role of somebody who joined between the statements has no place yet.
	for _, h := range held {
		if m := at[place{h.Account, h.User}]; m != nil {
			m.Roles = append(m.Roles, h.Role)
		}
	}
	for _, o := range on {
		if m := at[place{o.Account, o.User}]; m != nil {
			m.Objects = append(m.Objects, ObjectRole{Object: Object{Kind: o.Kind, ID: o.ID}, Role: o.Role})
		}
	}
	for i := range members {
		sortRoles(members[i].Roles)
		sortObjectRoles(members[i].Objects)
	}
	return members, nil
}
