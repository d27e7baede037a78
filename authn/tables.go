package authn

import (
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// Tables are this package's, for owned.Config.Tables: exported with the account,
// hashes left out, and erased with it. A password goes with its person.
func Tables() []owned.Table {
	tables := []owned.Table{
		{Model: (*accountTable)(nil)},
		{Model: (*keyRow)(nil)},
		{Model: (*secretRow)(nil), Secret: []string{"hash"}},
		{Model: (*useRow)(nil)},
		{Model: (*passwordRow)(nil), User: "user_id", Secret: []string{"hash"}},
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
