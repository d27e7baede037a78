package credits

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Finding is something in a ledger that does not add up.
type Finding struct {
	Account tenancy.AccountID `json:"account"`
	// Rule is the rule that is broken: "balance = sum of entries".
	Rule string `json:"rule"`
	// Detail says where and by how much.
	Detail string `json:"detail"`
	// Number is the entry's that it is about, and Grant the grant's; if it is about one.
	Number int64  `json:"number,omitzero"`
	Grant  string `json:"grant,omitempty"`
	// Off is by how many credits, where an amount is not what the entries make it.
	Off int64 `json:"off,omitzero"`
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s: %s", f.Account, f.Rule, f.Detail) }

// maxFindings is how many an account has of a rule, whatever happened to its ledger. The
// last one says how many more there are.
const maxFindings = 100

// Verify checks that an account's ledger adds up and returns what does not; nothing
// means that it does. "" checks every account, one after another, and keeps all that it
// finds: where there are many accounts, VerifyAll does it in parts.
//
// It needs no more memory than the account has grants, whatever the length of its
// ledger. Entries never change, so they are read beforehand; the account's lock is held
// only to read those that came meanwhile, the grants, and the holds that are open.
//
// The rules: entries are numbered without gaps, their times never fall, and each balance
// is the one before plus the amount; what could be spent after one was between nothing
// and the balance; an entry is the sum of its splits; a grant is what its entry put in,
// and what remains in it is the sum of its splits and between nothing and its amount;
// refunds give back to no grant more than their deduction took from it; the account's
// balance is the sum of its entries, and of what remains in its grants less its debt;
// what is held is left of holds and held of grants; a hold counts what was charged for
// it; what ends by itself is due by then; every key's entry exists, every entry's key is
// remembered, and as one of them only; a budget counts what its subject spent in its
// period, less what was given back, and what its holds hold; the account knows when its
// next allotment is due.
//
// Propose says what may be done about findings. Whether entries were tampered with by
// somebody who kept all that, package seals shows.
func (l *Ledger) Verify(ctx context.Context, db bun.IDB, account tenancy.AccountID) ([]Finding, error) {
	if account != "" {
		if err := checkAccount(account); err != nil {
			return nil, err
		}
		return l.verifyAccount(ctx, db, account)
	}
	var found []Finding
	for next := (VerifyAll{Limit: 500}); ; {
		v, err := l.VerifyAll(ctx, db, next)
		found = append(found, v.Findings...)
		if next.After = v.Next; err != nil || next.After == "" {
			return found, err
		}
	}
}

// VerifyAll asks for the next accounts to be verified, in the order of their ids.
type VerifyAll struct {
	// After continues: the Next of the call before, kept wherever the host likes. Default:
	// from the first account on.
	After tenancy.AccountID
	// Limit is 1 to 500 accounts. Default: 50.
	Limit int
}

// Verified is what VerifyAll did.
type Verified struct {
	// Accounts is how many were verified.
	Accounts int `json:"accounts"`
	// Findings are what Verify would have returned for them.
	Findings []Finding `json:"findings"`
	// Next is the After of the next call; "" where no account is left. With an error it
	// goes on with the account that could not be verified.
	Next tenancy.AccountID `json:"next,omitempty"`
}

// VerifyAll verifies some of the accounts, each as Verify does. With an error it returns
// what it found until then. ErrInvalid: After is nothing that Next can be.
func (l *Ledger) VerifyAll(ctx context.Context, db bun.IDB, what VerifyAll) (Verified, error) {
	// It need not be an account's id: somebody else may have put a row there.
	if tenancy.CheckText("place to go on from", string(what.After), maxText) != nil {
		return Verified{Findings: []Finding{}}, fmt.Errorf("%w: After is no place to go on from", ErrInvalid)
	}
	limit := min(what.Limit, 500)
	if limit <= 0 {
		limit = 50
	}
	done := Verified{Findings: []Finding{}, Next: what.After}
	var ids []tenancy.AccountID
	// The grants too: a row that is lost is found by what it left behind.
	err := db.NewRaw(`SELECT account_id FROM (SELECT account_id FROM credits_accounts
			WHERE account_id > ? AND unit = ? ORDER BY account_id LIMIT ?) AS a
		UNION SELECT account_id FROM (SELECT DISTINCT account_id FROM credits_grants
			WHERE account_id > ? AND unit = ? ORDER BY account_id LIMIT ?) AS g
		ORDER BY account_id LIMIT ?`, what.After, l.cfg.Unit, limit, what.After, l.cfg.Unit, limit, limit).Scan(ctx, &ids)
	if err != nil {
		return done, err
	}
	for _, id := range ids {
		found, err := l.verifyAccount(ctx, db, id)
		if err != nil {
			return done, err
		}
		done.Accounts++
		done.Findings = append(done.Findings, found...)
		done.Next = id
	}
	if len(ids) < limit {
		done.Next = ""
	}
	return done, nil
}

func (l *Ledger) verifyAccount(ctx context.Context, db bun.IDB, account tenancy.AccountID) ([]Finding, error) {
	before := &verification{account: account, unit: l.cfg.Unit, counts: map[string]int64{}, walk: newWalk()}
	// Each of these reads what does not change any more, or compares in one statement.
	for _, check := range []func(context.Context, bun.IDB) error{before.ahead, before.refunds, before.charges, before.keys, before.budgets} {
		if err := check(ctx, db); err != nil {
			return nil, err
		}
	}
	var v verification
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		v = before.clone()
		// A write is the lock: the ledger stands still while it is read.
		_, err := db.NewRaw(`UPDATE credits_accounts SET number = number WHERE account_id = ? AND unit = ?`, account, l.cfg.Unit).Exec(ctx)
		if err != nil {
			return err
		}
		v.now = l.now() // the lock may have been waited for
		for _, check := range []func(context.Context, bun.IDB) error{v.rest, v.accountRow, v.openHolds, v.grants, v.allotments} {
			if err := check(ctx, db); err != nil {
				return err
			}
		}
		v.sums()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return v.findings(), nil
}

// clone is one to go on with that leaves the verification as it is.
func (v *verification) clone() verification {
	c := *v
	c.found, c.counts, c.walk.grants = slices.Clone(v.found), maps.Clone(v.counts), maps.Clone(v.walk.grants)
	return c
}

type verification struct {
	account tenancy.AccountID
	unit    string
	now     time.Time
	found   []Finding
	counts  map[string]int64 // of findings, by rule

	walk walk
	// What the tables say besides the entries, while the lock is held.
	row       accountRow
	absent    bool             // the row is
	holding   map[string]int64 // what the open holds hold, by grant
	holds     int64            // of all grants
	ending    time.Time        // when the first of them ends
	remaining int64            // in the grants
	held      int64            // of that
}

// finding is one about an entry; 0: about none.
func (v *verification) finding(rule string, number int64, detail string, args ...any) {
	v.note(Finding{Rule: rule, Number: number, Detail: fmt.Sprintf(detail, args...)})
}

func (v *verification) note(f Finding) {
	f.Account = v.account
	if v.counts[f.Rule]++; v.counts[f.Rule] <= maxFindings {
		v.found = append(v.found, f)
	}
}

func (v *verification) findings() []Finding {
	for _, rule := range slices.Sorted(maps.Keys(v.counts)) {
		if more := v.counts[rule] - maxFindings; more > 0 {
			v.found = append(v.found, Finding{Account: v.account, Rule: rule, Detail: fmt.Sprintf("and %d more", more)})
		}
	}
	return v.found
}

// allotments finds those that no request would find to be due.
func (v *verification) allotments(ctx context.Context, db bun.IDB) error {
	var late []string
	err := db.NewRaw(`SELECT r.name FROM credits_allotments AS r
		JOIN credits_accounts AS a ON a.account_id = r.account_id AND a.unit = r.unit
		WHERE r.account_id = ? AND r.unit = ? AND r.next_at IS NOT NULL
		AND (a.renews_at IS NULL OR a.renews_at > r.next_at OR a.next_at IS NULL OR a.next_at > r.next_at)
		ORDER BY r.name`, v.account, v.unit).Scan(ctx, &late)
	for _, name := range late {
		v.finding("the account knows when its next allotment is due", 0, "%q is due before", name)
	}
	return err
}
