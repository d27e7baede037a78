package leak

import (
	"context"
	"errors"
	"reflect"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// room finds out which drafts of Eve's the database would take beside her rows.
func (k *kit) room(s *subject) {
	for _, n := range []int{third, fourth} {
		_ = k.undone(func(tx bun.Tx) error {
			for _, free := range s.free {
				if _, err := k.insert(tx, copyOf(s.drafts[k.eve.id][free])); err != nil {
					return err
				}
			}
			done, err := k.insert(tx, copyOf(s.drafts[k.eve.id][n]))
			if done && err == nil && s.rows[k.ada.id][n] != nil {
				s.free = append(s.free, n)
			}
			return err
		})
	}
}

// probe finds out what the database lets anybody do to the subject's rows: what it
// refuses to all needs no attack.
func (k *kit) probe(s *subject) {
	k.room(s)
	for _, u := range s.catalog.uniques {
		target, ok := u.target()
		if !ok {
			continue
		}
		_ = k.undone(func(tx bun.Tx) error { // of one that leaves out this row, say
			return k.past(tx, func(conn bun.IConn) error {
				res, err := k.plain.NewInsert().Model(copyOf(s.rows[k.eve.id][first])).On("CONFLICT ? DO NOTHING", target).Conn(conn).Exec(k.ctx)
				if err == nil {
					if n, err := res.RowsAffected(); n == 0 && err == nil {
						s.targets = append(s.targets, target)
					}
				}
				return err
			})
		})
	}
	for _, f := range append([]*schema.Field{nil}, s.schema.DataFields...) {
		column, value := s.account.SQLName, s.account.SQLName
		if f != nil {
			col := s.catalog.column(f.Name)
			if f == s.schema.SoftDeleteField || s.catalog.isUnique(f.Name) || s.catalog.isForeign(f.Name) || f.SkipUpdate() {
				continue
			}
			probe := reflect.New(s.schema.Type)
			wanted{sql: col.Type, n: 8, mark: "c"}.fill(f.Value(probe.Elem()))
			column, value = f.SQLName, schema.Safe(k.literal(f, probe.Interface()))
			if mine := s.rows[k.ada.id][first]; value == schema.Safe(k.literal(f, mine)) {
				continue
			}
		}
		err := k.undone(func(tx bun.Tx) error {
			return k.past(tx, func(conn bun.IConn) error {
				_, err := k.plain.NewRaw("UPDATE ? SET ? = ? WHERE ? = ?", bun.Ident(s.schema.Name), column, value, s.account.SQLName,
					k.literal(s.account, s.rows[k.ada.id][first])).Conn(conn).Exec(k.ctx)
				return err
			})
		})
		if err != nil {
			continue
		}
		s.updatable = true
		if f != nil {
			s.payload, s.value = f, bun.Safe(value)
			break
		}
	}
	err := k.undone(func(tx bun.Tx) error { return k.clear(tx, s, &k.ada) })
	if s.deletable = err == nil; !s.deletable {
		k.t.Logf("%s: nobody can delete its rows (%v): deletes are not tried, writes in transactions alone", s, err)
	}
	if !s.updatable {
		k.t.Logf("%s: nobody can update its rows: updates and upserts are not tried", s)
	}
}

var errUndo = errors.New("undo")

// undone runs fn in a transaction past the guard that is rolled back.
func (k *kit) undone(fn func(tx bun.Tx) error) (err error) {
	end := k.plain.RunInTx(k.ctx, nil, func(_ context.Context, tx bun.Tx) error {
		err = fn(tx)
		return errUndo
	})
	if !errors.Is(end, errUndo) {
		return end
	}
	return err
}

// past runs fn on a connection that shows the rows of all accounts.
func (k *kit) past(conn bun.IConn, fn func(conn bun.IConn) error) error {
	if !k.secured {
		return fn(conn)
	}
	if _, pool := conn.(*bun.DB); pool {
		return k.plain.RunInTx(k.ctx, nil, func(_ context.Context, tx bun.Tx) error { return k.past(tx, fn) })
	}
	const set = "SELECT set_config('quitrent.account', ?, TRUE)"
	var before string
	err := k.plain.NewRaw("SELECT COALESCE(current_setting('quitrent.account', TRUE), '')").Conn(conn).Scan(k.ctx, &before)
	if err != nil {
		return err
	}
	if _, err := k.plain.NewRaw(set, "*").Conn(conn).Exec(k.ctx); err != nil {
		return err
	}
	if err := fn(conn); err != nil {
		return err
	}
	_, err = k.plain.NewRaw(set, before).Conn(conn).Exec(k.ctx)
	return err
}
