package credits

import (
	"fmt"
)

// Rules that more is said of than that they are broken.
const (
	ruleBalance   = "balance = sum of entries"
	ruleRemaining = "what remains in a grant is the sum of its splits"
	ruleRefunds   = "refunds do not exceed their deduction"
	ruleHead      = "the account's head is a grant with as much or more in its own row"
	ruleDue       = "what ends by itself is due by then"
)

// Proposal is what an operator may do about a finding. Nothing of it is done by itself.
type Proposal struct {
	Finding Finding `json:"finding"`
	// Amount is in credits, that of the entry to be made: above zero by Grant, with
	// CategoryAdjustment, below zero by Deduct. 0: no entry mends it.
	Amount int64 `json:"amount,omitzero"`
	// Text says what to do, and what for.
	Text string `json:"text"`
}

// Propose says for each finding what may be done. It never touches what was entered: a
// ledger is mended by entries that follow. Where the entries say one thing and a row
// that is derived from them another, the entries decide; what their owner corrects then
// is the row, and the entry that is proposed is for a customer who relied on it. Two
// findings can be of one cause, and then one proposal is enough. Most damage no entry
// can mend, and the text says so.
func Propose(findings []Finding) []Proposal {
	proposals := make([]Proposal, len(findings))
	for i, f := range findings {
		proposals[i] = propose(f)
	}
	return proposals
}

func propose(f Finding) Proposal {
	p := Proposal{Finding: f}
	switch {
	case f.Rule == ruleBalance && f.Off != 0:
		p.Amount = f.Off
		p.Text = fmt.Sprintf("The account's row has %s than its entries. No entry mends that, since each moves both alike: have the owner of the "+
			"database set booked to their sum, and %s. If the account is to keep what it was shown, %s afterwards.", difference(f.Off), forget, entryOf(f.Off))
	case f.Rule == ruleRemaining && f.Off != 0:
		p.Amount = f.Off
		p.Text = fmt.Sprintf("Grant %s has %s than its splits. No entry mends that, since each moves both alike: have the owner of the "+
			"database set remaining to their sum (where it is the account's head, head_free of the account's row to that less what is held), and %s. If the account is to keep what it was shown, %s afterwards.",
			f.Grant, difference(f.Off), forget, entryOf(f.Off))
	case f.Rule == ruleRefunds && f.Off > 0:
		p.Amount = -f.Off
		p.Text = fmt.Sprintf("Entry %d was given back for more than it took, and the finding stays, as entries do. To take back what was too much, %s.",
			f.Number, entryOf(-f.Off))
	case f.Rule == ruleDue:
		p.Text = "No entry is needed. Have the owner of the database set next_at of the account's row to that moment or any before it, and " + forget +
			": the next request, or a sweep, books what is due."
	case f.Number != 0:
		p.Text = fmt.Sprintf("No entry mends entry %d, which was changed, removed or put there by somebody else than this library. "+
			"Compare it with the seals, if there are any, and with a backup.", f.Number)
	default:
		p.Text = "No entry mends this. The entries decide: have the owner of the database correct the row that differs from them, or restore it from a backup, and " + forget + "."
	}
	return p
}

// forget is what goes with every change of a row that is not made by this library.
const forget = "add one to the epoch of the account's row, by which processes remember it"

func difference(off int64) string {
	if off < 0 {
		return counted(-off) + " less"
	}
	return counted(off) + " more"
}

func entryOf(amount int64) string {
	if amount < 0 {
		return "deduct " + counted(-amount)
	}
	return "grant an adjustment of " + counted(amount)
}

func counted(n int64) string {
	if n == 1 {
		return "1 credit"
	}
	return fmt.Sprintf("%d credits", n)
}
