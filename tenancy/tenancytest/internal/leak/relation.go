package leak

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/tenancy/owned"
)

// relationAttacks load everything that a model leads to.
var relationAttacks = []attack{
	{verb: "Relation", kind: reads, on: hasRelations, do: func(s *shot) error {
		for _, path := range paths(s.schema) {
			dest := s.slice()
			if err := s.saw(dest, anything(s.db.NewSelect().Model(dest).Relation(path)).Scan(s.ctx), s.live()); err != nil {
				return errors.Join(holef("Relation(%q)", path), err)
			}
			n, err := anything(s.query().Relation(path)).Count(s.ctx)
			if err := counted(n, err, s.live()); err != nil {
				return errors.Join(holef("Count with Relation(%q)", path), err)
			}
		}
		return nil
	}},
	// Rows of Eve's that belong to no row of the model are more than bun can place.
	{verb: "Relation with WhereOr", kind: reads, on: hasRelations, perhaps: true, do: func(s *shot) error {
		for _, name := range relations(s.schema) {
			if t := s.schema.Relations[name].Type; t != schema.HasManyRelation && t != schema.ManyToManyRelation {
				continue // WhereOr would be about the model itself
			}
			dest := s.slice()
			err := s.saw(dest, s.db.NewSelect().Model(dest).Relation(name, anything).Scan(s.ctx), s.live())
			if err != nil && strings.Contains(err.Error(), string(s.ada.id)) {
				return errors.Join(holef("Relation(%q)", name), err)
			}
			if err != nil {
				return fmt.Errorf("Relation(%q): %w", name, err)
			}
		}
		return nil
	}},
}

func hasRelations(s *shot) bool { return len(s.schema.Relations) > 0 }

func relations(st *schema.Table) []string { return slices.Sorted(maps.Keys(st.Relations)) }

// paths are the relations of a model, and those of the models that they lead to.
func paths(st *schema.Table) []string {
	var out []string
	for _, name := range relations(st) {
		out = append(out, name)
		for _, next := range relations(st.Relations[name].JoinTable) {
			out = append(out, name+"."+next)
		}
	}
	return out
}

// tryRelations loads what a model leads to that itself belongs to no account.
func (k *kit) tryRelations(model any) {
	k.t.Helper()
	st := k.schemaOf(model)
	try := func(where string, ctx context.Context, db *owned.DB) {
		k.t.Helper()
		for _, path := range paths(st) {
			dest := reflect.New(reflect.SliceOf(reflect.PointerTo(st.Type))).Interface()
			err := db.NewSelect().Model(dest).Relation(path).Scan(ctx)
			if err = errors.Join(err, k.foreign(dest)); err != nil {
				k.t.Errorf("%s (%s): Relation(%q), %s: %v", st.Type.Name(), st.Name, path, where, err)
			}
		}
	}
	rows := k.tables.For(k.eve.ctx, k.db)
	if !k.secured {
		try("on the pool", k.eve.ctx, rows)
	}
	_ = rows.RunInTx(k.eve.ctx, func(ctx context.Context, db *owned.DB) error {
		try("in RunInTx", ctx, db)
		return errUndo
	})
}
