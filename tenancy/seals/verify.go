package seals

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/chain"
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

const ruleHash = "a seal is the hash of its line and of the seal before"

var words = chain.Words{
	chain.Gone:        {"a sealed line is there", "line %s is gone"},
	chain.Broken:      {ruleHash, "line %s has columns without a value"},
	chain.LineChanged: {ruleHash, "line %s was changed"},
	chain.SealChanged: {ruleHash, "the seal was changed: the next one goes on from what line %s says"},
	chain.Unclear:     {ruleHash, "line %s or one of the two seals was changed"},
}

// Verify walks an account's chain from its first seal, in bounded memory, whatever the
// length, and reports what is not as it was sealed. It writes nothing, and lines may
// be written and sealed meanwhile.
//
// The rules: seals are numbered without gaps; a sealed line is there; a seal is the
// hash of its line and of the seal before, so that a line that was changed, moved or
// put in between shows, and a seal too, at the number where it was, if the seal after
// it is as it was made; and where heads of this account that were noted earlier are
// given, the chain still goes through each of them. Without one, a chain that was cut
// at its end, or written anew from the first changed line on, looks sound.
//
// tenancy.ErrInvalid: account cannot be an account's id, or a head is another's.
func (s *Seals) Verify(ctx context.Context, db bun.IDB, account tenancy.AccountID, noted ...Head) (Report, error) {
	if err := check(account); err != nil {
		return Report{}, err
	}
	marks := make([]chain.Mark, len(noted))
	for i, h := range noted {
		if h.Account != account || h.Number < 0 {
			return Report{}, fmt.Errorf("%w: the noted head is one of another account", tenancy.ErrInvalid)
		}
		marks[i] = chain.Mark{Number: h.Number, Hash: h.Hash}
	}
	r := Report{Head: Head{Account: account}, Findings: []Finding{}}
	found, err := chain.Verify(words, marks, func(after int64) ([]chain.Seal, error) { return sealed(ctx, db, account, after) })
	if err != nil {
		return Report{}, err
	}
	r.Head.Number, r.Head.Hash, r.Sealed, r.More = found.Head.Number, found.Head.Hash, found.Sealed, found.More
	for _, f := range found.Findings {
		r.Findings = append(r.Findings, Finding{Account: account, Number: f.Number, Audit: f.Line, Rule: f.Rule, Detail: f.Detail})
	}
	err = db.NewRaw(`SELECT COUNT(*) FROM tenancy_audit AS au WHERE au.account_id = ? AND NOT EXISTS (
		SELECT 1 FROM tenancy_audit_seals AS s WHERE s.account_id = au.account_id AND s.audit_id = au.audit_id)`, account).Scan(ctx, &r.Unsealed)
	return r, err
}

// sealed reads a page of seals after a number, with the lines that they seal.
func sealed(ctx context.Context, db bun.IDB, account tenancy.AccountID, after int64) ([]chain.Seal, error) {
	var rows []struct {
		lineRow
		Number int64
		Hash   string
	}
	err := db.NewRaw(`SELECT s.number, s.hash, s.audit_id, au.at, au.actor_kind, au.actor_id, au.action, au.target, au.reason, au.data
		FROM tenancy_audit_seals AS s LEFT JOIN tenancy_audit AS au ON au.account_id = s.account_id AND au.audit_id = s.audit_id
		WHERE s.account_id = ? AND s.number > ? ORDER BY s.number LIMIT ?`, account, after, chain.Page).Scan(ctx, &rows)
	seals := make([]chain.Seal, len(rows))
	for i, r := range rows {
		seals[i] = chain.Seal{
			Mark: chain.Mark{Number: r.Number, Hash: r.Hash}, Line: r.AuditID, Gone: r.At == nil, Broken: !r.whole(),
			Over: func(previous string) string { return Hash(previous, r.Number, r.line(account)) },
		}
	}
	return seals, err
}
