package tenancy

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
)

// SetRoles gives a member other roles on the account.
type SetRoles struct {
	Account AccountID
	User    UserID
	// Roles are all that the member has afterwards, RoleOwner excepted. None: only
	// those on objects are left.
	Roles  []Role
	Actor  Actor
	Reason string
}

// SetRoles replaces a member's roles on the account. What changes nothing writes
// nothing. A user who does it needs members.manage and holds everything that the
// old roles and the new ones do: nobody gives, changes or takes away what reaches
// further than its own. It works while the account waits for money or is suspended.
//
// It returns ErrInvalid for unknown roles, for RoleOwner and when the actor is
// missing, ErrForbidden, ErrNoAccount (also for one that is closed), ErrNoUser for
// one who is no member, and ErrLastOwner for the owner.
func (a *Accounts) SetRoles(ctx context.Context, db bun.IDB, s SetRoles) (Member, error) {
	to, err := a.policy.granted(s.Roles)
	if err != nil {
		return Member{}, err
	}
	line := Audit{Account: s.Account, Actor: s.Actor, Action: "tenancy.set_roles", Target: string(s.User), Reason: s.Reason}
	return a.setRoles(ctx, db, line, nil, func(db bun.IDB, g grantor, m *Member) (RolesChanged, error) {
		fact := RolesChanged{User: s.User, From: none(m.Roles), To: none(to)}
		if err := g.covers(append(fact.From, to...), nil); err != nil || slices.Equal(fact.From, to) {
			return fact, err
		}
		m.Roles = to
		if _, err := db.NewDelete().Model((*memberRoleRow)(nil)).Where("account_id = ? AND user_id = ?", s.Account, s.User).Exec(ctx); err != nil {
			return fact, err
		}
		return fact, insertRoles(ctx, db, s.Account, s.User, to)
	})
}

// SetObjectRoles gives a member other roles on one object.
type SetObjectRoles struct {
	Account AccountID
	User    UserID
	Object  Object
	// Roles are all that the member has on the object afterwards, RoleOwner excepted.
	// None takes all of them away.
	Roles  []Role
	Actor  Actor
	Reason string
}

// SetObjectRoles is SetRoles for the roles on one object of the account. The owner
// may hold some too. It returns what SetRoles does but ErrLastOwner, and ErrInvalid
// also for what cannot be an object. That the object is there, and the account's, is
// for the host to check.
func (a *Accounts) SetObjectRoles(ctx context.Context, db bun.IDB, s SetObjectRoles) (Member, error) {
	if err := s.Object.validate(); err != nil {
		return Member{}, err
	}
	to, err := a.policy.granted(s.Roles)
	if err != nil {
		return Member{}, err
	}
	line := Audit{Account: s.Account, Actor: s.Actor, Action: "tenancy.set_object_roles", Target: string(s.User), Reason: s.Reason}
	return a.setRoles(ctx, db, line, &s.Object, func(db bun.IDB, g grantor, m *Member) (RolesChanged, error) {
		fact := RolesChanged{User: s.User, Object: s.Object, From: []Role{}, To: none(to)}
		var others []ObjectRole
		for _, o := range m.Objects {
			if o.Object == s.Object {
				fact.From = append(fact.From, o.Role)
			} else {
				others = append(others, o)
			}
		}
		sortRoles(fact.From)
		if err := g.covers(nil, roleOn(s.Object, fact.From, to)); err != nil || slices.Equal(fact.From, to) {
			return fact, err
		}
		m.Objects = append(others, roleOn(s.Object, to)...)
		sortObjectRoles(m.Objects)
		if _, err := db.NewDelete().Model((*objectRoleRow)(nil)).Where("account_id = ? AND user_id = ? AND object_kind = ? AND object_id = ?",
			s.Account, s.User, s.Object.Kind, s.Object.ID).Exec(ctx); err != nil {
			return fact, err
		}
		return fact, insertObjectRoles(ctx, db, s.Account, s.User, roleOn(s.Object, to), a.now())
	})
}

// setRoles is what both have in common: lock, rights, rows, and then the logs.
func (a *Accounts) setRoles(ctx context.Context, db bun.IDB, line Audit, on *Object,
	replace func(db bun.IDB, g grantor, m *Member) (RolesChanged, error),
) (Member, error) {
	if err := line.Validate(); err != nil {
		return Member{}, err
	}
	var out Member
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		row, err := a.lockOpen(ctx, db, line.Account)
		if err != nil {
			return err
		}
		var objects []ObjectRole
		if on != nil {
			objects = []ObjectRole{{Object: *on}}
		}
		g, err := a.grantor(ctx, db, line.Account, line.Actor, objects)
		if err != nil {
			return err
		}
		if out, err = a.Member(ctx, db, line.Account, UserID(line.Target)); err != nil {
			return err
		}
		if on == nil && row.Owner == out.User {
			return ErrLastOwner
		}
		fact, err := replace(db, g, &out)
		if err != nil || slices.Equal(fact.From, fact.To) {
			return err
		}
		if err := a.Changed(ctx, db, line.Account.Subject()); err != nil {
			return err
		}
		line.At = a.now()
		if line.Data, err = json.Marshal(fact); err != nil {
			return err
		}
		return Note(ctx, db, line, fact)
	})
	if err != nil {
		return Member{}, err
	}
	return out, nil
}

// none makes JSON say [] where there is nothing, in memory of its own.
func none(held []Role) []Role { return append([]Role{}, held...) }

func roleOn(o Object, lists ...[]Role) []ObjectRole {
	var on []ObjectRole
	for _, r := range slices.Concat(lists...) {
		on = append(on, ObjectRole{Object: o, Role: r})
	}
	return on
}

func insertRoles(ctx context.Context, db bun.IDB, account AccountID, user UserID, held []Role) error {
	if len(held) == 0 {
		return nil
	}
	rows := make([]memberRoleRow, len(held))
	for i, r := range held {
		rows[i] = memberRoleRow{Account: account, User: user, Role: r}
	}
	_, err := db.NewInsert().Model(&rows).Exec(ctx)
	return err
}

func insertObjectRoles(ctx context.Context, db bun.IDB, account AccountID, user UserID, held []ObjectRole, at time.Time) error {
	if len(held) == 0 {
		return nil
	}
	rows := make([]objectRoleRow, len(held))
	for i, o := range held {
		rows[i] = objectRoleRow{Account: account, User: user, Kind: o.Kind, ID: o.ID, Role: o.Role, CreatedAt: at}
	}
	_, err := db.NewInsert().Model(&rows).Exec(ctx)
	return err
}
