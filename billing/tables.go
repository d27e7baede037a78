package billing

import "github.com/quitrent/quitrent/tenancy/owned"

// Tables are this package's, for owned.Config.Tables: exported with the account, and
// kept when it is erased, as books must be. What an operator wrote about a transfer is
// blanked here; the audit log has it too, and keeps it.
func Tables() []owned.Table {
	return []owned.Table{
		{Model: (*accountRow)(nil), SelfGuarded: true, Keep: true},
		{Model: (*subscriptionRow)(nil), SelfGuarded: true, Keep: true},
		{Model: (*transferRow)(nil), SelfGuarded: true, Keep: true, Personal: []string{"reason"}},
	}
}

// Lookups are the tables of this package that find an account from outside, for
// retention.Config.Lookups. A reference is kept with its transfer: money may come
// late, and has to be sent back.
func Lookups() []owned.Lookup {
	return []owned.Lookup{{Name: "billing_references", Keep: true}}
}
