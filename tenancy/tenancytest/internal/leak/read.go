package leak

import (
	"database/sql"
	"errors"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// anything asks for every row there is.
func anything(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("1 = 0").WhereOr("1 = 1") }

func grouped(q *bun.SelectQuery) *bun.SelectQuery {
	return q.WhereGroup(" AND ", anything)
}

// query begins a query on the model that fills no rows.
func (s *shot) query() *bun.SelectQuery { return s.db.NewSelect().Model(s.model) }

// hersOnly is a query for Ada's rows by their account.
func (s *shot) hersOnly() *bun.SelectQuery {
	return s.query().Where("? = ?", s.account.SQLName, s.accountIs(s.ada))
}

func readAttack(verb string, do func(s *shot) error) attack {
	return attack{verb: verb, kind: reads, do: do}
}

var readAttacks = []attack{
	readAttack("Scan with WhereOr", func(s *shot) error {
		dest := s.slice()
		return s.saw(dest, anything(s.db.NewSelect().Model(dest)).Scan(s.ctx), s.live())
	}),
	readAttack("Scan with an OR in WhereGroup", func(s *shot) error {
		dest := s.slice()
		return s.saw(dest, grouped(s.db.NewSelect().Model(dest)).Scan(s.ctx), s.live())
	}),
	readAttack("Scan with the other's account in Where", func(s *shot) error {
		dest := s.slice()
		return s.saw(dest, s.db.NewSelect().Model(dest).Where("? = ?", s.account.SQLName, s.accountIs(s.ada)).Scan(s.ctx), 0)
	}),
	readAttack("Scan by the other's primary key", func(s *shot) error {
		dest := s.hers(first)
		err := s.db.NewSelect().Model(dest).WherePK().Scan(s.ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return errors.Join(err, holef("a row was found"))
	}),
	{verb: "Scan by the other's id alone", kind: reads, on: hasID, do: func(s *shot) error {
		for _, n := range []int{first, third} {
			if !s.has(n) {
				continue
			}
			dest, want := s.slice(), int64(1)
			if n == third {
				want = 0
			}
			q := s.db.NewSelect().Model(dest)
			for _, f := range s.otherKeys() {
				q = q.Where("? = ?", f.SQLName, s.literal(f, s.hers(n)))
			}
			if err := s.saw(dest, q.Scan(s.ctx), want); err != nil {
				return err
			}
		}
		return nil
	}},
	readAttack("Scan by a foreign key's value", func(s *shot) error {
		for _, f := range s.schema.Fields {
			if f == s.account || !s.catalog.isForeign(f.Name) {
				continue
			}
			dest := s.slice()
			err := s.db.NewSelect().Model(dest).Where("? = ?", f.SQLName, s.literal(f, s.hers(first))).Scan(s.ctx)
			if err = errors.Join(err, s.foreign(dest)); err != nil {
				return err
			}
		}
		return nil
	}),
	readAttack("Count", func(s *shot) error {
		n, err := anything(s.query()).Count(s.ctx)
		return counted(n, err, s.live())
	}),
	readAttack("Count of the other's", func(s *shot) error {
		n, err := s.hersOnly().Count(s.ctx)
		return counted(n, err, 0)
	}),
	readAttack("Exists", func(s *shot) error {
		for _, q := range []*bun.SelectQuery{s.hersOnly(), s.db.NewSelect().Model(s.hers(first)).WherePK()} {
			there, err := q.Exists(s.ctx)
			if err == nil && there {
				err = holef("the other's row exists")
			}
			if err != nil {
				return err
			}
		}
		return nil
	}),
	readAttack("Rows", func(s *shot) error {
		n, err := drain(anything(s.query()).Rows(s.ctx))
		return counted(n, err, s.live())
	}),
	readAttack("ScanAndCount", func(s *shot) error {
		dest := s.slice()
		n, err := anything(s.db.NewSelect().Model(dest)).Limit(1).ScanAndCount(s.ctx)
		return errors.Join(counted(n, err, s.live()), s.foreign(dest))
	}),
	readAttack("an aggregate", func(s *shot) error {
		var n int64
		err := anything(s.query()).ColumnExpr("COUNT(*)").Scan(s.ctx, &n)
		return counted(n, err, s.live())
	}),
	readAttack("a sub-query for the other's", func(s *shot) error {
		dest := s.slice()
		return s.saw(dest, s.db.NewSelect().Model(dest).Where("EXISTS (?)", s.hersOnly()).Scan(s.ctx), 0)
	}),
	readAttack("a sub-query with WhereOr", func(s *shot) error {
		n, err := s.db.NewSelect().TableExpr("(?) AS leak", anything(s.query())).Count(s.ctx)
		return counted(n, err, s.live())
	}),
	readAttack("a common table expression", func(s *shot) error {
		n, err := s.db.NewSelect().With("leak", anything(s.query())).TableExpr("leak").Count(s.ctx)
		return counted(n, err, s.live())
	}),
	readAttack("a union with the other's", func(s *shot) error {
		var n int64
		one := s.query().ColumnExpr("1 AS one")
		err := s.db.NewSelect().ColumnExpr("COUNT(*)").TableExpr("(?) AS leak", one.UnionAll(s.hersOnly().ColumnExpr("1 AS one"))).Scan(s.ctx, &n)
		return counted(n, err, s.live())
	}),
	readAttack("DB.Table in TableExpr", func(s *shot) error {
		n, err := s.db.NewSelect().TableExpr("? AS leak", s.db.Table(s.model)).Count(s.ctx)
		return counted(n, err, s.all())
	}),
	readAttack("DB.Table in NewRaw", func(s *shot) error {
		var n int64
		err := s.db.NewRaw("SELECT COUNT(*) FROM ? AS leak WHERE 1 = 0 OR 1 = 1", s.db.Table(s.model)).Scan(s.ctx, &n)
		return counted(n, err, s.all())
	}),
	readAttack("DB.Table in Join", func(s *shot) error {
		dest := s.slice()
		err := s.db.NewSelect().Model(dest).Join("JOIN ? AS leak ON 1 = 1", s.db.Table(s.model)).Scan(s.ctx)
		return s.saw(dest, err, s.live()*s.all())
	}),
	{verb: "WhereDeleted", kind: reads, on: softDeletes, do: func(s *shot) error {
		dest := s.slice()
		return s.saw(dest, anything(s.db.NewSelect().Model(dest)).WhereDeleted().Scan(s.ctx), s.all()-s.live())
	}},
	{verb: "WhereAllWithDeleted", kind: reads, on: softDeletes, do: func(s *shot) error {
		dest := s.slice()
		return s.saw(dest, anything(s.db.NewSelect().Model(dest)).WhereAllWithDeleted().Scan(s.ctx), s.all())
	}},
}

// drain counts rows.
func drain(rows *sql.Rows, err error) (n int64, _ error) {
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		n++
	}
	return n, rows.Err()
}

func hasID(s *shot) bool       { return len(s.otherKeys()) > 0 }
func softDeletes(s *shot) bool { return s.schema.SoftDeleteField != nil }

// pageAttacks go through the rows page by page, from a place that may be another's.
var pageAttacks = []attack{
	readAttack("pages by offset", func(s *shot) error {
		var n int64
		for ; n <= s.live(); n++ {
			dest := s.slice()
			err := s.db.NewSelect().Model(dest).OrderExpr("?", s.names(s.schema.PKs)).Limit(1).Offset(n).Scan(s.ctx)
			want := int64(1)
			if n == s.live() {
				want = 0
			}
			if err := s.saw(dest, err, want); err != nil {
				return err
			}
		}
		return nil
	}),
	readAttack("pages after the other's cursor", func(s *shot) error {
		for _, keys := range [][]*schema.Field{s.schema.PKs, s.otherKeys()} {
			if len(keys) == 0 {
				continue
			}
			for _, n := range []int{first, second, third} {
				if !s.has(n) {
					continue
				}
				for _, op := range []bun.Safe{">", "<", ">="} {
					dest := s.slice()
					err := s.db.NewSelect().Model(dest).Where("(?) ? (?)", s.names(keys), op, s.values(keys, s.hers(n))).
						OrderExpr("?", s.names(keys)).Limit(10).Scan(s.ctx)
					if err = errors.Join(err, s.foreign(dest)); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}),
}

// names are fields' columns as a list.
func (s *shot) names(fields []*schema.Field) bun.Safe {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = string(s.schema.SQLAlias + "." + f.SQLName)
	}
	return bun.Safe(strings.Join(list, ", "))
}

func (s *shot) values(fields []*schema.Field, row any) bun.Safe {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = string(s.literal(f, row))
	}
	return bun.Safe(strings.Join(list, ", "))
}
