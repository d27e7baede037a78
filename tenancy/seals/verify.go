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

// Report is what Verify found in one account's log.
type Report struct {
	// Head is the newest seal: what to note elsewhere when there are no findings.
	Head Head `json:"head"`
	// Sealed are the seals that were checked.
	Sealed int64 `json:"sealed"`
	// Unsealed are the lines that have no seal yet: nothing speaks for those.
	Unsealed int64 `json:"unsealed"`
	// Findings are what is not as it was sealed, the first 100.
	Findings []Finding `json:"findings"`
	// More is how many findings there are beyond those.
	More int64 `json:"more"`
}

// Sound reports that nothing was found.
func (r Report) Sound() bool { return len(r.Findings) == 0 }

// Finding is a place where a log is not as it was sealed.
type Finding struct {
	Account tenancy.AccountID `json:"account"`
	// Number is the seal's.
	Number int64 `json:"number"`
	// Audit is the line's id, if the seal is there to say it.
	Audit string `json:"audit,omitzero"`
	// Rule is the rule that is broken: "a sealed line is there".
	Rule string `json:"rule"`
	// Detail says what is to be seen.
	Detail string `json:"detail"`
}

// String is the finding in one line.
func (f Finding) String() string {
	return fmt.Sprintf("%s: seal %d: %s: %s", f.Account, f.Number, f.Rule, f.Detail)
}

// maxFindings bounds a report, whatever happened to the log.
const maxFindings = 100

// Verify walks an account's chain from its first seal, in bounded memory, whatever the
// length, and reports what is not as it was sealed. It writes nothing, and lines may
// be written and sealed meanwhile.
//
// The rules: seals are numbered without gaps; a sealed line is there; a seal is the
// hash of its line and of the seal before, so that a line that was changed, moved or
// put in between shows, and a seal too; and where heads of this account that were
// noted earlier are given, the chain still goes through each of them. Without one, a
// chain that was cut at its end, or written anew from the first changed line on, looks
// sound.
//
// tenancy.ErrInvalid: account cannot be an account's id, or a head is another's.
func (s *Seals) Verify(ctx context.Context, db bun.IDB, account tenancy.AccountID, noted ...Head) (Report, error) {
	if err := check(account); err != nil {
		return Report{}, err
	}
	v := verification{report: Report{Head: Head{Account: account}, Findings: []Finding{}}, noted: map[int64][]string{}}
	for _, h := range noted {
		switch {
		case h.Account != account || h.Number < 0:
			return Report{}, fmt.Errorf("%w: the noted head is one of another account", tenancy.ErrInvalid)
		case h.Number > 0: // an empty chain is part of every other
			v.noted[h.Number] = append(v.noted[h.Number], h.Hash)
		}
	}
	if err := v.walk(ctx, db); err != nil {
		return Report{}, err
	}
	for _, number := range slices.Sorted(maps.Keys(v.noted)) {
		v.finding(number, "", "the chain goes through the noted heads", "it was noted, and the chain does not have it")
	}
	err := db.NewRaw(`SELECT COUNT(*) FROM tenancy_audit AS au WHERE au.account_id = ? AND NOT EXISTS (
		SELECT 1 FROM tenancy_audit_seals AS s WHERE s.account_id = au.account_id AND s.audit_id = au.audit_id)`, account).Scan(ctx, &v.report.Unsealed)
	return v.report, err
}

type verification struct {
	report Report
	noted  map[int64][]string // hashes by number
}

func (v *verification) finding(number int64, audit, rule, detail string, args ...any) {
	if len(v.report.Findings) == maxFindings {
		v.report.More++
		return
	}
	v.report.Findings = append(v.report.Findings, Finding{
		Account: v.report.Head.Account, Number: number, Audit: audit, Rule: rule, Detail: fmt.Sprintf(detail, args...),
	})
}

// seal is one with the line that it seals, if that is there.
type seal struct {
	lineRow
	Number int64
	Hash   string
}

func (v *verification) walk(ctx context.Context, db bun.IDB) error {
	account := v.report.Head.Account
	for after := int64(math.MinInt64); ; {
		var seals []seal
		err := db.NewRaw(`SELECT s.number, s.hash, s.audit_id, au.at, au.actor_kind, au.actor_id, au.action, au.target, au.reason, au.data
			FROM tenancy_audit_seals AS s LEFT JOIN tenancy_audit AS au ON au.account_id = s.account_id AND au.audit_id = s.audit_id
			WHERE s.account_id = ? AND s.number > ? ORDER BY s.number LIMIT ?`, account, after, page).Scan(ctx, &seals)
		if err != nil || len(seals) == 0 {
			return err
		}
		for _, s := range seals {
			v.check(s)
		}
		after = seals[len(seals)-1].Number
	}
}

func (v *verification) check(s seal) {
	last := v.report.Head
	v.report.Sealed++
	v.report.Head.Number, v.report.Head.Hash = s.Number, s.Hash
	follows := s.Number == last.Number+1
	if !follows {
		v.finding(s.Number, s.AuditID, "seals are numbered from 1 without gaps", "it comes after seal %d", last.Number)
	}
	switch {
	case s.At == nil:
		v.finding(s.Number, s.AuditID, "a sealed line is there", "line %s is gone", s.AuditID)
	case !s.whole():
		v.finding(s.Number, s.AuditID, "a seal is the hash of its line and of the seal before", "line %s has columns without a value", s.AuditID)
	case follows && s.Hash != Hash(last.Hash, s.Number, s.line(last.Account)): // after a gap nothing says what it should be
		v.finding(s.Number, s.AuditID, "a seal is the hash of its line and of the seal before", "line %s or one of the two seals was changed", s.AuditID)
	}
	for _, hash := range v.noted[s.Number] {
		if hash != s.Hash {
			v.finding(s.Number, s.AuditID, "the chain goes through the noted heads", "its hash was another one when it was noted")
		}
	}
	delete(v.noted, s.Number)
}
