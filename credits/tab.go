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

	callers int
	keys    map[string]*entryRow // what they made that were used before
	used    map[string]bool      // by draws

	void   bool // the way by locks is to be gone
	locked bool // somebody else has the account's lock
}

// draw is one of its deductions.
type draw struct {
	caller *caller
	taken  int64 // by it and those before it
}

// tab is an account's to fill in, if it is remembered and nothing is due by itself.
func (l *Ledger) tab(db *bun.DB, account tenancy.AccountID, now time.Time) *tab {
	known, ok := l.shelf.get(shelved{db.DB, account})
	if !ok || !known.until.IsZero() && !now.Before(known.until) {
		return nil
	}
	return &tab{account: account, known: known, at: now}
}

// know takes in an entry that was made before.
func (t *tab) know(e *entryRow) {
	if t.keys == nil {
		t.keys = map[string]*entryRow{}
	}
	t.keys[e.Key] = e
}

// take takes a request in, and answers it if it is a replay. It reports false where it is
// neither that nor a draw.
func (t *tab) take(m *caller) bool {
	r := &m.request
	if r.draw == nil || t.void {
		return false
	}
	if e := t.keys[r.key]; e != nil {
		m.out.entry = e.entry()
		m.out.entry.Replayed = true
		t.replays++
		return e.Hash == r.hash && e.Hold == ""
	}
	if r.draw.Amount > t.known.free-t.taken || t.used[r.key] {
		return false
	}
	if t.draws == nil {
		t.draws = make([]draw, 0, t.callers)
	}
	if r.key != "" {
		if t.used == nil {
			t.used = make(map[string]bool, t.callers)
		}
		t.used[r.key] = true
	}
	t.taken += r.draw.Amount
	t.draws = append(t.draws, draw{m, t.taken})
	return true
}

// drawn is an account as a swift statement left it.
type drawn struct {
	number, booked, free int64
	enteredAt            time.Time
}

// tell gives each draw its outcome.
func (t *tab) tell(now drawn) {
	number, booked := now.number-int64(len(t.draws)), now.booked+t.taken
	for i, d := range t.draws {
		what := d.caller.request.draw
		d.caller.out = outcome{entry: Entry{
			Account: t.account, Number: number + int64(i) + 1, Kind: KindDeduct, Amount: -what.Amount,
			Balance: booked - d.taken, Spendable: booked - d.taken - t.known.apart,
			Key: what.Key, Operation: what.Operation, Note: what.Note, Basis: what.Basis,
			Actor: what.Actor, OnBehalf: what.OnBehalf, At: now.enteredAt,
		}}
	}
}

// sheets are the tabs as rows of the statement swiftly.
func sheets(db bun.IDB, unit string, tabs []*tab) (accounts, draws *sheet) {
	text, num, at := "text", "bigint", "timestamptz"
	accounts = newLookup(db, text, num, text, num, num, num, num, num, at, at)
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
		s.time(t.known.until)
		for n, d := range t.draws {
			what, hash := d.caller.request.draw, ""
			if what.Key != "" {
				hash = d.caller.request.hash
			}
			draws.int(int64(i))
			draws.int(int64(n + 1))
			draws.text(string(t.account))
			draws.int(-what.Amount)
			draws.int(d.taken)
			draws.text(what.Key)
			draws.text(hash)
			draws.text(what.Operation)
			draws.text(what.Note)
			draws.text(string(what.Actor.Kind))
			draws.text(what.Actor.ID)
			draws.text(string(what.OnBehalf.Kind))
			draws.text(what.OnBehalf.ID)
			draws.text(what.Basis)
		}
	}
	return accounts, draws
}
