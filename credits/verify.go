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
// less its debt; every key's entry exists, and every entry's key is remembered.
func (l *Ledger) Verify(ctx context.Context, db bun.IDB, account tenancy.AccountID) ([]Finding, error) {
	if account != "" {
		if err := checkAccount(account); err != nil {
			return nil, err
		}
		return verifyAccount(ctx, db, account)
	}
	var found []Finding
	for after := tenancy.AccountID(""); ; {
		var ids []tenancy.AccountID
		// The grants too: a row that is lost is found by what it left behind.
		err := db.NewRaw(`SELECT account_id FROM (SELECT account_id FROM credits_accounts
				WHERE account_id > ? AND unit = ? ORDER BY account_id LIMIT 500) AS a
			UNION SELECT account_id FROM (SELECT DISTINCT account_id FROM credits_grants
				WHERE account_id > ? AND unit = ? ORDER BY account_id LIMIT 500) AS g
			ORDER BY account_id LIMIT 500`, after, unit, after, unit).Scan(ctx, &ids)
		if err != nil {
			return found, err
		}
		if len(ids) == 0 {
			return found, nil
		}
		for _, id := range ids {
			f, err := verifyAccount(ctx, db, id)
			if err != nil {
				return found, err
			}
			found = append(found, f...)
		}
		after = ids[len(ids)-1]
	}
}

func verifyAccount(ctx context.Context, db bun.IDB, account tenancy.AccountID) ([]Finding, error) {
	var v verification
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		v = verification{account: account}
		// A write is the lock: the ledger stands still while it is read.
		_, err := db.NewRaw(`UPDATE credits_accounts SET number = number WHERE account_id = ? AND unit = ?`, account, unit).Exec(ctx)
		if err != nil {
			return err
		}
		for _, check := range []func(context.Context, bun.IDB) error{v.entries, v.grants, v.sums, v.refunds, v.keys} {
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
	found   []Finding

	count, total int64 // of the entries
	remaining    int64 // in the grants
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
				SELECT SUM(s.amount) FROM credits_splits AS s
				WHERE s.account_id = e.account_id AND s.unit = e.unit AND s.number = e.number), 0) AS BIGINT) AS split
			FROM credits_entries AS e WHERE e.account_id = ? AND e.unit = ? AND e.number > ?
			ORDER BY e.number LIMIT 1000`, v.account, unit, v.count).Scan(ctx, &page)
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
		ID                              string
		Amount, Remaining, Given, Split int64
	}
	for after := ""; ; {
		var page []line
		err := db.NewRaw(`SELECT g.grant_id AS id, g.amount, g.remaining, COALESCE((
				SELECT s.amount FROM credits_splits AS s
				WHERE s.account_id = g.account_id AND s.unit = g.unit AND s.number = g.number AND s.grant_id = g.grant_id
				ORDER BY s.position LIMIT 1), 0) AS given, COALESCE(t.total, 0) AS split
			FROM credits_grants AS g LEFT JOIN (
				SELECT grant_id, CAST(SUM(amount) AS BIGINT) AS total FROM credits_splits
				WHERE account_id = ? AND unit = ? GROUP BY grant_id) AS t ON t.grant_id = g.grant_id
			WHERE g.account_id = ? AND g.unit = ? AND g.grant_id > ?
			ORDER BY g.grant_id LIMIT 1000`, v.account, unit, v.account, unit, after).Scan(ctx, &page)
		if err != nil {
			return err
		}
		for _, g := range page {
			after = g.ID
			v.remaining += g.Remaining
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
	var booked, debt, number int64
	err := db.NewRaw(`SELECT COALESCE(MAX(booked), 0), COALESCE(MAX(debt), 0), COALESCE(MAX(number), 0)
		FROM credits_accounts WHERE account_id = ? AND unit = ?`, v.account, unit).Scan(ctx, &booked, &debt, &number)
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
	return nil
}

func (v *verification) refunds(ctx context.Context, db bun.IDB) error {
	type line struct {
		Of           int64
		ID           string
		Given, Taken int64
	}
	var over []line
	err := db.NewRaw(`SELECT r.refund_of AS of, s.grant_id AS id, CAST(SUM(s.amount) AS BIGINT) AS given,
			CAST(COALESCE(MAX(-d.amount), 0) AS BIGINT) AS taken
		FROM credits_entries AS r
		JOIN credits_splits AS s ON s.account_id = r.account_id AND s.unit = r.unit AND s.number = r.number
		LEFT JOIN credits_splits AS d ON d.account_id = r.account_id AND d.unit = r.unit AND d.number = r.refund_of
			AND d.grant_id = s.grant_id
		WHERE r.account_id = ? AND r.unit = ? AND r.refund_of IS NOT NULL
		GROUP BY r.refund_of, s.grant_id HAVING SUM(s.amount) > COALESCE(MAX(-d.amount), 0)
		ORDER BY r.refund_of, s.grant_id`, v.account, unit).Scan(ctx, &over)
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
		ORDER BY k.key`, v.account, unit, outcomeEntry).Scan(ctx, &lost)
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
		WHERE e.account_id = ? AND e.unit = ? AND e.key <> '' AND k.key IS NULL
		ORDER BY e.number`, outcomeEntry, v.account, unit).Scan(ctx, &forgotten)
	for _, n := range forgotten {
		v.finding("every entry's key is remembered", "entry %d", n)
	}
	return err
}
