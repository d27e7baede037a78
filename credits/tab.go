package credits

import (
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// tab is what is asked of one account in a swift statement: plain deductions, each all
// from its head, and replays of entries. It writes down no more than what is added to the
// account, so that it takes effect whatever others have deducted meanwhile.
type tab struct {
	account tenancy.AccountID
	known   standing
	at      time.Time

	draws   []draw
	taken   int64 // by all of them
	replays int64

	keys map[string]*keyRow // that were used before
	used map[string]bool    // by draws
}

// draw is one of its deductions.
type draw struct {
	request int // which
	line    *entryRow
	taken   int64 // by it and those before it
}

// tab is an account's to fill in, if it is remembered and nothing is due by itself.
func (l *Ledger) tab(db *bun.DB, account tenancy.AccountID, now time.Time) *tab {
	known, ok := l.shelf.get(shelved{db.DB, account})
	if !ok || !known.until.IsZero() && !now.Before(known.until) {
		return nil
	}
	return &tab{account: account, known: known, at: now}
}

// take answers a request, or leaves all of them to the way by locks. A draw's outcome is
// told when it is written.
func (t *tab) take(i int, r request) (outcome, bool) {
	if r.draw == nil {
		return outcome{}, false
	}
	if k := t.keys[r.key]; k != nil && r.key != "" {
		out := k.out
		t.replays++
		out.entry.Replayed = true
		return out, k.Hash == r.hash && k.Outcome == outcomeEntry && k.Hold == "" && out.entry.Number != 0
	}
	n := -r.draw.Amount
	if n > t.known.free-t.taken || t.used[r.key] {
		return outcome{}, false
	}
	t.taken += n
	if r.key != "" {
		if t.used == nil {
			t.used = map[string]bool{}
		}
		t.used[r.key] = true
	}
	t.draws = append(t.draws, draw{i, r.draw, t.taken})
	return outcome{}, true
}

// drawn is an account as a swift statement left it.
type drawn struct {
	number, booked, free int64
	enteredAt            time.Time
}

// tell is the outcome of each draw.
func (t *tab) tell(now drawn, unit string, outs []outcome) {
	number, booked := now.number-int64(len(t.draws)), now.booked+t.taken
	for i, d := range t.draws {
		line := *d.line
		line.Account, line.Unit, line.Number, line.At = t.account, unit, number+int64(i)+1, now.enteredAt
		line.Balance = booked - d.taken
		line.Spendable = line.Balance - t.known.apart
		outs[d.request].entry = line.entry()
	}
}

// sheets are the tabs as rows of the statement swiftly.
func sheets(db bun.IDB, unit string, tabs []*tab) (accounts, draws *sheet) {
	text, num, at := "text", "bigint", "timestamptz"
	accounts = newLookup(db, text, num, text, num, num, num, num, num, at)
	draws = newSheet(db, num, num, text, num, num, text, text, text, text, text, text, text, text, text)
	for i, t := range tabs {
		s := accounts
		s.text(string(t.account))
		s.int(int64(i))
		s.text(unit)
		s.int(t.known.epoch)
		s.int(t.known.apart)
		s.int(int64(len(t.draws)))
		s.int(t.taken)
		s.int(t.replays)
		s.time(t.at)
		for n, d := range t.draws {
			draws.int(int64(i))
			draws.int(int64(n + 1))
			draws.text(string(t.account))
			draws.int(d.line.Amount)
			draws.int(d.taken)
			draws.text(d.line.Key)
			draws.text(d.line.Hash)
			draws.text(d.line.Operation)
			draws.text(d.line.Note)
			draws.text(string(d.line.ActorKind))
			draws.text(d.line.ActorID)
			draws.text(string(d.line.OnBehalfKind))
			draws.text(d.line.OnBehalfID)
			draws.text(d.line.Basis)
		}
	}
	return accounts, draws
}
