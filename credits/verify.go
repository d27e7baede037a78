package credits

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Finding is something in a ledger that does not add up.
type Finding struct {
	Account tenancy.AccountID
	// Rule is the rule that is broken: "balance = sum of entries".
	Rule string
	// Detail says where and by how much.
	Detail string
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s: %s", f.Account, f.Rule, f.Detail) }

// Verify checks that an account's ledger adds up, under the account's lock, and
// returns what does not; nothing means that it does. "" checks every account, one
// after another.
//
// The rules: entries are numbered without gaps and each balance is the one before
// plus the amount; an entry is the sum of its splits; a grant is what its entry put
// in, and what remains in it is the sum of its splits and between nothing and its
// amount; refunds give back to no grant more than their deduction took from it; the
// account's balance is the sum of its entries, and of what remains in its grants
// less its debt; what is held is left of holds and held of grants; every key's entry exists,
// and every entry's key is remembered; a budget counts what its subject spent in its
// period, less what was given back, and what its holds hold; the account
// knows when its next allotment is due.
func (l *Ledger) Verify(ctx context.Context, db bun.IDB, account tenancy.AccountID) ([]Finding, error) {
	if account != "" {
		if err := checkAccount(account); err != nil {
			return nil, err
		}
		return l.verifyAccount(ctx, db, account)
	}
	var found []Finding
	for after := tenancy.AccountID(""); ; {
		var ids []tenancy.AccountID
		// The grants too: a row that is lost is found by what it left behind.
		err := db.NewRaw(`SELECT account_id FROM (SELECT account_id FROM credits_accounts
				WHERE account_id > ? AND unit = ? ORDER BY account_id LIMIT 500) AS a
			UNION SELECT account_id FROM (SELECT DISTINCT account_id FROM credits_grants
				WHERE account_id > ? AND unit = ? ORDER BY account_id LIMIT 500) AS g
			ORDER BY account_id LIMIT 500`, after, l.cfg.Unit, after, l.cfg.Unit).Scan(ctx, &ids)
		if err != nil {
			return found, err
		}
		if len(ids) == 0 {
			return found, nil
		}
		for _, id := range ids {
			f, err := l.verifyAccount(ctx, db, id)
			if err != nil {
				return found, err
			}
			found = append(found, f...)
		}
		after = ids[len(ids)-1]
	}
}

func (l *Ledger) verifyAccount(ctx context.Context, db bun.IDB, account tenancy.AccountID) ([]Finding, error) {
	var v verification
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		v = verification{account: account, unit: l.cfg.Unit}
		// A write is the lock: the ledger stands still while it is read.
		_, err := db.NewRaw(`UPDATE credits_accounts SET number = number WHERE account_id = ? AND unit = ?`, account, l.cfg.Unit).Exec(ctx)
		if err != nil {
			return err
		}
		for _, check := range []func(context.Context, bun.IDB) error{v.entries, v.grants, v.sums, v.refunds, v.keys, v.budgets, v.allotments} {
			if err := check(ctx, db); err != nil {
				return err
			}
		}
		return nil
	})
	return v.found, err
}

type verification struct {
	account tenancy.AccountID
	unit    string
	found   []Finding

	count, total int64 // of the entries
	remaining    int64 // in the grants
	held         int64 // of it
}

func (v *verification) finding(rule, detail string, args ...any) {
	v.found = append(v.found, Finding{Account: v.account, Rule: rule, Detail: fmt.Sprintf(detail, args...)})
}

// entries walks the ledger once, whatever its length, in bounded memory.
func (v *verification) entries(ctx context.Context, db bun.IDB) error {
	type line struct {
		Number, Amount, Balance, Split int64
	}
	for {
		var page []line
		err := db.NewRaw(`SELECT e.number, e.amount, e.balance, CAST(COALESCE((
				SELECT SUM(s.amount) FROM `+parts+` AS s
				WHERE s.account_id = e.account_id AND s.unit = e.unit AND s.number = e.number), 0) AS BIGINT) AS split
			FROM credits_entries AS e WHERE e.account_id = ? AND e.unit = ? AND e.number > ?
			ORDER BY e.number LIMIT 1000`, v.account, v.unit, v.count).Scan(ctx, &page)
		if err != nil {
			return err
		}
		for _, e := range page {
			v.count++
			if e.Number != v.count {
				v.finding("entries are numbered without gaps", "entry %d where %d belongs", e.Number, v.count)
				v.count = e.Number
			}
			v.total += e.Amount
			if e.Balance != v.total {
				v.finding("each balance is the one before plus the amount", "entry %d says %d, the sum is %d", e.Number, e.Balance, v.total)
			}
			if e.Split != e.Amount {
				v.finding("an entry is the sum of its splits", "entry %d is %d, its splits %d", e.Number, e.Amount, e.Split)
			}
		}
		if len(page) == 0 {
			return nil
		}
	}
}

