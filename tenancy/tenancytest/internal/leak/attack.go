package leak

import (
	"context"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy/owned"
)

// kind is what an attack must come to.
type kind int

const (
	reads   kind = iota // succeeds and shows Eve's own rows
	refused             // is refused by package owned, and nothing is written
	writes              // succeeds and changes rows of Eve's alone
)

// attack is one way of asking for the rows of another account.
type attack struct {
	verb    string
	kind    kind
	on      func(s *shot) bool // the tables that it can be tried on; nil: all
	prepare func(s *shot) error
	// do returns what was wrong, or in a refused attack the refusal.
	do func(s *shot) error
	// perhaps says that the database may refuse what is asked for, of anybody.
	perhaps bool
}

func attacks() []attack {
	var all []attack
	for _, list := range [][]attack{readAttacks, relationAttacks, pageAttacks, insertAttacks, upsertAttacks, updateAttacks, moveAttacks, deleteAttacks, rawAttacks, plainAttacks, contextAttacks, pastAttacks} {
		all = append(all, list...)
	}
	return all
}

// shot is one attack on one table in one place.
type shot struct {
	*kit
	*subject
	ctx context.Context // Eve's
	db  *owned.DB       // Eve's
	idb bun.IDB         // what db was made of
}

// try runs an attack everywhere: on the pool, in a transaction of the host's and in
// one that RunInTx begins.
func (k *kit) try(s *subject, a attack) {
	k.t.Helper()
	rows := k.tables.For(k.eve.ctx, k.db)
	if !k.secured && (a.kind != writes || k.restoring) {
		k.fire(a, "on the pool", &shot{kit: k, subject: s, ctx: k.eve.ctx, db: rows, idb: k.db})
	}

	tx, err := k.db.BeginTx(k.eve.ctx, nil)
	if err != nil {
		k.t.Errorf("no transaction can be begun: %v", err)
		return
	}
	k.fire(a, "in a transaction of the host's", &shot{kit: k, subject: s, ctx: k.eve.ctx, db: k.tables.For(k.eve.ctx, tx), idb: tx})
	_ = tx.Rollback()

	err = rows.RunInTx(k.eve.ctx, func(ctx context.Context, db *owned.DB) error {
		k.t.Helper()
		k.fire(a, "in RunInTx", &shot{kit: k, subject: s, ctx: ctx, db: db, idb: db.IDB()})
		return errUndo
	})
	if !errors.Is(err, errUndo) {
		k.t.Errorf("RunInTx returned %v instead of its function's error", err)
	}
}

// fire runs an attack and looks at what it came to.
func (k *kit) fire(a attack, where string, s *shot) {
	k.t.Helper()
	if a.on != nil && !a.on(s) {
		return
	}
	fail := func(format string, args ...any) {
		k.t.Helper()
		k.t.Errorf("%s: %s, %s: %s", s.subject, a.verb, where, fmt.Sprintf(format, args...))
	}
	if a.prepare != nil {
		if err := a.prepare(s); err != nil {
			fail("it can't be prepared: %v", err)
			return
		}
	}
	before := k.start
	if a.prepare != nil {
		var err error
		if before, err = k.snapshot(s.idb); err != nil {
			fail("the rows can't be read: %v", err)
			return
		}
	}
	err := doing(a, s)
	switch {
	case a.kind == refused && err == nil:
		fail("it was not refused")
	case a.kind == refused && errors.As(err, new(hole)):
		fail("%v", err)
	case a.kind == refused && !isRefusal(err):
		fail("it was not refused, but failed with: %v", err)
	case a.kind != refused && err != nil && a.perhaps && !isRefusal(err) && !errors.As(err, new(hole)):
		k.t.Logf("%s: %s, %s, is not tried: %v", s.subject, a.verb, where, err)
		return
	case a.kind != refused && err != nil:
		fail("%v", err)
	}
	if a.kind == reads {
		return
	}
	after, err := k.snapshot(s.idb)
	if err != nil {
		fail("afterwards nothing can be read on the same transaction: %v", err)
		return
	}
	except := string(k.eve.id)
	if a.kind == refused {
		except = ""
	}
	if d := before.changes(after, except); d != "" {
		what := "rows of another account were changed"
		if a.kind == refused {
			what = "it wrote nevertheless"
		}
		fail("%s:\n%s", what, d)
	}
	if _, pool := s.idb.(*bun.DB); pool && k.start.changes(after, "") != "" {
		err := k.restore()
		if err == nil {
			k.start, err = k.snapshot(k.plain) // what was written into a third account stays
		}
		if err != nil {
			fail("the rows can't be restored: %v", err)
		}
	}
}

// doing runs an attack, which may panic as well as fail.
func doing(a attack, s *shot) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked: %v", p)
		}
	}()
	return a.do(s)
}

func isRefusal(err error) bool {
	for _, sentinel := range []error{owned.ErrUnscoped, owned.ErrForeign, owned.ErrNotRegistered} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// hole is what was seen of another account, as opposed to a statement that failed.
type hole string

func (h hole) Error() string { return string(h) }

func holef(format string, args ...any) error { return hole(fmt.Sprintf(format, args...)) }
