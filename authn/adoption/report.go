package adoption

import (
	"encoding/json"

	"github.com/quitrent/quitrent/tenancy/adoption"
)

// ErrRefused says that rows cannot be adopted as they are: Report.Refused names them all,
// and nothing was written.
var ErrRefused = adoption.ErrRefused

type (
	// Counts says what became of the rows of one kind, each counted once.
	Counts = adoption.Counts
	// Finding is something about one row: its Row is the place in its list, its ID the user
	// or the account.
	Finding = adoption.Finding
)

// The kinds of rows.
const (
	KindPassword adoption.Kind = "password"
	KindKey      adoption.Kind = "key"
)

// Report is what an adoption did, or a dry run would do. It has no hashes.
type Report struct {
	DryRun    bool   `json:"dry_run"`
	Passwords Counts `json:"passwords"`
	Keys      Counts `json:"keys"`
	// None counts the rows of users who had no password.
	None int `json:"none"`
	// Kinds counts the hashes of passwords by their kind, to hold against the old system.
	Kinds map[string]int `json:"kinds"`
	// Refused are the reasons why nothing is written, all of them, in the order of the
	// rows: passwords, keys.
	Refused []Finding `json:"refused"`
	// Notes are what to know and need not be changed.
	Notes []Finding `json:"notes"`
}

// counts is the part of the report that the audit log keeps.
func (r Report) counts() (json.RawMessage, error) {
	return json.Marshal(map[adoption.Kind]Counts{KindPassword: r.Passwords, KindKey: r.Keys})
}
