package leak

import (
	"context"

	"github.com/uptrace/bun"
)

// clear deletes a side's rows of a subject, and those of its children first.
func (k *kit) clear(conn bun.IConn, s *subject, side *side) error {
	for i := len(k.subjects) - 1; k.subjects[i] != s; i-- {
		if k.descends(k.subjects[i], s) {
			if err := k.delete(conn, k.subjects[i], side); err != nil {
				return err
			}
		}
	}
	return k.delete(conn, s, side)
}

// clearChildren deletes the rows that hold those of a subject, of both sides.
func (k *kit) clearChildren(conn bun.IConn, s *subject) error {
	for i := len(k.subjects) - 1; k.subjects[i] != s; i-- {
		for _, side := range k.sides() {
			if k.descends(k.subjects[i], s) {
				if err := k.delete(conn, k.subjects[i], side); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (k *kit) descends(child, from *subject) bool {
	for _, f := range child.catalog.foreigns {
		if p := k.subject(f.parent); p != nil && p != child && (p == from || k.descends(p, from)) {
			return true
		}
	}
	return false
}

func (k *kit) delete(conn bun.IConn, s *subject, side *side) error {
	return k.past(conn, func(conn bun.IConn) error {
		_, err := k.plain.NewRaw("DELETE FROM ? WHERE ? = ?", bun.Ident(s.schema.Name), s.account.SQLName, bun.Safe("'"+string(side.id)+"'")).Conn(conn).Exec(k.ctx)
		return err
	})
}

// restore brings the rows back to what seed has written.
func (k *kit) restore() error {
	return k.plain.RunInTx(k.ctx, nil, func(_ context.Context, tx bun.Tx) error {
		if err := k.deleteAll(tx); err != nil {
			return err
		}
		for _, s := range k.subjects {
			for _, side := range k.sides() {
				for _, n := range []int{first, second, third, fourth, deleted} {
					if row := s.rows[side.id][n]; row != nil {
						if _, err := k.insert(tx, copyOf(row)); err != nil {
							return err
						}
					}
				}
			}
		}
		return nil
	})
}

func (k *kit) deleteAll(conn bun.IConn) error {
	for i := len(k.subjects) - 1; i >= 0; i-- {
		for _, side := range k.sides() {
			if err := k.delete(conn, k.subjects[i], side); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove deletes what the kit wrote, table by table, as far as the database lets it.
func (k *kit) remove() {
	for i := len(k.subjects) - 1; i >= 0; i-- {
		for _, side := range k.sides() {
			if side.id == "" {
				continue
			}
			if err := k.delete(k.plain, k.subjects[i], side); err != nil {
				k.t.Logf("%s: the rows made up stay: %v", k.subjects[i], err)
			}
		}
	}
	k.removeGuests()
}
