package owned_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy/owned"
)

func TestM11_WhatGoesPastForIsStopped(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		before := theirs(t, w)
		ctx := w.in(t, "17")
		ways := map[string]func(db bun.IDB) error{
			"select":         func(db bun.IDB) error { return db.NewSelect().Model(new([]Site)).Scan(ctx) },
			"count":          func(db bun.IDB) error { return second(db.NewSelect().Model((*Site)(nil)).Count(ctx)) },
			"exists":         func(db bun.IDB) error { return second(db.NewSelect().Model((*Site)(nil)).Exists(ctx)) },
			"scan and count": func(db bun.IDB) error { return second(db.NewSelect().Model(new([]Site)).Limit(1).ScanAndCount(ctx)) },
			"relation":       func(db bun.IDB) error { return db.NewSelect().Model(new([]Site)).Relation("Sectors").Scan(ctx) },
			"another model":  func(db bun.IDB) error { return scan(ctx, db.NewSelect().Model((*view)(nil))) },
			"table":          func(db bun.IDB) error { return scan(ctx, db.NewSelect().Table("sites")) },
			"table expr":     func(db bun.IDB) error { return scan(ctx, db.NewSelect().TableExpr("sites AS x")) },
			"model table expr": func(db bun.IDB) error {
				return scan(ctx, db.NewSelect().Model((*Site)(nil)).ModelTableExpr("sites AS s"))
			},
			"join": func(db bun.IDB) error {
				return scan(ctx, db.NewSelect().Model((*Industry)(nil)).Join("JOIN sites ON TRUE"))
			},
			"sub-query": func(db bun.IDB) error {
				return scan(ctx, db.NewSelect().TableExpr("industries").Where("id IN (SELECT industry FROM sites)"))
			},
			"raw":   func(db bun.IDB) error { return db.NewRaw("SELECT COUNT(*) FROM sites").Scan(ctx, new(int64)) },
			"row":   func(db bun.IDB) error { return db.QueryRowContext(ctx, "SELECT COUNT(*) FROM sites").Scan(new(int64)) },
			"query": func(db bun.IDB) error { return second(db.QueryContext(ctx, "SELECT id FROM sites")) },
			"exec":  func(db bun.IDB) error { return second(db.ExecContext(ctx, "DELETE FROM sites")) },
			"insert": func(db bun.IDB) error {
				return second(db.NewInsert().Model(&Site{Row: owned.Row{AccountID: "17"}, ID: "n"}).Exec(ctx))
			},
			"insert into table": func(db bun.IDB) error {
				return second(db.NewInsert().Model(&map[string]any{"id": "x"}).TableExpr("sites").Exec(ctx))
			},
			"update": func(db bun.IDB) error {
				return second(db.NewUpdate().Model((*Site)(nil)).Set("slug = 'x'").Where("TRUE").Exec(ctx))
			},
			"update by key": func(db bun.IDB) error {
				return second(db.NewUpdate().Model(&Site{Row: owned.Row{AccountID: "17"}, ID: "17-1"}).WherePK().Exec(ctx))
			},
			"delete":      func(db bun.IDB) error { return second(db.NewDelete().Model((*Sector)(nil)).Where("TRUE").Exec(ctx)) },
			"soft delete": func(db bun.IDB) error { return second(db.NewDelete().Model((*Site)(nil)).Where("TRUE").Exec(ctx)) },
			"truncate":    func(db bun.IDB) error { return second(db.NewTruncateTable().Model((*Sector)(nil)).Exec(ctx)) },
			"drop":        func(db bun.IDB) error { return second(db.NewDropTable().Model((*Sector)(nil)).Exec(ctx)) },
			"add column": func(db bun.IDB) error {
				return second(db.NewAddColumn().Model((*Sector)(nil)).ColumnExpr("x TEXT").Exec(ctx))
			},
			"merge": func(db bun.IDB) error {
				return second(db.NewMerge().Model((*Site)(nil)).Using("industries AS i").On("TRUE").When("MATCHED THEN DELETE").Exec(ctx))
			},
		}
		if w.db.Dialect().Name() != dialect.PG {
			delete(ways, "merge")
		}
		for what, try := range ways {
			if err := try(w.db); !errors.Is(err, owned.ErrUnscoped) {
				t.Errorf("%s: %v", what, err)
			}
			tx, err := w.db.BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := try(tx); !errors.Is(err, owned.ErrUnscoped) {
				t.Errorf("%s in a transaction: %v", what, err)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			conn, err := w.db.Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := try(conn); err == nil { // pgx gives up the connection and says just that
				t.Errorf("%s on a connection: ran", what)
			}
			_ = conn.Close()
		}
		if d := cmp.Diff(before, theirs(t, w)); d != "" {
			t.Error(d)
		}
	})
}

