package leak

import (
	"github.com/uptrace/bun"
	"strings"

	"github.com/quitrent/quitrent/tenancy/owned"
)

// change is an update that writes the payload, which only the conditions keep to a
// row.
func (s *shot) change(model any) *owned.UpdateQuery {
	q := s.db.NewUpdate().Model(model)
	if s.payload == nil {
		last := s.schema.PKs[len(s.schema.PKs)-1]
		if last == s.account {
			last = s.schema.DataFields[0]
		}
		return q.Set("? = ?", last.SQLName, last.SQLName)
	}
	return q.Set("? = ?", s.payload.SQLName, s.value)
}

// columns are the model's, as RETURNING names them.
func (s *shot) columns() bun.Safe {
	list := make([]string, len(s.schema.Fields))
	for i, f := range s.schema.Fields {
		list[i] = string(f.SQLName)
	}
	return bun.Safe(strings.Join(list, ", "))
}

// changeable reports that an update has a column to set besides the account's.
func changeable(s *shot) bool { return s.updatable && len(s.schema.Fields) > 1 }

func updateAttack(verb string, do func(s *shot) error) attack {
	return attack{verb: verb, kind: writes, on: changeable, do: do}
}

var updateAttacks = []attack{
	updateAttack("an update with WhereOr", func(s *shot) error {
		res, err := s.change(s.model).Where("1 = 0").WhereOr("1 = 1").Exec(s.ctx)
		return affected(res, err, s.live())
	}),
	updateAttack("an update with an OR in WhereGroup", func(s *shot) error {
		res, err := s.change(s.model).WhereGroup(" AND ", func(w owned.Where) owned.Where {
			return w.Where("1 = 0").WhereOr("1 = 1")
		}).Exec(s.ctx)
		return affected(res, err, s.live())
	}),
	updateAttack("an update with an OR in Where", func(s *shot) error {
		res, err := s.change(s.model).Where("1 = 0 OR 1 = 1").Exec(s.ctx)
		return affected(res, err, s.live())
	}),
	updateAttack("an update of the other's account", func(s *shot) error {
		res, err := s.change(s.model).Where("? = ?", s.account.SQLName, s.accountIs(s.ada)).Exec(s.ctx)
		return affected(res, err, 0)
	}),
	updateAttack("an update where the other's rows exist", func(s *shot) error {
		res, err := s.change(s.model).Where("EXISTS (?)", s.hersOnly()).Exec(s.ctx)
		return affected(res, err, 0)
	}),
	{verb: "an update by the other's id alone", kind: writes, on: func(s *shot) bool { return changeable(s) && hasID(s) }, do: func(s *shot) error {
		for _, n := range []int{first, third} {
			if !s.has(n) {
				continue
			}
			q, want := s.change(s.model), int64(1)
			if n == third {
				want = 0
			}
			for _, f := range s.otherKeys() {
				q = q.Where("? = ?", f.SQLName, s.literal(f, s.hers(n)))
			}
			res, err := q.Exec(s.ctx)
			if err := affected(res, err, want); err != nil {
				return err
			}
		}
		return nil
	}},
	updateAttack("an update of a row without an account", func(s *shot) error {
		res, err := s.change(s.unstamped(s.hers(first))).WherePK().Exec(s.ctx)
		return affected(res, err, 1)
	}),
	{verb: "an update of a whole row under the other's key", kind: writes, perhaps: true,
		on: func(s *shot) bool { return changeable(s) && len(s.schema.DataFields) > 0 },
		do: func(s *shot) error {
			res, err := s.db.NewUpdate().Model(s.mine(first)).WherePK().Exec(s.ctx)
			return affected(res, err, 1)
		}},
	{verb: "a bulk update under the other's keys", kind: writes, perhaps: true,
		on: func(s *shot) bool { return s.payload != nil },
		do: func(s *shot) error {
			rows, want := s.sliceOf(s.mine(first)), int64(1)
			if s.rows[s.eve.id][second] != nil {
				rows, want = s.sliceOf(s.mine(first), s.mine(second)), 2
			}
			res, err := s.db.NewUpdate().Model(rows).Column(s.payload.Name).Bulk().Exec(s.ctx)
			return affected(res, err, want)
		}},
	updateAttack("an update that returns rows", func(s *shot) error {
		dest := s.slice()
		err := s.change(s.model).Where("1 = 0").WhereOr("1 = 1").Returning("?", s.columns()).Scan(s.ctx, dest)
		return s.saw(dest, err, s.live())
	}),
	{verb: "an update that restores deleted rows", kind: writes, on: func(s *shot) bool { return changeable(s) && softDeletes(s) }, do: func(s *shot) error {
		f := s.schema.SoftDeleteField
		alive := s.literal(f, s.rows[s.eve.id][first])
		res, err := s.db.NewUpdate().Model(s.model).Set("? = ?", f.SQLName, alive).WhereDeleted().Where("1 = 0").WhereOr("1 = 1").Exec(s.ctx)
		return affected(res, err, s.all()-s.live())
	}},
	{verb: "an update of all rows, the deleted ones too", kind: writes, on: func(s *shot) bool { return changeable(s) && softDeletes(s) }, do: func(s *shot) error {
		res, err := s.change(s.model).WhereAllWithDeleted().Where("1 = 0").WhereOr("1 = 1").Exec(s.ctx)
		return affected(res, err, s.all())
	}},
}

