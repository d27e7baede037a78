package leak

import (
	"errors"
	"strings"

	"github.com/uptrace/bun"
)

// spare are the numbers of rows that Ada has and Eve may add: Eve's own first one,
// which is then taken away, where a table holds no more.
func (s *shot) spare() []int {
	if len(s.free) == 0 {
		return []int{first}
	}
	return s.free
}

// makeRoom takes Eve's rows away where there is no other room.
func makeRoom(s *shot) error {
	if s.spare()[0] == first {
		return s.clear(s.idb, s.subject, &s.eve)
	}
	return nil
}

func hasRoom(s *shot) bool { return s.deletable || s.spare()[0] != first }

// stamped checks that rows were given Eve's account.
func (s *shot) stamped(rows ...any) error {
	for _, row := range rows {
		if got := s.literal(s.account, row); got != s.accountIs(s.eve) {
			return holef("a row without an account was given %s", got)
		}
	}
	return nil
}

// inMine is one forged row in the middle of Eve's own.
func (s *shot) inMine() any {
	return s.sliceOf(s.mine(first), s.forged(), s.mine(s.spare()[0]))
}

func insertAttack(verb string, do func(s *shot) error) attack {
	return attack{verb: verb, kind: writes, on: hasRoom, prepare: makeRoom, do: do}
}

func refusedAttack(verb string, do func(s *shot) error) attack {
	return attack{verb: verb, kind: refused, do: do}
}

var insertAttacks = []attack{
	insertAttack("an insert without an account, under the other's key", func(s *shot) error {
		row := s.mine(s.spare()[0])
		res, err := s.db.NewInsert().Model(row).Exec(s.ctx)
		return errors.Join(affected(res, err, 1), s.stamped(row))
	}),
	insertAttack("a bulk insert without accounts", func(s *shot) error {
		var rows []any
		for _, n := range s.spare() {
			rows = append(rows, s.mine(n))
		}
		res, err := s.db.NewInsert().Model(s.sliceOf(rows...)).Exec(s.ctx)
		return errors.Join(affected(res, err, int64(len(rows))), s.stamped(rows...))
	}),
	insertAttack("an insert of columns without the account's", func(s *shot) error {
		row := s.mine(s.spare()[0])
		var columns []string
		for _, f := range s.schema.Fields {
			if f != s.account {
				columns = append(columns, f.Name)
			}
		}
		res, err := s.db.NewInsert().Model(row).Column(columns...).Exec(s.ctx)
		return errors.Join(affected(res, err, 1), s.stamped(row))
	}),
	insertAttack("an insert with ExcludeColumn of the account's", func(s *shot) error {
		row := s.mine(s.spare()[0])
		res, err := s.db.NewInsert().Model(row).ExcludeColumn(s.account.Name).Exec(s.ctx)
		return errors.Join(affected(res, err, 1), s.stamped(row))
	}),
	refusedAttack("an insert of a row of the other's", func(s *shot) error {
		_, err := s.db.NewInsert().Model(s.forged()).Exec(s.ctx)
		return err
	}),
	refusedAttack("a bulk insert with one row of the other's", func(s *shot) error {
		_, err := s.db.NewInsert().Model(s.inMine()).Exec(s.ctx)
		return err
	}),
	refusedAttack("a bulk insert with one row of the other's, whatever is there", func(s *shot) error {
		_, err := s.db.NewInsert().Model(s.inMine()).On("CONFLICT DO NOTHING").Exec(s.ctx)
		return err
	}),
	refusedAttack("an insert whose row changes its account before Exec", func(s *shot) error {
		row := s.mine(s.spare()[0])
		q := s.db.NewInsert().Model(row)
		s.account.Value(s.structOf(row)).Set(s.account.Value(s.structOf(s.forged())))
		_, err := q.Exec(s.ctx)
		return err
	}),
	refusedAttack("an insert with Value of the other's account", func(s *shot) error {
		_, err := s.db.NewInsert().Model(s.mine(s.spare()[0])).Value(s.account.Name, "?", s.accountIs(s.ada)).Exec(s.ctx)
		return err
	}),
}

// upsert writes a row of Eve's under the key of Ada's first, on every unique key.
func (s *shot) upsert(extra string) error {
	set := s.payload
	if set == nil {
		set = s.schema.PKs[len(s.schema.PKs)-1]
		if set == s.account {
			return nil
		}
	}
	for _, target := range s.targets {
		q := s.db.NewInsert().Model(s.mine(first)).On("CONFLICT ? DO UPDATE", target).Set("? = EXCLUDED.?", set.SQLName, set.SQLName)
		if extra != "" {
			q = q.Where("1 = 0").WhereOr("1 = 1")
		}
		res, err := q.Exec(s.ctx)
		if err := affected(res, err, 1); err != nil {
			return errors.Join(holef("ON CONFLICT %s", target), err)
		}
	}
	return nil
}

// keyNames are the columns of the primary key.
func (s *shot) keyNames() bun.Safe {
	list := make([]string, len(s.schema.PKs))
	for i, f := range s.schema.PKs {
		list[i] = string(f.SQLName)
	}
	return bun.Safe(strings.Join(list, ", "))
}

func isUpdatable(s *shot) bool { return s.updatable }

func clearMine(s *shot) error { return s.clear(s.idb, s.subject, &s.eve) }

var upsertAttacks = []attack{
	{verb: "an upsert on the other's key", kind: writes, on: isUpdatable, do: func(s *shot) error { return s.upsert("") }},
	{verb: "an upsert on the other's key with WhereOr", kind: writes, on: isUpdatable, do: func(s *shot) error { return s.upsert("or") }},
	{verb: "an upsert on a key that the other alone has", kind: writes, prepare: clearMine,
		on: func(s *shot) bool { return s.updatable && s.deletable },
		do: func(s *shot) error { return s.upsert("") }},
	{verb: "an insert on the other's key with DO NOTHING", kind: writes, on: isUpdatable, do: func(s *shot) error {
		res, err := s.db.NewInsert().Model(s.mine(first)).On("CONFLICT DO NOTHING").Exec(s.ctx)
		return affected(res, err, 0)
	}},
	refusedAttack("an upsert that moves the row, in On", func(s *shot) error {
		_, err := s.db.NewInsert().Model(s.mine(first)).
			On("CONFLICT (?) DO UPDATE SET ? = ?", s.keyNames(), s.account.SQLName, s.accountIs(s.ada)).Exec(s.ctx)
		return err
	}),
	refusedAttack("an upsert of a row of the other's", func(s *shot) error {
		_, err := s.db.NewInsert().Model(s.hers(first)).On("CONFLICT DO NOTHING").Exec(s.ctx)
		return err
	}),
	refusedAttack("an upsert that sets the account", func(s *shot) error {
		var key unique
		for _, f := range s.schema.PKs {
			key.columns = append(key.columns, f.Name)
		}
		target, _ := key.target()
		_, err := s.db.NewInsert().Model(s.mine(first)).On("CONFLICT ? DO UPDATE", target).
			Set("? = ?", s.account.SQLName, s.accountIs(s.ada)).Exec(s.ctx)
		return err
	}),
}
