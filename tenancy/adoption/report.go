package adoption

import (
	"encoding/json"
	"fmt"

	"github.com/quitrent/quitrent/tenancy"
)

// Report is what an adoption did, or a dry run would do. It names rows by their ids
// and holds no addresses and no names.
type Report struct {
	DryRun   bool   `json:"dry_run"`
	Accounts Counts `json:"accounts"`
	Users    Counts `json:"users"`
	// Members counts places: a user in an account, owners too.
	Members Counts `json:"members"`
	// Statuses and Plans count the rows of accounts by what their words became, to
	// hold against the old system.
	Statuses map[tenancy.Status]int `json:"statuses"`
	Plans    map[string]int         `json:"plans"`
	// Refused are the reasons why nothing is written, all of them, in the order of
	// the rows: users, accounts, members.
	Refused []Finding `json:"refused"`
	// Notes are what to know and need not be changed.
	Notes []Finding `json:"notes"`
	// AccountIDs and UserIDs are the ids in the new system by those in the old one
	// (Foreign), of every row that is new, the same or different.
	AccountIDs map[string]tenancy.AccountID `json:"account_ids"`
	UserIDs    map[string]tenancy.UserID    `json:"user_ids"`
}

// Counts says what became of the rows of one kind, each counted once.
type Counts struct {
	New int `json:"new"` // written, or to be written
	// Same is what was adopted before and equals the row.
	Same int `json:"same"`
	// Different is what is there and says something else: changed since it was
	// adopted, or removed. It is left as it is, since the new system is the truth.
	Different int `json:"different"`
	// Refused is what cannot be adopted as it is.
	Refused int `json:"refused"`
}

// Kind is the sort of a row.
type Kind string

// The kinds of rows.
const (
	KindAccount Kind = "account"
	KindUser    Kind = "user"
	KindMember  Kind = "member"
)

// Finding is something about one row.
type Finding struct {
	Kind Kind `json:"kind"`
	// Row is the row's place in its list, from 0; -1 is an owner's place in an
	// account, which has no row of its own.
	Row int `json:"row"`
	// ID is the row's id in the old system; of a member, "account/user".
	ID string `json:"id"`
	// Field is the field that it is about: "owner".
	Field string `json:"field"`
	// Text says what is so, and what to do.
	Text string `json:"text"`
}

// String is the finding in one line: `account "8": owner: …`.
func (f Finding) String() string { return fmt.Sprintf("%s %q: %s: %s", f.Kind, f.ID, f.Field, f.Text) }

// counts is the part of the report that the audit log keeps.
func (r Report) counts() (json.RawMessage, error) {
	return json.Marshal(map[Kind]Counts{KindAccount: r.Accounts, KindUser: r.Users, KindMember: r.Members})
}