func second(_ any, err error) error { return err }

func scan(ctx context.Context, q *bun.SelectQuery) error {
	return q.ColumnExpr("COUNT(*)").Scan(ctx, new(int64))
}

// view is another model of the sites' table, which nobody registered.
type view struct {
	bun.BaseModel `bun:"table:sites,alias:v"`
	ID            string `bun:"id,pk"`
}

func TestM11_TheContextAndTheHandleNameOneAccount(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		in17, in18 := w.in(t, "17"), w.in(t, "18")
		db := w.tables.For(in17, w.db)
		for name, mixed := range map[string]struct {
			db  *owned.DB
			ctx context.Context
		}{
			"another account": {db, in18},
			"none":            {db, t.Context()},
			"across accounts": {w.tables.For(w.across(t), w.db), in18},
			"across, in none": {w.tables.For(w.across(t), w.db), t.Context()},
		} {
			db, ctx := mixed.db, mixed.ctx
			for i, err := range []error{
				second(db.NewSelect().Model((*Site)(nil)).Count(ctx)),
				second(db.NewRaw("SELECT 1 FROM ? AS x", db.Table((*Site)(nil))).Exec(ctx)),
				second(db.NewInsert().Model(&Tag{Row: owned.Row{AccountID: "17"}, ID: "n"}).Exec(ctx)),
				second(db.NewUpdate().Model((*Site)(nil)).Set("slug = slug || 'x'").Where("TRUE").Exec(ctx)),
				second(db.NewDelete().Model((*SiteTag)(nil)).Where("TRUE").Exec(ctx)),
			} {
				if !errors.Is(err, owned.ErrUnscoped) {
					t.Errorf("%s: %d: %v", name, i, err)
				}
			}
		}
		// Two handles on one pool, and one on the other's transaction, don't mix.
		n, err := w.tables.For(in18, w.db).NewSelect().Model((*Site)(nil)).Where("id = '18-1'").Count(in18)
		if n != 1 || err != nil {
			t.Error(n, err)
		}
		err = db.RunInTx(in17, func(ctx context.Context, db *owned.DB) error {
			inner, err := w.accounts.Enter(ctx, db.IDB(), "18", someone, 0)
			if err != nil {
				return err
			}
			if n, err := w.tables.For(inner, db.IDB()).NewSelect().Model((*Site)(nil)).Where("account_id = '18'").Count(inner); n != 2 || err != nil {
				t.Error(n, err)
			}
			n, err := db.NewSelect().Model((*Site)(nil)).Where("account_id = '17'").Count(ctx)
			if n != 2 {
				t.Error(n)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if db.Account() != "17" || w.tables.For(w.across(t), w.db).Account() != "" {
			t.Error(db.Account())
		}
	})
}

func TestM11_ARefusedStatementLeavesTheTransactionUsable(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		ctx := w.in(t, "17")
		err := w.tables.For(ctx, w.db).RunInTx(ctx, func(ctx context.Context, db *owned.DB) error {
			if _, err := db.IDB().NewRaw("DELETE FROM sites").Exec(ctx); !errors.Is(err, owned.ErrUnscoped) {
				t.Error(err)
			}
			if _, err := db.NewInsert().Model(&Site{Row: owned.Row{AccountID: "18"}}).Exec(ctx); !errors.Is(err, owned.ErrForeign) {
				t.Error(err)
			}
			_, err := db.NewInsert().Model(&Tag{ID: "t"}).Exec(ctx)
			return err
		})
		n, err2 := w.tables.For(ctx, w.db).NewSelect().Model((*Tag)(nil)).Count(ctx)
		if n != 2 || errors.Join(err, err2) != nil {
			t.Error(n, err, err2)
		}
	})
}

