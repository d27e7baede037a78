package leak

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy/owned"
)

// tableNames are the ways to name the table in SQL.
func (s *shot) tableNames() []bun.Safe {
	schema, name, qualified := strings.Cut(s.schema.Name, ".")
	switch {
	case qualified:
	case s.postgres():
		schema, name = "public", s.schema.Name
		_ = s.plain.NewRaw("SELECT current_schema()").Conn(s.idb).Scan(s.kit.ctx, &schema)
	default:
		schema, name = "main", s.schema.Name
	}
	return []bun.Safe{
		bun.Safe(`"` + name + `"`),
		bun.Safe(name),
		bun.Safe(strings.ToUpper(name)),
		bun.Safe(schema + "." + name),
		bun.Safe(`"` + schema + `" . "` + name + `"`),
		bun.Safe("/* the table */" + name),
	}
}

// allRefused is one of several refusals, or says what was not refused.
func allRefused(of map[string]error) error {
	var refusal error
	for _, what := range slices.Sorted(maps.Keys(of)) {
		switch err := of[what]; {
		case err == nil:
			return holef("%s was not refused", what)
		case !isRefusal(err):
			return holef("%s was not refused, but failed with: %v", what, err)
		default:
			refusal = err
		}
	}
	return refusal
}

// rawAttack tries one statement under every name of the table, through DB.NewRaw and
// through plain bun.
func rawAttack(text string, on func(s *shot) bool) attack {
	return attack{verb: "raw SQL: " + text, kind: refused, on: on, do: func(s *shot) error {
		of := map[string]error{}
		for _, name := range s.tableNames() {
			args := make([]any, strings.Count(text, "?"))
			for i := range args {
				args[i] = name
			}
			_, of[string(name)+" through Tables.For"] = s.db.NewRaw(text, args...).Exec(s.ctx)            // sqltext: the list below
			_, of[string(name)+" through plain bun"] = s.idb.NewRaw(text, args...).Exec(s.ctx)            // sqltext: the list below
			_, of[string(name)+" through ExecContext"] = s.idb.ExecContext(s.ctx, text, args...)          // sqltext: the list below
			_, of[string(name)+" through QueryContext"] = drain(s.idb.QueryContext(s.ctx, text, args...)) // sqltext: the list below
		}
		return allRefused(of)
	}}
}

func onPostgres(s *shot) bool { return s.postgres() }

// canUndo reports that not even what should not have been let through lasts.
func canUndo(s *shot) bool { _, pool := s.idb.(*bun.DB); return !pool }

func onSQLite(s *shot) bool { return !s.postgres() }

