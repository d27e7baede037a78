package tenancy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
)

// Object is one thing of the host's inside an account on which a member may hold
// roles: a site, a project. Which account it belongs to is for the host to check,
// who answers 404 for another account's: here it is only a name.
type Object struct {
	// Kind is 1 to 64 of A-Z a-z 0-9 _ . : -: "site".
	Kind string `json:"kind"`
	// ID is what the host's own column holds, as text: 1 to 128 bytes.
	ID string `json:"id"`
}

// ObjectRole is a role on one object instead of on the whole account.
type ObjectRole struct {
	Object
	Role Role `json:"role"`
}

const (
	maxObjectID    = 128
	maxObjectRoles = 1000 // that one call gives
)

func (o Object) validate() error {
	if !AccountID(o.Kind).known() {
		return fmt.Errorf("%w: an object's kind is made of 1 to 64 of A-Z a-z 0-9 _ . : -", ErrInvalid)
	}
	if o.ID == "" {
		return fmt.Errorf("%w: an object has an id", ErrInvalid)
	}
	return CheckText("object's id", o.ID, maxObjectID)
}

func (o Object) target() string { return o.Kind + ":" + o.ID }

type objectRoleRow struct {
	bun.BaseModel `bun:"table:tenancy_object_roles,alias:obr"`

	Account   AccountID `bun:"account_id,pk"`
	User      UserID    `bun:"user_id,pk"`
	Kind      string    `bun:"object_kind,pk"`
	ID        string    `bun:"object_id,pk"`
	Role      Role      `bun:"role,pk"`
	CreatedAt time.Time `bun:"created_at"`
}

// grantedOn checks roles on objects as granted does roles on the account.
func (p *policy) grantedOn(given []ObjectRole) ([]ObjectRole, error) {
	if len(given) > maxObjectRoles {
		return nil, fmt.Errorf("%w: more than %d roles on objects at once", ErrInvalid, maxObjectRoles)
	}
	held := slices.Clone(given)
	sortObjectRoles(held)
	for i, o := range held {
		if err := o.validate(); err != nil {
			return nil, err
		}
		if _, err := p.granted([]Role{o.Role}); err != nil {
			return nil, err
		}
		if i > 0 && held[i-1] == o {
			return nil, fmt.Errorf("%w: a role on an object is named twice", ErrInvalid)
		}
	}
	return held, nil
}

func sortObjectRoles(held []ObjectRole) {
	slices.SortFunc(held, func(a, b ObjectRole) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Role, b.Role))
	})
}

// ForgetObject takes every role on an object away.
type ForgetObject struct {
	Account AccountID
	Object  Object
	Actor   Actor
	Reason  string
}

// ForgetObject takes away every role that somebody holds on an object, so that a
// later object of the same id is nobody's. The host calls it in the transaction in
// which it deletes the object, before it touches other rows (see Lock), and has
// checked that the actor may delete: no right is asked for here. It works whatever
// the account's status, and writes nothing where nobody holds a role. Invitations that
// are not used yet lose their roles on it too; one to nothing else is revoked.
//
// It returns ErrInvalid when the actor is missing or the object cannot be one, and
// ErrNoAccount.
func (a *Accounts) ForgetObject(ctx context.Context, db bun.IDB, f ForgetObject) error {
	line := Audit{Account: f.Account, Actor: f.Actor, Action: "tenancy.forget_object", Target: f.Object.target(), Reason: f.Reason}
	if err := cmp.Or(f.Object.validate(), line.Validate()); err != nil {
		return err
	}
	fact := ObjectForgotten{Object: f.Object}
	data, err := json.Marshal(fact)
	if err != nil {
		return err
	}
	line.Data = data
	return tx.Join(ctx, db, func(db bun.IDB) error {
		if _, err := lockAccount(ctx, db, f.Account); err != nil {
			return err
		}
		res, err := db.NewDelete().Model((*objectRoleRow)(nil)).
			Where("account_id = ? AND object_kind = ? AND object_id = ?", f.Account, f.Object.Kind, f.Object.ID).Exec(ctx)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		line.At = a.now()
		invited, err := disinvite(ctx, db, f.Account, f.Object, line.At)
		if err != nil || n == 0 && !invited {
			return err
		}
		if err := a.Changed(ctx, db, f.Account.Subject()); err != nil {
			return err
		}
		return Note(ctx, db, line, fact)
	})
}

// disinvite takes an object out of the account's invitations that nobody has used, and
// reports whether it was in one. The account is locked.
func disinvite(ctx context.Context, db bun.IDB, account AccountID, o Object, at time.Time) (found bool, err error) {
	var open []struct{ InvitationID, Roles, Objects string }
	err = db.NewRaw(`SELECT invitation_id, roles, objects FROM tenancy_invitations
		WHERE account_id = ? AND accepted_at IS NULL AND revoked_at IS NULL`, account).Scan(ctx, &open)
	if err != nil {
		return false, err
	}
	for _, i := range open {
		var (
			roles    []Role
			old, now []ObjectRole
		)
		if err := errors.Join(json.Unmarshal([]byte(i.Roles), &roles), json.Unmarshal([]byte(i.Objects), &old)); err != nil {
			return false, fmt.Errorf("invitation %s of account %s: %w", i.InvitationID, account, err)
		}
		now = slices.DeleteFunc(slices.Clone(old), func(r ObjectRole) bool { return r.Object == o })
		if len(now) == len(old) {
			continue
		}
		found = true
		query, value := "UPDATE tenancy_invitations SET revoked_at = ? WHERE account_id = ? AND invitation_id = ?", any(at)
		if len(roles)+len(now) > 0 {
			objects, err := json.Marshal(now)
			if err != nil {
				return false, err
			}
			query, value = "UPDATE tenancy_invitations SET objects = ? WHERE account_id = ? AND invitation_id = ?", string(objects)
		}
		if _, err := db.NewRaw(query, value, account, i.InvitationID).Exec(ctx); err != nil { // sqltext: one of the two above
			return false, err
		}
	}
	return found, nil
}