// Card is the sites' table once more, in short.
type Card struct {
	bun.BaseModel `bun:"table:sites,alias:c"`
	owned.Row
	ID   string `bun:"id,pk"`
	Slug string `bun:"slug"`
}

func TestM11_ATableMayHaveSeveralModels(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		cfg := config()
		cfg.Tables = append(cfg.Tables, owned.Table{Model: (*Card)(nil)})
		w := world{tables: owned.New(cfg), accounts: newAccounts(), db: db}
		if err := w.tables.Bind(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		w.fill(t)
		ctx := w.in(t, "17")
		rows := w.tables.For(ctx, db)
		for _, model := range []any{(*Site)(nil), (*Card)(nil)} {
			if n, err := rows.NewSelect().Model(model).Count(ctx); n != 2 || err != nil {
				t.Errorf("%T: %d, %v", model, n, err)
			}
			if n := affected(t)(rows.NewUpdate().Model(model).Set("slug = slug || 'x'").Where("TRUE").Exec(ctx)); n != 2 {
				t.Errorf("%T: %d rows", model, n)
			}
		}
	}, migrate)
}

// Jot is in a schema that search_path does not name.
type Jot struct {
	bun.BaseModel `bun:"table:app.jots,alias:j"`
	owned.Row
	ID   string `bun:"id,pk"`
	Body string `bun:"body"`
}

func TestM11_ATableInASchemaOfItsOwn(t *testing.T) {
	db := dbtest.Postgres(t, migrate)
	w := world{tables: owned.New(owned.Config{Tables: []owned.Table{{Model: (*Jot)(nil)}}}), accounts: newAccounts(), db: db}
	for _, q := range []string{
		"CREATE SCHEMA app",
		"CREATE TABLE app.jots (account_id TEXT, id TEXT, body TEXT, PRIMARY KEY (account_id, id))",
		"INSERT INTO app.jots VALUES ('17', '1', 'a'), ('18', '1', 'a')",
	} {
		if _, err := db.DB.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.tables.Bind(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	ctx := w.in(t, "17")
	for _, q := range []string{
		"SELECT COUNT(*) FROM app.jots", `DELETE FROM "app"."jots"`, "UPDATE jots SET body = 'x'", "INSERT INTO app.jots SELECT * FROM app.jots",
	} {
		if _, err := db.NewRaw(q).Exec(ctx); !errors.Is(err, owned.ErrUnscoped) {
			t.Errorf("%s: %v", q, err)
		}
	}
	rows := w.tables.For(ctx, db)
	_, err := rows.NewInsert().Model(&Jot{ID: "2"}).Exec(ctx)
	if n := affected(t)(rows.NewUpdate().Model((*Jot)(nil)).Set("body = 'x'").Where("TRUE").Exec(ctx)); n != 2 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	if n := affected(t)(rows.NewDelete().Model((*Jot)(nil)).Where("TRUE").Exec(ctx)); n != 2 {
		t.Errorf("%d rows", n)
	}
	// A foreign key to it is looked at, too.
	if _, err := db.DB.ExecContext(t.Context(), `CREATE UNIQUE INDEX loose ON app.jots (id);
		ALTER TABLE tags ADD FOREIGN KEY (id) REFERENCES app.jots (id)`); err != nil {
		t.Fatal(err)
	}
	err = owned.New(owned.Config{Tables: []owned.Table{{Model: (*Jot)(nil)}, {Model: (*Tag)(nil)}}}).Bind(t.Context(), db)
	if err == nil || !strings.Contains(err.Error(), "to app.jots must carry the account") {
		t.Error(err)
	}
}
