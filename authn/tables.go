package authn

import (
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// Tables are this package's, for owned.Config.Tables: exported with the account,
// hashes left out, and erased with it. What is a person's goes with the person: a
// password, sessions, the tokens of package emails.
func Tables() []owned.Table {
	tables := []owned.Table{
		{Model: (*accountTable)(nil)},
		{Model: (*keyRow)(nil)},
		{Model: (*secretRow)(nil), Secret: []string{"hash"}},
		{Model: (*useRow)(nil)},
		{Model: (*passwordRow)(nil), User: "user_id", Secret: []string{"hash"}},
		{Model: (*emailTokenTable)(nil), User: "user_id", Secret: []string{"token_hash"}},
		// An export is an account's, and a person may be in others too: where it was, and
		// for which of them, is not this one's to know.
		{Model: (*sessionTable)(nil), User: "user_id", Secret: []string{"token_hash", "account_id", "addr", "user_agent"}},
	}
	for i := range tables {
		tables[i].SelfGuarded = true
	}
	return tables
}

// Lookups are the tables of this package that find an account from outside, for
// retention.Config.Lookups: they go with the account.
func Lookups() []owned.Lookup {
	return []owned.Lookup{{Name: "authn_key_ids"}, {Name: "authn_imported_keys"}}
}

type useRow struct {
	bun.BaseModel `bun:"table:authn_key_uses"`

	Account tenancy.AccountID `bun:"account_id,pk"`
	Key     KeyID             `bun:"key_id,pk"`
	Secret  string            `bun:"secret_id,pk"`
	At      time.Time         `bun:"last_used_at"`
}

type accountTable struct {
	bun.BaseModel `bun:"table:authn_accounts"`

	Account tenancy.AccountID `bun:"account_id,pk"`
}

type emailTokenTable struct {
	bun.BaseModel `bun:"table:authn_email_tokens"`

	User tenancy.UserID `bun:"user_id,pk"`
	Kind string         `bun:"kind,pk"`
}

type sessionTable struct {
	bun.BaseModel `bun:"table:authn_sessions"`

	ID   string         `bun:"session_id,pk"`
	User tenancy.UserID `bun:"user_id"`
}