func (v *verification) grants(ctx context.Context, db bun.IDB) error {
	type line struct {
		ID                                    string
		Amount, Remaining, Held, Given, Split int64
	}
	for after := ""; ; {
		var page []line
		err := db.NewRaw(`SELECT g.grant_id AS id, g.amount, g.remaining, g.held, COALESCE((
				SELECT s.amount FROM `+parts+` AS s
				WHERE s.account_id = g.account_id AND s.unit = g.unit AND s.number = g.number AND s.grant_id = g.grant_id
				ORDER BY s.position LIMIT 1), 0) AS given, COALESCE(t.total, 0) AS split
			FROM credits_grants AS g LEFT JOIN (
				SELECT grant_id, CAST(SUM(amount) AS BIGINT) AS total FROM `+parts+` AS p
				WHERE account_id = ? AND unit = ? GROUP BY grant_id) AS t ON t.grant_id = g.grant_id
			WHERE g.account_id = ? AND g.unit = ? AND g.grant_id > ?
			ORDER BY g.grant_id LIMIT 1000`, v.account, v.unit, v.account, v.unit, after).Scan(ctx, &page)
		if err != nil {
			return err
		}
		for _, g := range page {
			after = g.ID
			v.remaining += g.Remaining
			v.held += g.Held
			if g.Held < 0 || g.Held > max(0, g.Remaining) {
				v.finding("what is held of a grant remains in it", "%s has %d, of which %d are held", g.ID, g.Remaining, g.Held)
			}
			if g.Remaining < 0 || g.Remaining > g.Amount {
				v.finding("what remains in a grant is between nothing and its amount", "%s has %d of %d", g.ID, g.Remaining, g.Amount)
			}
			if g.Given != g.Amount {
				v.finding("a grant is what its entry put in", "%s is %d, its entry put in %d", g.ID, g.Amount, g.Given)
			}
			if g.Split != g.Remaining {
				v.finding("what remains in a grant is the sum of its splits", "%s has %d, its splits %d", g.ID, g.Remaining, g.Split)
			}
		}
		if len(page) == 0 {
			return nil
		}
	}
}

func (v *verification) sums(ctx context.Context, db bun.IDB) error {
	var booked, held, debt, number int64
	err := db.NewRaw(`SELECT COALESCE(MAX(booked), 0), COALESCE(MAX(held), 0), COALESCE(MAX(debt), 0), COALESCE(MAX(number), 0)
		FROM credits_accounts WHERE account_id = ? AND unit = ?`, v.account, v.unit).Scan(ctx, &booked, &held, &debt, &number)
	if err != nil {
		return err
	}
	if booked != v.total {
		v.finding("balance = sum of entries", "the balance is %d, the sum %d", booked, v.total)
	}
	if booked != v.remaining-debt {
		v.finding("balance = what remains in grants - debt", "the balance is %d, grants hold %d, the debt is %d", booked, v.remaining, debt)
	}
	if number != v.count {
		v.finding("the account counts its entries", "it says %d, the last entry is %d", number, v.count)
	}
	var owed, lost int64
	err = db.NewRaw(`SELECT CAST(COALESCE(SUM(CASE WHEN s.grant_id = '' THEN -s.amount ELSE 0 END), 0) AS BIGINT),
			CAST(COALESCE(SUM(CASE WHEN s.grant_id <> '' AND g.grant_id IS NULL THEN 1 ELSE 0 END), 0) AS BIGINT)
		FROM `+parts+` AS s
		LEFT JOIN credits_grants AS g ON g.account_id = s.account_id AND g.grant_id = s.grant_id AND g.unit = s.unit
		WHERE s.account_id = ? AND s.unit = ?`, v.account, v.unit).Scan(ctx, &owed, &lost)
	if err != nil {
		return err
	}
	if owed != debt {
		v.finding("debt = splits without a grant", "the debt is %d, the splits are %d", debt, owed)
	}
	if lost != 0 {
		v.finding("every split's grant exists", "%d splits name none that does", lost)
	}
	if held != v.held {
		v.finding("held = what is held of grants", "the account holds %d, its grants %d", held, v.held)
	}
	return v.holds(ctx, db, held)
}

