package seals

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/chain"
	"github.com/quitrent/quitrent/tenancy"
)

// Report is what Verify found in one account's ledger.
type Report struct {
	// Head is the newest seal: what to note elsewhere when there are no findings.
	Head Head `json:"head"`
	// Sealed are the seals that were checked.
	Sealed int64 `json:"sealed"`
	// Unsealed are the entries that have no seal yet: nothing speaks for those.
	Unsealed int64 `json:"unsealed"`
	// Findings are what is not as it was sealed, the first 100, in the order of their
	// numbers: the ledger is what it was up to the first of them.
	Findings []Finding `json:"findings"`
	// More is how many findings there are beyond those.
	More int64 `json:"more"`
}

// Sound reports that nothing was found.
func (r Report) Sound() bool { return len(r.Findings) == 0 }

// Finding is a place where a ledger is not as it was sealed.
type Finding struct {
	Account tenancy.AccountID `json:"account"`
	// Number is the entry's, and its seal's.
	Number int64 `json:"number"`
	// Rule is the rule that is broken: "a sealed entry is there".
	Rule string `json:"rule"`
	// Detail says what is to be seen.
	Detail string `json:"detail"`
}

// String is the finding in one line.
func (f Finding) String() string {
	return fmt.Sprintf("%s: entry %d: %s: %s", f.Account, f.Number, f.Rule, f.Detail)
}

// noValue is what is wrong with an entry that is none.
const noValue = "a column has no value"

const ruleEntry = "an entry is as it was sealed"

var words = chain.Words{
	chain.Gone:        {"a sealed entry is there", "it is gone"},
	chain.Broken:      {ruleEntry, noValue},
	chain.LineChanged: {ruleEntry, "the entry was changed"},
	chain.SealChanged: {"a seal is as it was made", "the next seal goes on from what the entry says"},
	chain.Unclear:     {ruleEntry, "the entry, its seal or the seal before it was changed"},
}

// Verify walks an account's chain from its first seal, in bounded memory, whatever the
// length, and reports what is not as it was sealed. It writes nothing and takes no
// lock, and entries may be made and sealed meanwhile.
//
// The rules: seals are numbered without gaps; a sealed entry is there; an entry, with
// its splits, is as it was sealed; a seal is as it was made, which the seal after it
// tells from an entry that was changed; and where heads of this account that were noted
// earlier are given, the chain still goes through each of them. Without one, a chain
// that was cut at its end, or written anew from the first changed entry on, looks sound.
//
// Whether the ledger adds up is what credits.Ledger.Verify says. tenancy.ErrInvalid:
// account cannot be an account's id, or a head is another's or of another unit.
func (s *Seals) Verify(ctx context.Context, db bun.IDB, account tenancy.AccountID, noted ...Head) (Report, error) {
	if err := check(account); err != nil {
		return Report{}, err
	}
	return s.verify(ctx, db, account, noted)
}

func (s *Seals) verify(ctx context.Context, db bun.IDB, account tenancy.AccountID, noted []Head) (Report, error) {
	marks := make([]chain.Mark, len(noted))
	for i, h := range noted {
		if h.Account != account || h.Unit != s.cfg.Unit || h.Number < 0 {
			return Report{}, fmt.Errorf("%w: the noted head is one of another account or unit", tenancy.ErrInvalid)
		}
		marks[i] = chain.Mark{Number: h.Number, Hash: h.Hash}
	}
	r := Report{Head: Head{Account: account, Unit: s.cfg.Unit}, Findings: []Finding{}}
	found, err := chain.Verify(words, marks, func(after int64) ([]chain.Seal, error) {
		return s.sealed(ctx, db, account, after, &r.Head.At)
	})
	if err != nil {
		return Report{}, err
	}
	r.Head.Number, r.Head.Hash, r.Sealed, r.More = found.Head.Number, found.Head.Hash, found.Sealed, found.More
	for _, f := range found.Findings {
		r.Findings = append(r.Findings, Finding{Account: account, Number: f.Number, Rule: f.Rule, Detail: f.Detail})
	}
	err = db.NewRaw(`SELECT COUNT(*) FROM credits_entries WHERE account_id = ? AND unit = ? AND (number < 1 OR number > ?)`,
		account, s.cfg.Unit, r.Head.Number).Scan(ctx, &r.Unsealed)
	return r, err
}

// sealed reads a page of seals after a number, with the entries that they seal, and into
// made when that of the last one was.
func (s *Seals) sealed(ctx context.Context, db bun.IDB, account tenancy.AccountID, after int64, made *time.Time) ([]chain.Seal, error) {
	var seals []chain.Seal
	at, last := map[int64]*line{}, after
	rows, err := db.QueryContext(ctx, `SELECT `+columns+`, s.number, s.hash FROM credits_seals AS s
		LEFT JOIN credits_entries AS e ON e.account_id = s.account_id AND e.unit = s.unit AND e.number = s.number
		WHERE s.account_id = ? AND s.unit = ? AND s.number > ? ORDER BY s.number LIMIT ?`, account, s.cfg.Unit, after, chain.Page) // sqltext: constant
	err = each(rows, err, func(scan func(...any) error) error {
		var v values
		var one chain.Seal
		if err := scan(append(v.targets(), &one.Number, &one.Hash)...); err != nil {
			return err
		}
		l := v.line()
		at[one.Number], last, *made = l, one.Number, l.at
		one.Gone, one.Broken, one.Over = v[placeNumber] == nil, l.broken, l.hash
		seals = append(seals, one)
		return nil
	})
	if err != nil || len(seals) == 0 {
		return nil, err
	}
	return seals, s.splits(ctx, db, account, after, last, at)
}
