package invitations

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// ID names an invitation ("inv_…"). It is no secret.
type ID string

// Invitation is an invitation as it may be shown to whoever manages the members of
// its account.
type Invitation struct {
	Account tenancy.AccountID `json:"account"`
	ID      ID                `json:"id"`
	// Email is the address invited, as it was typed.
	Email string         `json:"email"`
	Roles []tenancy.Role `json:"roles"`
	// Objects are roles on single objects of the account.
	Objects []tenancy.ObjectRole `json:"objects"`
	// Inviter is who sent it last, and answers for the roles.
	Inviter   tenancy.Actor `json:"inviter"`
	CreatedAt time.Time     `json:"created_at"`
	// ExpiresAt is the instant from which it cannot be accepted any more.
	ExpiresAt  time.Time      `json:"expires_at"`
	AcceptedAt time.Time      `json:"accepted_at,omitzero"`
	AcceptedBy tenancy.UserID `json:"accepted_by,omitzero"`
	// RevokedAt is when it was taken back, or, once its time was over, replaced.
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// Open reports whether the invitation can be accepted at the given instant.
func (i Invitation) Open(at time.Time) bool {
	return i.AcceptedAt.IsZero() && i.RevokedAt.IsZero() && at.Before(i.ExpiresAt)
}

type invitationRow struct {
	bun.BaseModel `bun:"table:tenancy_invitations,alias:i"`

	Account     tenancy.AccountID `bun:"account_id,pk"`
	ID          ID                `bun:"invitation_id,pk"`
	Email       string            `bun:"email"`
	EmailKey    string            `bun:"email_key"`
	Roles       string            `bun:"roles"`
	Objects     string            `bun:"objects"`
	InviterKind tenancy.ActorKind `bun:"inviter_kind"`
	InviterID   string            `bun:"inviter_id"`
	CreatedAt   time.Time         `bun:"created_at"`
	ExpiresAt   time.Time         `bun:"expires_at"`
	AcceptedAt  time.Time         `bun:"accepted_at,nullzero"`
	AcceptedBy  tenancy.UserID    `bun:"accepted_by,nullzero"`
	RevokedAt   time.Time         `bun:"revoked_at,nullzero"`
}

type tokenRow struct {
	bun.BaseModel `bun:"table:tenancy_invitation_tokens,alias:t"`

	Hash       string            `bun:"token_hash,pk"`
	Account    tenancy.AccountID `bun:"account_id"`
	Invitation ID                `bun:"invitation_id"`
}

func (r invitationRow) invitation() (Invitation, error) {
	i := Invitation{
		Account: r.Account, ID: r.ID, Email: r.Email, Inviter: tenancy.Actor{Kind: r.InviterKind, ID: r.InviterID},
		CreatedAt: r.CreatedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(), AcceptedAt: utc(r.AcceptedAt), AcceptedBy: r.AcceptedBy, RevokedAt: utc(r.RevokedAt),
	}
	return i, errors.Join(json.Unmarshal([]byte(r.Roles), &i.Roles), json.Unmarshal([]byte(r.Objects), &i.Objects))
}

// utc keeps the zero time zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

// possible reports that both ids may name something: an odd byte in either would end
// a host's transaction on PostgreSQL.
func possible(account tenancy.AccountID, id ID) bool {
	_, err := tenancy.ParseAccountID(string(account))
	_, bad := tenancy.ParseAccountID(string(id))
	return err == nil && bad == nil
}

// find reads one of the account's invitations.
func find(ctx context.Context, db bun.IDB, account tenancy.AccountID, id ID) (row invitationRow, i Invitation, err error) {
	err = db.NewSelect().Model(&row).Where("account_id = ? AND invitation_id = ?", account, id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, i, ErrNoInvitation
	}
	if err != nil {
		return row, i, err
	}
	i, err = row.invitation()
	return row, i, err
}

// List asks for a page of an account's open invitations, newest first.
type List struct {
	Account tenancy.AccountID
	// All adds those that are accepted, revoked or expired, until Purge.
	All bool
	// Before continues a page: the ID of its last invitation.
	Before ID
	// Limit is 1 to 500. Default: 50.
	Limit int
}

// List reads a page of an account's invitations. Who may see the addresses is for
// the caller to decide; Handler asks for the right to manage members. An account or
// a Before that cannot be an id gives an empty page.
func (n *Invitations) List(ctx context.Context, db bun.IDB, page List) ([]Invitation, error) {
	list, _, err := n.list(ctx, db, page)
	return list, err
}

// list is List, and the Before of the following page, "" if this is the last.
func (n *Invitations) list(ctx context.Context, db bun.IDB, page List) (list []Invitation, next ID, err error) {
	limit := 50
	if page.Limit > 0 {
		limit = min(page.Limit, 500)
	}
	if before := page.Before; !possible(page.Account, "inv") || before != "" && !possible(page.Account, before) {
		return []Invitation{}, "", nil // no name of anything: not for the database
	}
	var rows []invitationRow
	q := db.NewSelect().Model(&rows).Where("account_id = ?", page.Account).OrderExpr("invitation_id DESC").Limit(int64(limit) + 1)
	if !page.All {
		q = q.Where("accepted_at IS NULL AND revoked_at IS NULL AND expires_at > ?", n.now())
	}
	if page.Before != "" {
		q = q.Where("invitation_id < ?", page.Before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, "", err
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = rows[limit-1].ID
	}
	list = make([]Invitation, len(rows))
	for i, r := range rows {
		if list[i], err = r.invitation(); err != nil {
			return nil, "", err
		}
	}
	return list, next, nil
}
