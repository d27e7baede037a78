package seals

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/uptrace/bun"

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

// maxFindings bounds a report, whatever happened to the ledger.
const maxFindings = 100

// The rules of a chain.
const (
	ruleNumbered  = "seals are numbered from 1 without gaps"
	ruleThere     = "a sealed entry is there"
	ruleEntry     = "an entry is as it was sealed"
	ruleUntouched = "a seal is as it was made"
	ruleNoted     = "the chain goes through the noted heads"
)

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
	v := verification{
		report: Report{Head: Head{Account: account, Unit: s.cfg.Unit}, Findings: []Finding{}},
		noted:  map[int64][]string{},
	}
	for _, h := range noted {
		switch {
		case h.Account != account || h.Unit != s.cfg.Unit || h.Number < 0:
			return Report{}, fmt.Errorf("%w: the noted head is one of another account or unit", tenancy.ErrInvalid)
		case h.Number > 0: // an empty chain is part of every other
			v.noted[h.Number] = append(v.noted[h.Number], h.Hash)
		}
	}
	if err := v.walk(ctx, db, s); err != nil {
		return Report{}, err
	}
	v.decide(either)
	for _, number := range slices.Sorted(maps.Keys(v.noted)) {
		v.finding(number, ruleNoted, "it was noted, and the chain does not have it")
	}
	err := db.NewRaw(`SELECT COUNT(*) FROM credits_entries WHERE account_id = ? AND unit = ? AND (number < 1 OR number > ?)`,
		account, s.cfg.Unit, v.report.Head.Number).Scan(ctx, &v.report.Unsealed)
	return v.report, err
}

type verification struct {
	report Report
	noted  map[int64][]string // hashes by number

	// undecided are what the hash of the newest seal may have been, where it does not fit
	// its entry: the next seal goes on from one of these, or from the one that is there.
	undecided []string
	// alone says that the seal before that one did fit.
	alone bool
}

// either is what is said where nothing tells which of them it was.
const either = "the entry, its seal or the seal before it was changed"

func (v *verification) finding(number int64, rule, detail string, args ...any) {
	if len(v.report.Findings) == maxFindings {
		v.report.More++
		return
	}
	v.report.Findings = append(v.report.Findings, Finding{
		Account: v.report.Head.Account, Number: number, Rule: rule, Detail: fmt.Sprintf(detail, args...),
	})
}

// decide reports a newest seal that does not fit its entry.
func (v *verification) decide(detail string) {
	if len(v.undecided) > 0 {
		v.finding(v.report.Head.Number, ruleEntry, "%s", detail)
	}
	v.undecided = nil
}

// sealed is a seal with the entry that it seals, if that is there.
type sealed struct {
	number int64
	seal   string // its hash
	there  bool
	line
}

func (v *verification) walk(ctx context.Context, db bun.IDB, s *Seals) error {
	for after := int64(math.MinInt64); ; {
		seals, err := s.sealed(ctx, db, v.report.Head.Account, after)
		if err != nil || len(seals) == 0 {
			return err
		}
		for _, one := range seals {
			v.check(one)
		}
		after = seals[len(seals)-1].number
	}
}

// sealed reads a page of seals after a number.
func (s *Seals) sealed(ctx context.Context, db bun.IDB, account tenancy.AccountID, after int64) ([]sealed, error) {
	var seals []sealed
	rows, err := db.QueryContext(ctx, `SELECT `+columns+`, s.number, s.hash FROM credits_seals AS s
		LEFT JOIN credits_entries AS e ON e.account_id = s.account_id AND e.unit = s.unit AND e.number = s.number
		WHERE s.account_id = ? AND s.unit = ? AND s.number > ? ORDER BY s.number LIMIT ?`, account, s.cfg.Unit, after, page) // sqltext: constant
	at := map[int64]int{}
	err = each(rows, err, func(scan func(...any) error) error {
		var one sealed
		var v values
		if err := scan(append(v.targets(), &one.number, &one.seal)...); err != nil {
			return err
		}
		one.there, one.line = v[placeNumber] != nil, v.line()
		at[one.number] = len(seals)
		seals = append(seals, one)
		return nil
	})
	if err != nil || len(seals) == 0 {
		return nil, err
	}
	return seals, s.splits(ctx, db, account, after, seals[len(seals)-1].number, func(number int64, p split) {
		if i, ok := at[number]; ok {
			seals[i].splits = append(seals[i].splits, p)
		}
	})
}

func (v *verification) check(s sealed) {
	last, alone := v.report.Head, len(v.undecided) == 0
	follows := s.number == last.Number+1
	var may []string // be the hash, by what the seal before may have been
	fits := false
	if follows && s.there && s.broken == "" {
		for i, previous := range append([]string{last.Hash}, v.undecided...) {
			may = append(may, s.hash(previous))
			if may[i] != s.seal {
				continue
			}
			switch fits = true; {
			case i > 0:
				v.finding(last.Number, ruleUntouched, "the next seal goes on from what the entry says")
				v.undecided = nil
			case v.alone:
				v.decide("the entry was changed")
			}
			break
		}
	}
	v.decide(either)
	v.report.Sealed++
	v.report.Head.Number, v.report.Head.Hash, v.report.Head.At = s.number, s.seal, s.at
	if !follows {
		v.finding(s.number, ruleNumbered, "it comes after seal %d", last.Number)
	}
	switch {
	case !s.there:
		v.finding(s.number, ruleThere, "it is gone")
	case s.broken != "":
		v.finding(s.number, ruleEntry, "%s", s.broken)
	case follows && !fits: // after a gap nothing says what it should be
		// The first of them and the last: as if only this seal was touched, and as if all were.
		v.undecided, v.alone = slices.Compact([]string{may[0], may[len(may)-1]}), alone
	}
	for _, hash := range v.noted[s.number] {
		if hash != s.seal {
			v.finding(s.number, ruleNoted, "its hash was another one when it was noted")
		}
	}
	delete(v.noted, s.number)
}