var rawAttacks = []attack{
	rawAttack("SELECT * FROM ?", nil),
	rawAttack("SELECT COUNT(*) FROM ? AS leak WHERE 1 = 1", nil),
	rawAttack("SELECT 1 FROM (SELECT * FROM ?) AS leak", nil),
	rawAttack("SELECT (SELECT COUNT(*) FROM ?)", nil),
	rawAttack("SELECT 1 WHERE EXISTS (SELECT 1 FROM ?)", nil),
	rawAttack("SELECT 1 FROM (SELECT 1 AS x) AS a, ? AS b", nil),
	rawAttack("SELECT 1 FROM (SELECT 1 AS x) AS a JOIN ? AS b ON 1 = 1", nil),
	rawAttack("SELECT 1 FROM (SELECT 1 AS x) AS a LEFT JOIN ? AS b ON 1 = 1", nil),
	rawAttack("SELECT 1 FROM (SELECT 1 AS x) AS a JOIN (SELECT 1 AS x) AS b ON a.x = b.x, ? AS c", nil),
	rawAttack("SELECT 1 UNION ALL SELECT 1 FROM ?", nil),
	rawAttack("WITH leak AS (SELECT * FROM ?) SELECT COUNT(*) FROM leak", nil),
	rawAttack("DELETE FROM ?", nil),
	rawAttack("DELETE FROM ? WHERE 1 = 1 RETURNING *", nil),
	rawAttack("INSERT INTO ? SELECT * FROM ?", nil),
	rawAttack("DROP TABLE ?", canUndo),
	rawAttack("EXPLAIN SELECT * FROM ?", nil),
	rawAttack("TRUNCATE ?", func(s *shot) bool { return onPostgres(s) && canUndo(s) }),
	rawAttack("TABLE ?", onPostgres),
	rawAttack("SELECT * FROM ONLY ?", onPostgres),
	rawAttack("LOCK TABLE ?", onPostgres),
	rawAttack("COPY ? TO STDOUT", onPostgres),
	rawAttack("REPLACE INTO ? SELECT * FROM ?", onSQLite),
	refusedAttack("raw SQL: UPDATE", func(s *shot) error {
		of := map[string]error{}
		for _, name := range s.tableNames() {
			_, of[string(name)] = s.db.NewRaw("UPDATE ? SET ? = ?", name, s.account.SQLName, s.account.SQLName).Exec(s.ctx)
			_, of[string(name)+", plain"] = s.idb.NewRaw("UPDATE ? SET ? = ?", name, s.account.SQLName, s.account.SQLName).Exec(s.ctx)
		}
		return allRefused(of)
	}),
	refusedAttack("the table's name in an expression", func(s *shot) error {
		of := map[string]error{}
		for _, name := range s.tableNames() {
			for by, db := range map[string]bun.IDB{"through Tables.For": nil, "through plain bun": s.idb} {
				newSelect := s.db.NewSelect
				if db != nil {
					newSelect = db.NewSelect
				}
				by = string(name) + " " + by
				_, of["TableExpr, "+by] = newSelect().TableExpr("?", name).Count(s.ctx)
				_, of["TableExpr AS, "+by] = newSelect().TableExpr("? AS leak", name).Exists(s.ctx)
				of["ColumnExpr, "+by] = newSelect().ColumnExpr("(SELECT COUNT(*) FROM ?)", name).Scan(s.ctx, new(int64))
				_, of["Join, "+by] = newSelect().TableExpr("(SELECT 1 AS x) AS a").Join("JOIN ? AS leak ON 1 = 1", name).Count(s.ctx)
				_, of["Where, "+by] = newSelect().TableExpr("(SELECT 1 AS x) AS a").Where("EXISTS (SELECT 1 FROM ?)", name).Count(s.ctx)
				_, of["With, "+by] = newSelect().With("leak", newSelect().TableExpr("?", name)).TableExpr("leak").Count(s.ctx)
				dest := s.slice()
				of["ModelTableExpr, "+by] = newSelect().Model(dest).ModelTableExpr("? AS ?", name, s.schema.SQLAlias).Scan(s.ctx)
			}
		}
		_, of["Table"] = s.db.NewSelect().Table(s.schema.Name).Count(s.ctx)
		_, of["a join of a model"] = s.query().Join("JOIN ? AS leak ON 1 = 1", s.schema.SQLName).Count(s.ctx)
		_, of["a condition of a model"] = s.query().Where("EXISTS (SELECT 1 FROM ?)", s.schema.SQLName).Count(s.ctx)
		if len(s.schema.DataFields) > 0 {
			_, of["a condition of an update"] = s.change(s.model).Where("EXISTS (SELECT 1 FROM ?)", s.schema.SQLName).Exec(s.ctx)
		}
		_, of["a condition of a delete"] = s.db.NewDelete().Model(s.model).Where("EXISTS (SELECT 1 FROM ?)", s.schema.SQLName).Exec(s.ctx)
		return allRefused(of)
	}),
}

// plainAttacks go past Tables.For, with Eve's account entered.
var plainAttacks = []attack{
	refusedAttack("plain bun", func(s *shot) error { return s.plainly(s.ctx) }),
}

