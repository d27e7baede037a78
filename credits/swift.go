package credits

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// swiftWithin bounds a swift statement that waits for no lock.
const swiftWithin = 10 * time.Second

// lookFor is for how many batches keys are looked up beforehand after one was found
// that had been used.
const lookFor = 64

// swift answers plain deductions by what is remembered of their accounts, in one
// statement that is its own transaction. For an account in which more has happened than
// deductions, or in whose head there is too little, the statement does nothing; what is
// not answered is left for the way by locks, which is the same but for the round trips.
// With wait it waits for the lock of the account, which then is the only one; without, an
// account that somebody else has locked is answered with errLocked.
//
// A key that has been used before makes the statement fail as a whole, and all is left.
// Where there is an error, what was asked for by those who have it may have happened.
func (l *Ledger) swift(ctx context.Context, db *bun.DB, callers []*caller, wait bool) (left []*caller, err error) {
	now, tabs := l.now(), make(map[tenancy.AccountID]*tab, len(callers))
	for _, m := range callers {
		t, met := tabs[m.request.account]
		if !met {
			t = l.tab(db, m.request.account, now)
			tabs[m.request.account] = t
		}
		if t != nil {
			t.callers++
		}
	}
	if err := l.foresee(ctx, db, callers, tabs); err != nil {
		return callers, nil // the way by locks says what is wrong
	}
	for _, m := range callers {
		if t := tabs[m.request.account]; t != nil && !t.take(m) {
			t.void = true
		}
	}
	var ready []*tab
	for _, t := range tabs {
		if t != nil && !t.void {
			ready = append(ready, t)
		}
	}
	if len(ready) > 0 {
		err = l.writeTabs(ctx, db, ready, wait)
	}
	for _, m := range callers {
		switch t := tabs[m.request.account]; {
		case t == nil || t.void:
			m.out = outcome{}
			left = append(left, m)
		case t.locked:
			m.out = outcome{refusal: errLocked}
		case err != nil:
			m.out, m.err = outcome{}, err
		}
	}
	return left, err
}

// writeTabs has tabs written, and tells their callers. What is not written is void, or
// locked by somebody else.
func (l *Ledger) writeTabs(ctx context.Context, db *bun.DB, tabs []*tab, wait bool) error {
	written, alone, err := l.draw(ctx, db, tabs, wait)
	if errors.Is(err, tx.ErrOutcomeUnknown) || wait && tx.State(err) == lockTimeout { // by locks it would be waited for as long again
		return err
	}
	if err != nil {
		l.looking.Store(lookFor)
	}
	for i, t := range tabs {
		at := shelved{db.DB, t.account}
		switch now, ok := written[i]; {
		case ok:
			t.tell(now)
			t.known.free = now.free
			l.shelf.put(at, t.known)
		case alone[i] == hasMoved:
			t.void = true
			l.shelf.drop(at)
		case alone[i] == knowsKey || err != nil || wait:
			t.void = true
		default:
			t.locked = true
		}
	}
	return nil
}

// foresee looks up which of the requests' keys have made entries, if some have been
// repeated lately.
func (l *Ledger) foresee(ctx context.Context, db *bun.DB, callers []*caller, tabs map[tenancy.AccountID]*tab) error {
	if l.looking.Load() <= 0 {
		return nil
	}
	l.looking.Add(-1)
	wanted := newLookup(db, "text", "text")
	for _, m := range callers {
		if r := &m.request; r.key != "" && tabs[r.account] != nil {
			wanted.text(string(r.account))
			wanted.text(r.key)
		}
	}
	if wanted.rows == 0 {
		return nil
	}
	rows, err := db.QueryContext(ctx, `WITH d (account_id, key) AS (?)
		SELECT `+entryColumns+`, e.hash FROM d JOIN credits_entries AS e
		ON e.account_id = d.account_id AND e.unit = ? AND e.key = d.key AND e.key <> ''`, wanted, l.cfg.Unit) // sqltext: constant
	return each(rows, err, func(scan func(...any) error) error {
		var hash string
		e, err := scanEntry(func(fields ...any) error { return scan(append(fields, &hash)...) })
		if err == nil {
			e.Hash = hash
			tabs[e.Account].know(&e)
			l.looking.Store(lookFor)
		}
		return err
	})
}

