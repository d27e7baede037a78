package credits

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// posting is one write to one account's ledger, under the lock of its row.
type posting struct {
	db      bun.IDB
	ledger  *Ledger
	account tenancy.AccountID
	key     string
	actor   tenancy.Actor
	now     time.Time

	booked, held, debt, number int64 // of the account's row, as the lock found it
	absent                     bool  // there is no row, so there are no credits and there is no lock
}

// request is what post needs to know of a verb before it runs.
type request struct {
	account tenancy.AccountID
	key     string
	actor   tenancy.Actor
	// content is everything that makes a request with the same key the same.
	content []any
}

// post is the one write path. Its first statement locks the account's row, on both
// databases; all that follows is serialised by it. A key that was used before gives
// the first outcome back, a refusal too.
//
// A refusal with a key is written down and so must be committed: do reports it
// aside from what undoes the transaction.
func (l *Ledger) post(ctx context.Context, db bun.IDB, r request, do func(p *posting) (Entry, error)) (Entry, error) {
	var (
		entry   Entry
		refused error
	)
	hash := hashOf(r.content)
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		entry, refused = Entry{}, nil
		p := &posting{db: db, ledger: l, account: r.account, key: r.key, actor: r.actor}
		if err := p.lock(ctx); err != nil {
			return err
		}
		// Only now: while the lock was waited for, a grant may have expired.
		p.now = l.now()
		if r.key != "" {
			done, err := p.replay(ctx, hash)
			if done != nil || err != nil {
				if done != nil {
					entry, refused = done.entry, done.refusal
				}
				return err
			}
		}
		var err error
		entry, err = do(p)
		if err != nil && refusal(err) == "" {
			return err
		}
		refused = err
		if r.key == "" {
			return refused
		}
		return p.remember(ctx, hash, entry, refused)
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return Entry{}, err
	}
	return entry, nil
}

// lock takes the account's row, and makes it if need be. Without a key it makes
// none: only a deduction comes without one, and its refusal writes nothing.
func (p *posting) lock(ctx context.Context) error {
	if p.key == "" {
		err := p.db.NewRaw(`UPDATE credits_accounts SET number = number WHERE account_id = ? AND unit = ?
			RETURNING booked, held, debt, number`, p.account, unit).Scan(ctx, &p.booked, &p.held, &p.debt, &p.number)
		p.absent = errors.Is(err, sql.ErrNoRows)
		if p.absent {
			return nil
		}
		return err
	}
	return p.db.NewRaw(`INSERT INTO credits_accounts (account_id, unit, booked, number, created_at) VALUES (?, ?, 0, 0, ?)
		ON CONFLICT (account_id, unit) DO UPDATE SET number = credits_accounts.number
		RETURNING booked, held, debt, number`, p.account, unit, p.ledger.now()).Scan(ctx, &p.booked, &p.held, &p.debt, &p.number)
}

// split is what an entry takes from a grant (negative) or puts into it.
type split struct {
	grant  string
	amount int64
}

type splitRow struct {
	bun.BaseModel `bun:"table:credits_splits,alias:s"`

	Account  tenancy.AccountID `bun:"account_id,pk"`
	Unit     string            `bun:"unit,pk"`
	Number   int64             `bun:"number,pk"`
	Position int               `bun:"position,pk"`
	Grant    string            `bun:"grant_id"`
	Amount   int64             `bun:"amount"`
}

// next is the number that the posting's entry will have.
func (p *posting) next() int64 { return p.number + 1 }

// write appends the entry with its splits, moves the grants that exist already by
// them, and the account's row by their sum.
func (p *posting) write(ctx context.Context, row entryRow, splits []split, moveGrants bool) (Entry, error) {
	row.Account, row.Unit, row.Number, row.Key, row.At = p.account, unit, p.next(), p.key, p.now
	row.ActorKind, row.ActorID = p.actor.Kind, p.actor.ID
	row.Balance = p.booked + row.Amount
	if _, err := p.db.NewInsert().Model(&row).Exec(ctx); err != nil {
		return Entry{}, err
	}
	rows := make([]splitRow, len(splits))
	for i, s := range splits {
		rows[i] = splitRow{Account: p.account, Unit: unit, Number: row.Number, Position: i + 1, Grant: s.grant, Amount: s.amount}
		if !moveGrants {
			continue
		}
		res, err := p.db.NewUpdate().Model((*grantRow)(nil)).Set("remaining = remaining + ?", s.amount).
			Where("account_id = ? AND grant_id = ?", p.account, s.grant).
			Where("remaining + ? BETWEEN 0 AND amount", s.amount).Exec(ctx)
		if err != nil {
			return Entry{}, err
		}
		if n, err := res.RowsAffected(); err != nil {
			return Entry{}, err
		} else if n != 1 {
			return Entry{}, fmt.Errorf("credits: grant %s of %s cannot move by %d: run Verify", s.grant, p.account, s.amount)
		}
	}
	if _, err := p.db.NewInsert().Model(&rows).Exec(ctx); err != nil {
		return Entry{}, err
	}
	_, err := p.db.NewRaw(`UPDATE credits_accounts SET booked = booked + ?, number = number + 1
		WHERE account_id = ? AND unit = ?`, row.Amount, p.account, unit).Exec(ctx)
	if err != nil {
		return Entry{}, err
	}
	return row.entry(), nil
}

// hashOf is the digest of what a request says: each part with its length before it,
// so that no two requests share a form.
func hashOf(content []any) string {
	h := sha256.New()
	for _, c := range content {
		var s string
		switch v := c.(type) {
		case time.Time:
			if !v.IsZero() {
				s = v.UTC().Format(time.RFC3339Nano)
			}
		default:
			s = fmt.Sprint(v)
		}
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(s)))
		h.Write(length[:])
		h.Write([]byte(s))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// room refuses what would take the account's credits past the end of int64. Verbs
// ask before they write: a refusal is committed.
func (p *posting) room(n int64) error {
	owned, err := add(p.booked, p.debt) // what all grants hold together
	if err != nil {
		return err
	}
	_, err = add(owned, n)
	return err
}

// add adds without passing the ends of int64.
func add(a, b int64) (int64, error) {
	s := a + b
	if (s > a) != (b > 0) && b != 0 {
		return 0, ErrOverflow
	}
	return s, nil
}

// refusal is the code under which a refusal is remembered; "" for what is none.
func refusal(err error) string {
	for code, sentinel := range refusals {
		if errors.Is(err, sentinel) {
			return code
		}
	}
	return ""
}

var refusals = map[string]error{
	"insufficient":   ErrInsufficient,
	"not_refundable": ErrNotRefundable,
	"no_entry":       ErrNoEntry,
	"overflow":       ErrOverflow,
}