// plainly is every verb of plain bun on the model.
func (s *shot) plainly(ctx context.Context) error {
	of := map[string]error{}
	dest := s.slice()
	of["Scan"] = s.idb.NewSelect().Model(dest).Scan(ctx)
	_, of["Count"] = s.idb.NewSelect().Model(s.model).Count(ctx)
	_, of["Exists"] = s.idb.NewSelect().Model(s.model).Exists(ctx)
	_, of["ScanAndCount"] = s.idb.NewSelect().Model(s.slice()).Limit(1).ScanAndCount(ctx)
	_, of["Rows"] = drain(s.idb.NewSelect().Model(s.model).Rows(ctx))
	_, of["the other's sub-select"] = s.idb.NewSelect().TableExpr("(SELECT * FROM ? WHERE ? = ?) AS leak",
		s.schema.SQLName, s.account.SQLName, s.accountIs(s.ada)).Count(ctx)
	_, of["NewInsert"] = s.idb.NewInsert().Model(s.forged()).Exec(ctx)
	_, of["NewInsert with DO NOTHING"] = s.idb.NewInsert().Model(s.hers(first)).On("CONFLICT DO NOTHING").Exec(ctx)
	_, of["NewDelete"] = s.idb.NewDelete().Model(s.hers(first)).WherePK().Exec(ctx)
	_, of["NewDelete by ForceDelete"] = s.idb.NewDelete().Model(s.model).Where("1 = 1").ForceDelete().Exec(ctx)
	if len(s.schema.DataFields) > 0 {
		_, of["NewUpdate"] = s.idb.NewUpdate().Model(s.hers(first)).WherePK().Exec(ctx)
	}
	_, of["NewUpdate with Set"] = s.idb.NewUpdate().Model(s.model).Set("? = ?", s.account.SQLName, s.account.SQLName).Where("1 = 1").Exec(ctx)
	if err := s.foreign(dest); err != nil {
		return err
	}
	return allRefused(of)
}

// contextAttacks hold the wrong context.
var contextAttacks = []attack{
	refusedAttack("plain bun in a context that has entered nothing", func(s *shot) error { return s.plainly(s.kit.ctx) }),
	refusedAttack("For in a context that has entered nothing", func(s *shot) error {
		rows := s.tables.For(s.kit.ctx, s.idb)
		other := *s
		other.db, other.ctx = rows, s.kit.ctx
		return other.verbs()
	}),
	refusedAttack("For of one account, run in a context that has entered nothing", func(s *shot) error {
		other := *s
		other.ctx = s.kit.ctx
		return other.statements()
	}),
	refusedAttack("For of one account, run in the context of the other", func(s *shot) error {
		other := *s
		other.ctx = s.ada.ctx
		return other.statements()
	}),
	refusedAttack("For of the other, run in the account's own context", func(s *shot) error {
		other := *s
		other.db = s.tables.For(s.ada.ctx, s.idb)
		return other.statements()
	}),
}

// queries are the verbs that read.
func (s *shot) queries() error {
	of := map[string]error{}
	dest := s.slice()
	of["Scan"] = s.db.NewSelect().Model(dest).Scan(s.ctx)
	_, of["Count"] = s.query().Count(s.ctx)
	_, of["Exists"] = s.query().Exists(s.ctx)
	_, of["Rows"] = drain(s.query().Rows(s.ctx))
	_, of["DB.Table"] = s.db.NewSelect().TableExpr("? AS leak", s.db.Table(s.model)).Count(s.ctx)
	return allRefused(of)
}

// statements are the verbs that read and those that write.
func (s *shot) statements() error {
	of := map[string]error{"reading": s.queries()}
	_, of["NewInsert"] = s.db.NewInsert().Model(s.forged()).Exec(s.ctx)
	_, of["NewInsert without an account"] = s.db.NewInsert().Model(s.mine(unborn)).Exec(s.ctx)
	_, of["NewUpdate"] = s.change(s.model).Where("1 = 1").Exec(s.ctx)
	_, of["NewDelete"] = s.db.NewDelete().Model(s.model).Where("1 = 1").Exec(s.ctx)
	return allRefused(of)
}

// verbs are all of them.
func (s *shot) verbs() error {
	return allRefused(map[string]error{
		"statements": s.statements(),
		"RunInTx":    s.tables.For(s.ctx, s.idb).RunInTx(s.ctx, func(context.Context, *owned.DB) error { return nil }),
	})
}