// holds adds up what the holds hold.
func (v *verification) holds(ctx context.Context, db bun.IDB, held int64) error {
	var left int64
	err := db.NewRaw(`SELECT CAST(COALESCE(SUM(amount - used), 0) AS BIGINT) FROM credits_holds
		WHERE account_id = ? AND unit = ? AND state IN ('open', 'review')`, v.account, v.unit).Scan(ctx, &left)
	if err == nil && left != held {
		v.finding("held = what is left of holds", "the account holds %d, its holds %d", held, left)
	}
	return err
}

// refunds counts what a refund put into a grant that it made for that one's origin.
func (v *verification) refunds(ctx context.Context, db bun.IDB) error {
	type line struct {
		Of           int64
		ID           string
		Given, Taken int64
	}
	var over []line
	err := db.NewRaw(`SELECT r.refund_of AS of, r.origin AS id, r.given, COALESCE(-d.taken, 0) AS taken FROM (
			SELECT e.refund_of, COALESCE(CASE g.origin WHEN ? THEN '' ELSE g.origin END, s.grant_id) AS origin,
				CAST(SUM(s.amount) AS BIGINT) AS given
			FROM credits_entries AS e
			JOIN `+parts+` AS s ON s.account_id = e.account_id AND s.unit = e.unit AND s.number = e.number
			LEFT JOIN credits_grants AS g ON g.account_id = s.account_id AND g.grant_id = s.grant_id AND g.number = s.number AND g.origin <> ''
			WHERE e.account_id = ? AND e.unit = ? AND e.refund_of IS NOT NULL GROUP BY 1, 2) AS r
		LEFT JOIN (SELECT number, grant_id, CAST(SUM(amount) AS BIGINT) AS taken FROM `+parts+` AS p
			WHERE account_id = ? AND unit = ? GROUP BY number, grant_id) AS d ON d.number = r.refund_of AND d.grant_id = r.origin
		WHERE r.given > COALESCE(-d.taken, 0) ORDER BY 1, 2`, inDebt, v.account, v.unit, v.account, v.unit).Scan(ctx, &over)
	for _, o := range over {
		v.finding("refunds do not exceed their deduction", "entry %d took %d from %s, %d came back", o.Of, o.Taken, o.ID, o.Given)
	}
	return err
}

// keys looks both ways: a key that lost its entry would replay nothing, and an
// entry that lost its key would be made again.
func (v *verification) keys(ctx context.Context, db bun.IDB) error {
	var lost []string
	err := db.NewRaw(`SELECT k.key FROM credits_keys AS k
		LEFT JOIN credits_entries AS e ON e.account_id = k.account_id AND e.unit = k.unit AND e.number = k.number AND e.key = k.key
		WHERE k.account_id = ? AND k.unit = ? AND k.outcome = ? AND e.number IS NULL
		ORDER BY k.key`, v.account, v.unit, outcomeEntry).Scan(ctx, &lost)
	if err != nil {
		return err
	}
	for _, k := range lost {
		v.finding("every key's entry exists", "key %q", k)
	}
	var forgotten []int64
	err = db.NewRaw(`SELECT e.number FROM credits_entries AS e
		LEFT JOIN credits_keys AS k ON k.account_id = e.account_id AND k.key = e.key AND k.unit = e.unit
			AND k.outcome = ? AND k.number = e.number
		WHERE e.account_id = ? AND e.unit = ? AND e.key <> '' AND e.hash = '' AND k.key IS NULL
		ORDER BY e.number`, outcomeEntry, v.account, v.unit).Scan(ctx, &forgotten)
	for _, n := range forgotten {
		v.finding("every entry's key is remembered", "entry %d", n)
	}
	return err
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
		v.finding("the account knows when its next allotment is due", "%q is due before", name)
	}
	return err
}
