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
	// Finding is something about one row: its ID is the account.
	Finding = adoption.Finding
)

// The kinds of rows.
const (
	// KindBalance is an account: the Row of its findings is its place in Adopt.Accounts.
	KindBalance adoption.Kind = "balance"
	// KindRow is a row of the history: the Row of its findings is its place there.
	KindRow adoption.Kind = "row"
)

// Report is what an adoption did, or a dry run would do.
type Report struct {
	DryRun   bool   `json:"dry_run"`
	Accounts Counts `json:"accounts"`
	// Rows counts those of the history, by what became of their account; Zero are those of
	// new accounts that moved nothing and become no entry.
	Rows Counts `json:"rows"`
	Zero int    `json:"zero"`
	// Entries is how many the new accounts get. No row is of those of Forward, which say
	// what an account had before the first, nor of Adjustments, which make the history add
	// up.
	Entries     int64 `json:"entries"`
	Forward     int   `json:"forward"`
	Adjustments int   `json:"adjustments"`
	// Credits is what the new accounts have together, to hold against the old system.
	Credits int64 `json:"credits"`
	// Refused are the reasons why nothing is written, all of them, account by account.
	Refused []Finding `json:"refused"`
	// Notes are what to know and need not be changed.
	Notes []Finding `json:"notes"`
}

// counts is the part of the report that the audit log keeps.
func (r Report) counts() (json.RawMessage, error) {
	return json.Marshal(map[adoption.Kind]Counts{KindBalance: r.Accounts, KindRow: r.Rows})
}
