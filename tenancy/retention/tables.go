package retention

import (
	"encoding/json"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// Tables are those of package tenancy and of the packages below it, for
// owned.Config.Tables: first, since they are the parents of all others.
//
// The account's row, its audit log and the seals over that stay after an erasure. So
// do its persons under their ids, which the audit log and the ledger name, and
// without their names and addresses. What else there is goes: members, roles,
// offers, invitations, and the events of the outbox, those too that nobody has
// delivered yet.
func Tables() []owned.Table {
	tables := []owned.Table{
		{Model: (*accountTable)(nil), Keep: true, Personal: []string{"name"}},
		{Model: (*userTable)(nil), User: "user_id", Keep: true, Personal: []string{"email", "email_key", "email_verified_at", "name"}},
		{Model: (*memberTable)(nil)},
		{Model: (*memberRoleTable)(nil)},
		{Model: (*objectRoleTable)(nil)},
		{Model: (*ownershipOfferTable)(nil)},
		{Model: (*invitationTable)(nil)},
		{Model: (*eventTable)(nil)},
		{Model: (*deliveryTable)(nil)},
		{Model: (*auditTable)(nil), Keep: true},
		{Model: (*sealTable)(nil), Keep: true},
	}
	for i := range tables {
		tables[i].SelfGuarded = true
	}
	return tables
}

// ownLookups are the tables of package tenancy that are erased and not exported.
func ownLookups() []owned.Lookup {
	return []owned.Lookup{
		{Name: "tenancy_invitation_tokens"},
		// No lookup, but the operator's own record about the account, which must not
		// learn of it. Those that are left when the account is erased are lifted.
		{Name: "tenancy_legal_holds"},
	}
}

// exempt are the library's tables that name accounts and outlast them.
var exempt = []string{"tenancy_tombstones"}

// outbox are the tables of the facts: the one that an erasure leaves is delivered.
var outbox = map[string]bool{"tenancy_events": true, "tenancy_deliveries": true}

// The models of tenancy's tables, as far as their rows have to be found and read:
// their keys, and which columns hold JSON where the database does not say so.
type (
	accountTable struct {
		bun.BaseModel `bun:"table:tenancy_accounts"`

		Account tenancy.AccountID `bun:"account_id,pk"`
		Limits  json.RawMessage   `bun:"limits"`
		Flags   json.RawMessage   `bun:"flags"`
	}
	userTable struct {
		bun.BaseModel `bun:"table:tenancy_users"`

		User tenancy.UserID `bun:"user_id,pk"`
	}
	memberTable struct {
		bun.BaseModel `bun:"table:tenancy_members"`

		Account tenancy.AccountID `bun:"account_id,pk"`
		User    tenancy.UserID    `bun:"user_id,pk"`
	}
	memberRoleTable struct {
		bun.BaseModel `bun:"table:tenancy_member_roles"`

		Account tenancy.AccountID `bun:"account_id,pk"`
		User    tenancy.UserID    `bun:"user_id,pk"`
		Role    string            `bun:"role,pk"`
	}
	objectRoleTable struct {
		bun.BaseModel `bun:"table:tenancy_object_roles"`

		Account tenancy.AccountID `bun:"account_id,pk"`
		User    tenancy.UserID    `bun:"user_id,pk"`
		Kind    string            `bun:"object_kind,pk"`
		Object  string            `bun:"object_id,pk"`
		Role    string            `bun:"role,pk"`
	}
	ownershipOfferTable struct {
		bun.BaseModel `bun:"table:tenancy_ownership_offers"`

		Account tenancy.AccountID `bun:"account_id,pk"`
	}
	invitationTable struct {
		bun.BaseModel `bun:"table:tenancy_invitations"`

		Account tenancy.AccountID `bun:"account_id,pk"`
		ID      string            `bun:"invitation_id,pk"`
		Roles   json.RawMessage   `bun:"roles"`
		Objects json.RawMessage   `bun:"objects"`
	}
	eventTable struct {
		bun.BaseModel `bun:"table:tenancy_events"`

		Account tenancy.AccountID `bun:"account_id,pk"`
		ID      string            `bun:"event_id,pk"`
		Data    json.RawMessage   `bun:"data"`
	}
	deliveryTable struct {
		bun.BaseModel `bun:"table:tenancy_deliveries"`

		Account tenancy.AccountID `bun:"account_id,pk"`
		Event   string            `bun:"event_id,pk"`
	}
	auditTable struct {
		bun.BaseModel `bun:"table:tenancy_audit"`

		Account tenancy.AccountID `bun:"account_id,pk"`
		ID      string            `bun:"audit_id,pk"`
		Data    json.RawMessage   `bun:"data"`
	}
	sealTable struct {
		bun.BaseModel `bun:"table:tenancy_audit_seals"`

		Account tenancy.AccountID `bun:"account_id,pk"`
		Number  int64             `bun:"number,pk"`
	}
)
