package seals

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// VerifyAll asks for the next accounts to be verified, in the order of their ids.
type VerifyAll struct {
	// After continues: the Next of the call before, kept wherever the host likes. Default:
	// from the first account on.
	After tenancy.AccountID
	// Limit is 1 to 500 accounts. Default: 50.
	Limit int
	// Noted gives the heads of an account that were noted earlier, as Verify takes them;
	// none where none was. Default: no head was noted.
	Noted func(ctx context.Context, account tenancy.AccountID) ([]Head, error)
}

// Verified is what VerifyAll did.
type Verified struct {
	// Accounts is how many were verified, Sealed how many seals of theirs were checked, and
	// Unsealed how many entries have no seal yet.
	Accounts int   `json:"accounts"`
	Sealed   int64 `json:"sealed"`
	Unsealed int64 `json:"unsealed"`
	// Findings are those that Verify would have returned, the first 100 of each account.
	Findings []Finding `json:"findings"`
	// More is how many findings there are beyond those.
	More int64 `json:"more"`
	// Next is the After of the next call; "" where no account is left. With an error it
	// goes on with the account that could not be verified.
	Next tenancy.AccountID `json:"next,omitempty"`
}

// Sound reports that nothing was found.
func (v Verified) Sound() bool { return len(v.Findings) == 0 }

// VerifyAll verifies some of the accounts, each as Verify does: in bounded memory, without
// a lock, and beside requests. With an error it returns what it found until then.
//
// It finds the accounts by their rows and by their seals. One of which everything was
// deleted has neither, and is found from the other side only: call Verify with each head
// that was noted.
//
// tenancy.ErrInvalid: a noted head is another account's, or of another unit, or After is
// nothing that Next can be.
func (s *Seals) VerifyAll(ctx context.Context, db bun.IDB, what VerifyAll) (Verified, error) {
	// It need not be an account's id: somebody else may have put a row there.
	if tenancy.CheckText("place to go on from", string(what.After), 500) != nil {
		return Verified{Findings: []Finding{}}, fmt.Errorf("%w: After is no place to go on from", tenancy.ErrInvalid)
	}
	limit := min(what.Limit, 500)
	if limit <= 0 {
		limit = 50
	}
	done := Verified{Findings: []Finding{}, Next: what.After}
	ids, err := s.accounts(ctx, db, what.After, limit)
	if err != nil {
		return done, err
	}
	for _, account := range ids {
		r, err := s.verifyNoted(ctx, db, account, what.Noted)
		if err != nil {
			return done, fmt.Errorf("account %s: %w", account, err)
		}
		done.Accounts++
		done.Sealed += r.Sealed
		done.Unsealed += r.Unsealed
		done.Findings = append(done.Findings, r.Findings...)
		done.More += r.More
		done.Next = account
	}
	if len(ids) < limit {
		done.Next = ""
	}
	return done, nil
}

func (s *Seals) verifyNoted(
	ctx context.Context, db bun.IDB, account tenancy.AccountID, noted func(context.Context, tenancy.AccountID) ([]Head, error),
) (Report, error) {
	var heads []Head
	if noted != nil {
		var err error
		if heads, err = noted(ctx, account); err != nil {
			return Report{}, err
		}
	}
	return s.verify(ctx, db, account, heads) // whatever its id: there may be seals by one that no account can have
}

// accounts lists those after one that have a row or a seal. There is a seal for each
// entry: from account to account it is a look-up in their index, and no reading of all.
func (s *Seals) accounts(ctx context.Context, db bun.IDB, after tenancy.AccountID, limit int) (ids []tenancy.AccountID, err error) {
	err = db.NewRaw(`WITH RECURSIVE sealed (account_id, n) AS (
			SELECT MIN(f.account_id), 1 FROM credits_seals AS f WHERE f.unit = ?0 AND f.account_id > ?1
			UNION ALL SELECT (SELECT MIN(s.account_id) FROM credits_seals AS s WHERE s.unit = ?0 AND s.account_id > l.account_id), l.n + 1
			FROM sealed AS l WHERE l.account_id IS NOT NULL AND l.n < ?2)
		SELECT account_id FROM sealed WHERE account_id IS NOT NULL
		UNION SELECT account_id FROM (SELECT account_id FROM credits_accounts
			WHERE unit = ?0 AND account_id > ?1 ORDER BY account_id LIMIT ?2) AS a
		ORDER BY account_id LIMIT ?2`, s.cfg.Unit, after, limit).Scan(ctx, &ids)
	return ids, err
}