func moveAttack(verb string, with func(s *shot, q *owned.UpdateQuery) *owned.UpdateQuery) attack {
	return refusedAttack("moving a row "+verb, func(s *shot) error {
		_, err := with(s, s.db.NewUpdate().Model(s.mine(first))).WherePK().Exec(s.ctx)
		return err
	})
}

// moveAttacks would change the account of a row.
var moveAttacks = []attack{
	moveAttack("with Set", func(s *shot, q *owned.UpdateQuery) *owned.UpdateQuery {
		return q.Set("? = ?", s.account.SQLName, s.accountIs(s.ada))
	}),
	moveAttack("with Set, without quotes, among others", func(s *shot, q *owned.UpdateQuery) *owned.UpdateQuery {
		last := s.schema.Fields[len(s.schema.Fields)-1]
		return q.Set("? = ?, ? = ?", last.SQLName, last.SQLName, bun.Safe(s.account.Name), s.accountIs(s.ada))
	}),
	moveAttack("with Set of several columns", func(s *shot, q *owned.UpdateQuery) *owned.UpdateQuery {
		last := s.schema.Fields[len(s.schema.Fields)-1]
		return q.Set("(?, ?) = (?, ?)", last.SQLName, s.account.SQLName, last.SQLName, s.accountIs(s.ada))
	}),
	moveAttack("with SetColumn", func(s *shot, q *owned.UpdateQuery) *owned.UpdateQuery {
		return q.SetColumn(s.account.Name, "?", s.accountIs(s.ada))
	}),
	moveAttack("with SetColumn of another column, beside it", func(s *shot, q *owned.UpdateQuery) *owned.UpdateQuery {
		last := s.schema.Fields[len(s.schema.Fields)-1]
		return q.SetColumn(last.Name, "?, ? = ?", last.SQLName, s.account.SQLName, s.accountIs(s.ada))
	}),
	moveAttack("with Column", func(s *shot, q *owned.UpdateQuery) *owned.UpdateQuery {
		return q.Column(s.account.Name)
	}),
	moveAttack("with Value", func(s *shot, q *owned.UpdateQuery) *owned.UpdateQuery {
		return q.Value(s.account.Name, "?", s.accountIs(s.ada))
	}),
	refusedAttack("an update of a row of the other's", func(s *shot) error {
		_, err := s.change(s.hers(first)).WherePK().Exec(s.ctx)
		return err
	}),
	refusedAttack("a bulk update with one row of the other's", func(s *shot) error {
		_, err := s.db.NewUpdate().Model(s.sliceOf(s.mine(first), s.hers(first), s.mine(first))).Bulk().Exec(s.ctx)
		return err
	}),
	refusedAttack("an update whose row changes its account before Exec", func(s *shot) error {
		row := s.mine(first)
		q := s.change(row).WherePK()
		s.account.Value(s.structOf(row)).Set(s.account.Value(s.structOf(s.hers(first))))
		res, err := q.Exec(s.ctx)
		if err == nil {
			if n, _ := res.RowsAffected(); n == 0 {
				return owned.ErrForeign // it found nothing, which is as good
			}
		}
		return err
	}),
}

// emptied takes the rows away that hold those of the subject.
func emptied(s *shot) error { return s.clearChildren(s.idb, s.subject) }

func isDeletable(s *shot) bool { return s.deletable }