// swiftly is the statement. Numbers, balances and times are those of the row that it has
// locked, whatever it was when somebody remembered it. It waits for no lock, or has one
// account only, so that rows may be locked in no order. What is read of keys may be older
// than the lock, but then it is another epoch. A join is full where PostgreSQL, expecting
// few rows of an array of any length, would make one of each with each.
const (
	swiftly = `WITH a (account_id, i, unit, epoch, apart, entries, taken, replays, at, until) AS (?),
	e (i, n, account_id, amount, taken, key, hash, operation, note, actor_kind, actor_id, on_behalf_kind, on_behalf_id, basis) AS (?),
	used AS (SELECT e.i FROM e CROSS JOIN LATERAL (SELECT 1 FROM credits_keys AS k
		WHERE k.account_id = e.account_id AND k.unit = (SELECT a.unit FROM a LIMIT 1) AND k.key = e.key LIMIT 1) AS k WHERE e.key <> ''),
	fresh AS MATERIALIZED (SELECT a.* FROM a WHERE a.i NOT IN (SELECT used.i FROM used)),
	free AS (SELECT a.* FROM fresh AS a JOIN credits_accounts AS c
		ON c.account_id = a.account_id AND c.unit = a.unit AND c.epoch = a.epoch AND c.head_free >= a.taken
			AND (a.until IS NULL OR c.entered_at IS NULL OR c.entered_at < a.until)
		FOR UPDATE OF c` + skipLocked + `),
	ok AS (UPDATE credits_accounts SET number = credits_accounts.number + f.entries, booked = credits_accounts.booked - f.taken,
		head_free = credits_accounts.head_free - f.taken, replays = credits_accounts.replays + f.replays,
		entered_at = CASE f.entries WHEN 0 THEN credits_accounts.entered_at ELSE GREATEST(credits_accounts.entered_at, f.at) END
		FROM free AS f WHERE credits_accounts.account_id = f.account_id AND credits_accounts.unit = f.unit
		RETURNING f.i, f.apart, f.entries, f.taken, credits_accounts.account_id, credits_accounts.unit, credits_accounts.number,
			credits_accounts.booked, credits_accounts.head, credits_accounts.head_free, credits_accounts.entered_at),
	entries AS (INSERT INTO credits_entries (account_id, unit, number, kind, amount, balance, spendable, key, hash, operation, note,
		actor_kind, actor_id, on_behalf_kind, on_behalf_id, basis, grant_id, at)
		SELECT ok.account_id, ok.unit, ok.number - ok.entries + e.n, '` + string(KindDeduct) + `', e.amount, ok.booked + ok.taken - e.taken,
			ok.booked + ok.taken - e.taken - ok.apart, e.key, e.hash, e.operation, e.note,
			e.actor_kind, e.actor_id, e.on_behalf_kind, e.on_behalf_id, e.basis, ok.head, ok.entered_at
		FROM e FULL JOIN ok ON ok.i = e.i WHERE num_nulls(ok.i, e.i) = 0)
	SELECT a.i, ok.i IS NOT NULL, COALESCE(ok.number, 0), COALESCE(ok.booked, 0), COALESCE(ok.head_free, 0), COALESCE(ok.entered_at, a.at),
		CASE WHEN ok.i IS NOT NULL THEN '' WHEN a.i IN (SELECT used.i FROM used) THEN '` + knowsKey + `'
			WHEN NOT EXISTS (SELECT 1 FROM credits_accounts AS c
				WHERE c.account_id = a.account_id AND c.unit = a.unit AND c.epoch = a.epoch) THEN '` + hasMoved + `' ELSE '' END
	FROM a FULL JOIN ok ON ok.i = a.i`
	skipLocked = ` SKIP LOCKED`
)

// Why the statement left an account alone, where it is not that somebody else has its lock or
// that there is too little in its head.
const (
	hasMoved = "moved" // it is in another epoch
	knowsKey = "key"   // one of the keys has done something else than an entry
)

// draw runs swiftly on the tabs. It returns how it left those accounts that it wrote, by
// their places, and why it left others alone. Its rows come before it is known to have been
// committed: with an error they say nothing.
func (l *Ledger) draw(ctx context.Context, db *bun.DB, tabs []*tab, wait bool) (written map[int]drawn, alone map[int]string, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = conn.Close() }()
	if !wait { // it is short: from here on nobody's context cuts it
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), swiftWithin)
		defer cancel()
	}
	accounts, draws := sheets(db, l.cfg.Unit, tabs)
	s := &executed{sheets: []*sheet{accounts, draws}, one: accounts.rows == 1 && draws.rows == 1, wait: wait}
	written, alone = make(map[int]drawn, len(tabs)), map[int]string{}
	err = l.prepared.run(ctx, db.DB, conn, s, func(scan func(...any) error) error {
		var i int
		var now drawn
		var ok bool
		var why string
		var at sql.Null[time.Time]
		err := scan(&i, &ok, &now.number, &now.booked, &now.free, &at, &why)
		now.enteredAt = orZero(at)
		if ok {
			written[i] = now
		}
		if why != "" {
			alone[i] = why
		}
		return err
	})
	switch {
	case errors.Is(err, driver.ErrBadConn): // nothing was sent
		return nil, nil, err
	case err != nil:
		return nil, nil, tx.Single(err)
	}
	return written, alone, nil
}
