// Package leak is the kit behind tenancytest.Run: it makes two accounts, attacks one
// from the other, and says what came through.
package leak

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// Exempt is the name of a table or view that is not reported.
type Exempt string

// Enter is a context that has entered an account, whether there is one or not.
type Enter func(tenancy.AccountID) context.Context

// Run attacks every guarded table of the registry: see tenancytest.Run.
func Run(t testing.TB, db *bun.DB, tables *owned.Tables, enter Enter, models ...any) {
	t.Helper()
	k := newKit(t, db, tables, enter)
	if !k.take(models) {
		return
	}
	k.report()
	if err := k.bind(); err != nil {
		t.Errorf("the accounts are not kept apart: %v", err)
		return
	}
	if !k.open() {
		return
	}
	defer k.remove()
	for _, s := range k.subjects {
		for _, a := range attacks() {
			k.try(s, a)
		}
	}
	for _, model := range k.others {
		k.tryRelations(model)
	}
}

// kit is one run.
type kit struct {
	t      testing.TB
	ctx    context.Context // has entered no account
	db     *bun.DB
	plain  *bun.DB // the same pool without the guard
	tables *owned.Tables
	enter  Enter

	exempt   map[string]bool
	prefixes []string                       // of tables that are not reported
	examples map[reflect.Type]reflect.Value // of the models that are given
	others   []any                          // models that belong to no account
	subjects []*subject                     // parents before their children
	guests   map[string]*guest              // tables that are not registered and have to hold rows
	made     []madeRow                      // rows of theirs

	ada, eve  side // ada owns what eve asks for
	start     snapshot
	secured   bool // by row-level security
	restoring bool // what is written can be taken back
}

// side is one of the two accounts.
type side struct {
	id   tenancy.AccountID
	mark string // in values that need not be the same in both
	ctx  context.Context
}

func newKit(t testing.TB, db *bun.DB, tables *owned.Tables, enter Enter) *kit {
	return &kit{t: t, enter: enter, ctx: t.Context(), db: db, plain: bun.NewDB(db.DB, db.Dialect()), tables: tables, prefixes: slices.Clone(libraryPrefixes)}
}

// bind binds the database, if the host has not done it in its own way.
func (k *kit) bind() error {
	if k.bound() {
		return k.tables.Verify(k.ctx, k.db)
	}
	return k.tables.Bind(k.ctx, k.db)
}

func (k *kit) bound() bool {
	_, err := k.tables.For(k.ctx, k.db).NewRaw("SELECT 1").Exec(k.ctx)
	return !errors.Is(err, owned.ErrUnbound)
}

func (k *kit) sides() []*side { return []*side{&k.ada, &k.eve} }