func deleteAttack(verb string, do func(s *shot) error) attack {
	return attack{verb: verb, kind: writes, on: isDeletable, prepare: emptied, do: do}
}

var deleteAttacks = []attack{
	deleteAttack("a delete with WhereOr", func(s *shot) error {
		res, err := s.db.NewDelete().Model(s.model).Where("1 = 0").WhereOr("1 = 1").Exec(s.ctx)
		return affected(res, err, s.live())
	}),
	deleteAttack("a delete with an OR in WhereGroup", func(s *shot) error {
		res, err := s.db.NewDelete().Model(s.model).WhereGroup(" AND ", func(w owned.Where) owned.Where {
			return w.Where("1 = 0").WhereOr("1 = 1")
		}).Exec(s.ctx)
		return affected(res, err, s.live())
	}),
	deleteAttack("a delete of the other's account", func(s *shot) error {
		res, err := s.db.NewDelete().Model(s.model).Where("? = ?", s.account.SQLName, s.accountIs(s.ada)).Exec(s.ctx)
		return affected(res, err, 0)
	}),
	deleteAttack("a delete where the other's rows exist", func(s *shot) error {
		res, err := s.db.NewDelete().Model(s.model).Where("EXISTS (?)", s.hersOnly()).Exec(s.ctx)
		return affected(res, err, 0)
	}),
	{verb: "a delete by the other's id alone", kind: writes, prepare: emptied, on: func(s *shot) bool { return s.deletable && hasID(s) }, do: func(s *shot) error {
		for _, n := range []int{first, third} {
			if !s.has(n) {
				continue
			}
			q, want := s.db.NewDelete().Model(s.model), int64(1)
			if n == third {
				want = 0
			}
			for _, f := range s.otherKeys() {
				q = q.Where("? = ?", f.SQLName, s.literal(f, s.hers(n)))
			}
			res, err := q.Exec(s.ctx)
			if err := affected(res, err, want); err != nil {
				return err
			}
		}
		return nil
	}},
	deleteAttack("a delete of a row without an account", func(s *shot) error {
		res, err := s.db.NewDelete().Model(s.unstamped(s.hers(first))).WherePK().Exec(s.ctx)
		return affected(res, err, 1)
	}),
	deleteAttack("a delete of a slice without accounts", func(s *shot) error {
		rows := []any{s.unstamped(s.hers(first))}
		if s.rows[s.eve.id][second] != nil {
			rows = append(rows, s.unstamped(s.hers(second)))
		}
		res, err := s.db.NewDelete().Model(s.sliceOf(rows...)).WherePK().Exec(s.ctx)
		return affected(res, err, int64(len(rows)))
	}),
	deleteAttack("a delete that returns rows", func(s *shot) error {
		dest := s.slice()
		err := s.db.NewDelete().Model(s.model).Where("1 = 0").WhereOr("1 = 1").Returning("?", s.columns()).Scan(s.ctx, dest)
		return s.saw(dest, err, s.live())
	}),
	{verb: "ForceDelete with WhereOr", kind: writes, prepare: emptied, on: deletesSoftly, do: func(s *shot) error {
		res, err := s.db.NewDelete().Model(s.model).ForceDelete().WhereAllWithDeleted().Where("1 = 0").WhereOr("1 = 1").Exec(s.ctx)
		return affected(res, err, s.all())
	}},
	{verb: "ForceDelete of deleted rows", kind: writes, prepare: emptied, on: deletesSoftly, do: func(s *shot) error {
		res, err := s.db.NewDelete().Model(s.model).ForceDelete().WhereDeleted().Where("1 = 0").WhereOr("1 = 1").Exec(s.ctx)
		return affected(res, err, s.all()-s.live())
	}},
	refusedAttack("a delete of a row of the other's", func(s *shot) error {
		_, err := s.db.NewDelete().Model(s.hers(first)).WherePK().Exec(s.ctx)
		return err
	}),
	refusedAttack("a delete of a slice with one row of the other's", func(s *shot) error {
		_, err := s.db.NewDelete().Model(s.sliceOf(s.mine(first), s.hers(first), s.mine(first))).WherePK().Exec(s.ctx)
		return err
	}),
	refusedAttack("ForceDelete of a row of the other's", func(s *shot) error {
		_, err := s.db.NewDelete().Model(s.hers(first)).WherePK().ForceDelete().Exec(s.ctx)
		return err
	}),
}

func deletesSoftly(s *shot) bool { return s.deletable && softDeletes(s) }
