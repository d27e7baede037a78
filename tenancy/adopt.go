package tenancy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/internal/tx"
)

// Adopt is what a running system brings along, under ids of its own. Package
// adoption makes it from the system's rows.
type Adopt struct {
	// Accounts are written as they are; UpdatedAt is the time of the adoption.
	Accounts []Account
	Users    []User
	// Members are those of Accounts. The owner of each is one of them, with RoleOwner.
	// Roles on objects come later, by SetObjectRoles: a member with some is refused.
	Members []Member
	Actor   Actor
	Reason  string
}

// ErrAdoptTaken says that an id or an e-mail address that is to be adopted is in
// use. What was written before that was found goes with the transaction: roll back.
var ErrAdoptTaken = errors.New("an id or an e-mail address that is to be adopted is in use: roll back, and adopt what is still missing")

// adoptRows is how many rows go into one statement.
const adoptRows = 500

// Adopt writes accounts, users and members that another system had, in one
// transaction. Unlike Register it runs no hooks, seeds nothing and publishes no
// event: a receiver would greet customers of years. It appends a line
// "tenancy.adopt" to each account's audit log. A member may be over the plan's limit
// of users; the next one is refused.
//
// ErrInvalid, before anything is written: an id, a name, an address, a zone, a status
// or a role cannot be, or an account's owner is not the one member of it with
// RoleOwner. ErrAdoptTaken: something of it is there already. That the plans exist
// is the caller's to check: Check refuses an account without.
func (a *Accounts) Adopt(ctx context.Context, db bun.IDB, what Adopt) error {
	now := a.now()
	accounts, users, err := what.rows(now)
	if err != nil {
		return err
	}
	members, held, err := a.memberRows(what, now)
	if err != nil {
		return err
	}
	var lines []auditRow
	for _, r := range accounts {
		line := Audit{Account: r.ID, At: now, Actor: what.Actor, Action: "tenancy.adopt", Target: string(r.Owner), Reason: what.Reason}
		if err := line.Validate(); err != nil {
			return err
		}
		lines = append(lines, auditRow{
			Account: r.ID, ID: id.New("aud"), At: now, ActorKind: what.Actor.Kind, ActorID: what.Actor.ID,
			Action: line.Action, Target: line.Target, Reason: line.Reason, Data: "{}",
		})
	}
	return tx.Join(ctx, db, func(db bun.IDB) error {
		if err := insertAll(ctx, db, users); err != nil {
			return err
		}
		if err := insertAll(ctx, db, accounts); err != nil {
			return err
		}
		if err := insertAll(ctx, db, members); err != nil {
			return err
		}
		if err := insertAll(ctx, db, held); err != nil {
			return err
		}
		return insertAll(ctx, db, lines)
	})
}

func (w Adopt) rows(now time.Time) (accounts []accountRow, users []userRow, err error) {
	for _, u := range w.Users {
		row := userRow{ID: u.ID, CreatedAt: micro(u.CreatedAt), UpdatedAt: now, VerifiedAt: micro(u.VerifiedAt)}
		if !u.ID.known() {
			return nil, nil, fmt.Errorf("%w: %q is no user's id", ErrInvalid, u.ID)
		}
		if row.Name, err = ParseName(u.Name); err != nil {
			return nil, nil, err
		}
		if row.Email, row.EmailKey, err = ParseEmail(u.Email); err != nil {
			return nil, nil, err
		}
		users = append(users, row)
	}
	for _, acc := range w.Accounts {
		row := newAccountRow(acc)
		row.ClosedFrom, row.ClosedAt, row.PurgeAt = "", time.Time{}, time.Time{}
		row.TrialEndsAt, row.GraceEndsAt, row.PaidUntil = micro(acc.TrialEndsAt), micro(acc.GraceEndsAt), micro(acc.PaidUntil)
		row.CreatedAt, row.UpdatedAt = micro(acc.CreatedAt), now
		from := acc.SuspendedFrom
		switch {
		case !acc.ID.known() || !acc.Owner.known():
			return nil, nil, fmt.Errorf("%w: %q is no account's id or %q no user's", ErrInvalid, acc.ID, acc.Owner)
		case !slugForm.MatchString(acc.Plan):
			return nil, nil, fmt.Errorf("%w: %q is no plan's slug", ErrInvalid, acc.Plan)
		case acc.Status != StatusSuspended && !CanMove(acc.Status, StatusSuspended):
			return nil, nil, fmt.Errorf("%w: an account cannot be adopted as %q", ErrInvalid, acc.Status)
		case from != "" && (acc.Status != StatusSuspended || !CanMove(from, StatusSuspended)):
			return nil, nil, fmt.Errorf("%w: an account that is %q cannot be suspended from %q", ErrInvalid, acc.Status, from)
		}
		if row.Name, err = ParseName(acc.Name); err != nil {
			return nil, nil, err
		}
		if row.Zone, err = ParseZone(acc.Zone); err != nil {
			return nil, nil, err
		}
		accounts = append(accounts, row)
	}
	return accounts, users, nil
}

func (a *Accounts) memberRows(w Adopt, now time.Time) (members []memberRow, held []memberRoleRow, err error) {
	owners := make(map[AccountID]UserID, len(w.Accounts))
	for _, acc := range w.Accounts {
		owners[acc.ID] = acc.Owner
	}
	owned := 0
	for _, m := range w.Members {
		owner, adopted := owners[m.Account]
		owns := slices.Contains(m.Roles, RoleOwner)
		switch {
		case len(m.Objects) > 0:
			return nil, nil, fmt.Errorf("%w: roles on objects are not adopted: give them afterwards", ErrInvalid)
		case !m.User.known() || len(m.Roles) == 0 || slices.ContainsFunc(m.Roles, func(r Role) bool { return !a.HasRole(r) }):
			return nil, nil, fmt.Errorf("%w: a member is a user with roles", ErrInvalid)
		case !adopted || owns != (owner == m.User):
			return nil, nil, fmt.Errorf("%w: members are those of the accounts, and each account's owner is one with the role owner", ErrInvalid)
		}
		if owns {
			owned++
		}
		members = append(members, memberRow{Account: m.Account, User: m.User, CreatedAt: micro(cmp.Or(m.CreatedAt, now))})
		for _, r := range m.Roles {
			held = append(held, memberRoleRow{Account: m.Account, User: m.User, Role: r})
		}
	}
	if owned != len(w.Accounts) || owned != len(owners) {
		return nil, nil, fmt.Errorf("%w: each account is given once, with its owner among the members", ErrInvalid)
	}
	return members, held, nil
}

// HasRole reports whether r is a role: one of this package's or of Config.Roles.
func (a *Accounts) HasRole(r Role) bool { return a.policy.sets[r] != nil }

func micro(t time.Time) time.Time { return utc(t.Truncate(time.Microsecond)) }

// insertAll fails with ErrAdoptTaken where a row is there already.
func insertAll[R any](ctx context.Context, db bun.IDB, rows []R) error {
	for page := range slices.Chunk(rows, adoptRows) {
		want := len(page) // bun cuts page down to the rows that the database returns
		res, err := db.NewInsert().Model(&page).On("CONFLICT DO NOTHING").Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n != int64(want) {
			return ErrAdoptTaken
		}
	}
	return nil
}
