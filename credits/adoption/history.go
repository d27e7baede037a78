package adoption

import (
	"math"
	"time"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy/adoption"
)

// reading is an account's rows as lines of a ledger.
type reading struct {
	*Adoption

	at          int // the account's place
	adopt       credits.Adopt
	zero        int // rows that moved nothing
	forward     int // entries of what was brought forward
	adjustments int
	refused     []Finding
	notes       []Finding

	balance int64 // so far
	below   bool  // it was below zero
	over    bool  // it was more than can be counted
}

// The notes of the entries that no row is of.
const (
	broughtForward = "brought forward"
	adjustment     = "adjustment: the history does not add up"
)

func (r *reading) refuse(kind adoption.Kind, at int, field, text string, args ...any) {
	r.refused = append(r.refused, finding(kind, at, r.adopt.Account, field, text, args...))
}

func (r *reading) note(kind adoption.Kind, at int, field, text string, args ...any) {
	r.notes = append(r.notes, finding(kind, at, r.adopt.Account, field, text, args...))
}

func (s *survey) read(i int, acc Account) *reading {
	r := &reading{Adoption: s.Adoption, at: i, adopt: credits.Adopt{Account: acc.ID, Category: s.cfg.Category}}
	r.readLots(acc)
	r.check(acc.History, s.now)
	if len(r.refused) > 0 {
		return r // what is no row does not add up either
	}
	if len(acc.History) == 0 {
		r.open(acc)
		return r
	}
	r.start(acc)
	for j, row := range acc.History {
		r.row(j, row)
	}
	r.adjust(KindBalance, r.at, acc.Balance, 0, time.Time{})
	return r
}

// readLots takes the lots, which are the balance.
func (r *reading) readLots(acc Account) {
	switch {
	case acc.Balance < 0 && !r.cfg.Debts:
		r.refuse(KindBalance, r.at, "balance", "it is %d, below zero: set it right in the old system, or set Config.Debts, which takes it over as a debt", acc.Balance)
	case acc.Balance <= 0 && len(acc.Lots) > 0:
		r.refuse(KindBalance, r.at, "lots", "there are lots of a balance of %d", acc.Balance)
	case acc.Balance <= 0:
	case len(acc.Lots) == 0:
		r.adopt.Lots = []credits.Lot{{Amount: acc.Balance, Category: r.cfg.Category}}
	default:
		left := acc.Balance
		for _, t := range acc.Lots {
			if t.Category == "" {
				t.Category = r.cfg.Category
			}
			if t.Amount <= 0 || t.Amount > left {
				left = -1
				break
			}
			left -= t.Amount
			r.adopt.Lots = append(r.adopt.Lots, t)
		}
		if left != 0 {
			r.refuse(KindBalance, r.at, "lots", "they do not come to the balance of %d, each above zero", acc.Balance)
		}
	}
}

// check refuses what is no row of a history.
func (r *reading) check(rows []Row, now time.Time) {
	seen := map[string]int{}
	var last time.Time
	for j, row := range rows {
		switch first, twice := seen[row.Reference]; {
		case row.At.IsZero():
			r.refuse(KindRow, j, "at", "nothing says when it was")
		case row.At.After(now):
			r.refuse(KindRow, j, "at", "it is of a time to come")
		case row.At.Before(last):
			r.refuse(KindRow, j, "at", "it is older than the row before it: put the oldest row first")
		case twice && row.Reference != "":
			r.refuse(KindRow, j, "reference", "row %d has it too: leave one out", first)
		}
		last = latest(last, row.At)
		seen[row.Reference] = j
		if row.Amount == 0 {
			continue
		}
		if err := row.line().Validate(); err != nil {
			r.refuse(KindRow, j, "row", "%v", err)
		}
	}
}

func (row Row) line() credits.AdoptLine {
	return credits.AdoptLine{
		At: row.At, Amount: row.Amount, Kind: row.Kind, Reference: row.Reference, RefundOf: row.RefundOf,
		Operation: row.Operation, Note: row.Note,
	}
}

// open is all that is known of an account: what it has.
func (r *reading) open(acc Account) {
	for _, t := range r.adopt.Lots {
		r.forward++
		r.add(credits.AdoptLine{Amount: t.Amount, Note: broughtForward})
	}
	if acc.Balance < 0 {
		r.forward++
		r.add(credits.AdoptLine{Amount: acc.Balance, Kind: credits.KindRevoke, Note: broughtForward})
	}
}

// start brings forward what the account had before the first row: what makes the first
// balance right that is known, which may be the last.
func (r *reading) start(acc Account) {
	var sum int64
	known, told := acc.Balance, false
	for _, row := range acc.History {
		if !r.sum(&sum, row.Amount) {
			return
		}
		if row.Balance != nil {
			known, told = *row.Balance, true
			break
		}
	}
	forward := known
	if !r.less(&forward, sum) || forward <= 0 {
		return
	}
	if !told && !r.cfg.Adjust {
		return // it is refused in the end
	}
	r.note(KindRow, 0, "balance", "the account had %d before it, which are brought forward", forward)
	r.forward++
	r.add(credits.AdoptLine{At: acc.History[0].At, Amount: forward, Note: broughtForward})
}

func (r *reading) row(j int, row Row) {
	if row.Balance != nil {
		r.adjust(KindRow, j, *row.Balance, row.Amount, row.At)
	}
	if row.Amount == 0 {
		r.zero++
		return
	}
	r.add(row.line())
	if r.balance < 0 && !r.below {
		r.below = true
		r.note(KindRow, j, "amount", "it takes the account below zero: it becomes a debt, which the next credits repay")
	}
}

// adjust enters what is missing for the next amount to lead to the balance that is known.
func (r *reading) adjust(kind adoption.Kind, at int, known, amount int64, when time.Time) {
	comes, gap := r.balance, known
	if !r.sum(&comes, amount) || !r.less(&gap, comes) || gap == 0 {
		return
	}
	if !r.cfg.Adjust {
		r.refuse(kind, at, "balance", "the history comes to %d and the balance is %d: correct the rows, or set Config.Adjust, which enters the difference as an entry of its own", comes, known)
		r.balance += gap // so that what follows is held against what is known
		return
	}
	r.note(kind, at, "balance", "the history comes to %d and the balance is %d: an adjustment of %d is entered", comes, known, gap)
	r.adjustments++
	line := credits.AdoptLine{At: when, Amount: gap, Note: adjustment}
	if gap < 0 {
		line.Kind = credits.KindRevoke
	}
	r.add(line)
}

func (r *reading) add(line credits.AdoptLine) {
	if r.sum(&r.balance, line.Amount) {
		r.adopt.Lines = append(r.adopt.Lines, line)
	}
}

// sum adds n. It refuses the account where that passes the end of int64, and no more is
// added up then.
func (r *reading) sum(to *int64, n int64) bool {
	s := *to + n
	if n != 0 && (s > *to) != (n > 0) && !r.over {
		r.over = true
		r.refuse(KindBalance, r.at, "history", "it comes to more than can be counted")
	}
	if !r.over {
		*to = s
	}
	return !r.over
}

// less takes n away.
func (r *reading) less(from *int64, n int64) bool {
	if n == math.MinInt64 { // which has no opposite
		return r.sum(from, math.MaxInt64) && r.sum(from, 1)
	}
	return r.sum(from, -n)
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
