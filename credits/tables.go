package credits

import (
	"encoding/json"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// Tables are this package's, for owned.Config.Tables: exported with the account, and
// kept when it is erased, but for its allotments. They hold ids and amounts; whoever writes a name into a
// note or a key has it in a ledger that nobody changes. Of package prices they are the
// account's own prices; the general ones belong to no account.
func Tables() []owned.Table {
	tables := []owned.Table{
		{Model: (*accountTable)(nil)},
		{Model: (*grantRow)(nil)},
		{Model: (*entryRow)(nil)},
		{Model: (*splitRow)(nil)},
		{Model: (*keyRow)(nil)},
		{Model: (*holdRow)(nil)},
		{Model: (*priceTable)(nil)},
		{Model: (*budgetRow)(nil)},
		{Model: (*thresholdRow)(nil)},
	}
	for i := range tables {
		tables[i].SelfGuarded, tables[i].Keep = true, true
	}
	// Not kept: nothing is granted to an account that is erased.
	return append(tables, owned.Table{Model: (*allotmentRow)(nil), SelfGuarded: true})
}

type accountTable struct {
	bun.BaseModel `bun:"table:credits_accounts"`

	Account tenancy.AccountID `bun:"account_id,pk"`
	Unit    string            `bun:"unit,pk"`
}

type priceTable struct {
	bun.BaseModel `bun:"table:credits_prices"`

	Account    tenancy.AccountID `bun:"account_id,pk"`
	Operation  string            `bun:"operation,pk"`
	Version    int64             `bun:"version,pk"`
	Components json.RawMessage   `bun:"components"`
}
