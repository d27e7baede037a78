package owned_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// on runs fn with the account "17" entered on everything a query can run on.
func on(t *testing.T, w world, fn func(t *testing.T, ctx context.Context, db *owned.DB)) {
	t.Helper()
	ctx := w.in(t, "17")
	run := func(name string, fn func(t *testing.T)) {
		w.fill(t)
		t.Run(name, fn)
	}
	run("pool", func(t *testing.T) { fn(t, ctx, w.tables.For(ctx, w.db)) })
	run("conn", func(t *testing.T) {
		conn, err := w.db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		fn(t, ctx, w.tables.For(ctx, conn))
	})
	run("host's transaction", func(t *testing.T) {
		tx, err := w.db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		fn(t, ctx, w.tables.For(ctx, tx))
	})
	run("pointers to them", func(t *testing.T) {
		conn, err := w.db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		fn(t, ctx, w.tables.For(ctx, &conn))
		_ = conn.Close()
		w.fill(t)
		tx, err := w.db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		fn(t, ctx, w.tables.For(ctx, &tx))
	})
	run("another tool's transaction", func(t *testing.T) {
		tx, err := w.db.DB.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		fn(t, ctx, w.tables.For(ctx, tenancy.WrapTx(w.db, tx)))
	})
	run("its own transaction", func(t *testing.T) {
		err := w.tables.For(ctx, w.db).RunInTx(ctx, func(ctx context.Context, db *owned.DB) error {
			fn(t, ctx, db)
			return errors.New("undo")
		})
		if err == nil || err.Error() != "undo" {
			t.Error(err)
		}
	})
}

func TestM11_EveryWayOfReadingShowsOneAccount(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		on(t, w, func(t *testing.T, ctx context.Context, db *owned.DB) {
			check := func(what string, got, want any, err error) {
				t.Helper()
				if err != nil {
					t.Errorf("%s: %v", what, err)
				} else if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s: %s", what, d)
				}
			}
			all := func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("1 = 0").WhereOr("1 = 1") }
			mine := []string{"17-1", "17-2"}

			var ids []string
			err := all(db.NewSelect().Model((*Site)(nil)).Column("id").Order("id")).Scan(ctx, &ids)
			check("scan", ids, mine, err)

			n, err := all(db.NewSelect().Model((*Site)(nil))).Count(ctx)
			check("count", n, int64(2), err)

			there, err := db.NewSelect().Model((*Site)(nil)).Where("id = '18-1'").Exists(ctx)
			check("exists", there, false, err)

			there, err = db.NewSelect().Model(&Site{Row: owned.Row{AccountID: "18"}, ID: "18-1"}).WherePK().Exists(ctx)
			check("exists by key", there, false, err)

			rows, err := all(db.NewSelect().Model((*Site)(nil)).Column("id")).Rows(ctx)
			n = 0
			if err == nil {
				for rows.Next() {
					n++
				}
				err = errors.Join(rows.Err(), rows.Close())
			}
			check("rows", n, int64(2), err)

			var sites []Site
			n, err = all(db.NewSelect().Model(&sites)).Limit(1).ScanAndCount(ctx)
			check("scan and count", []int64{n, int64(len(sites))}, []int64{2, 1}, err)

			sites = nil
			err = all(db.NewSelect().Model(&sites).Relation("Of").Relation("Sectors").Relation("Tags")).OrderExpr("s.id").Scan(ctx)
			check("relations", len(sites), 2, err)
			if err == nil {
				check("has many", len(sites[0].Sectors), 1, nil)
				check("many to many", len(sites[0].Tags)+len(sites[1].Tags), 1, nil)
				check("what belongs to nobody", sites[0].Of.Name, "bread", nil)
			}

			var sectors []Sector
			err = all(db.NewSelect().Model(&sectors).Relation("Site")).Order("sector.id").Scan(ctx)
			check("belongs to", len(sectors), 2, err)

			sub := db.NewSelect().Model((*Site)(nil)).Column("id")
			n, err = all(db.NewSelect().Model((*Sector)(nil)).Where("site_id IN (?)", sub)).Count(ctx)
			check("sub-query", n, int64(2), err)

			n, err = all(db.NewSelect().Model((*Sector)(nil)).Where("EXISTS (?)",
				db.NewSelect().Model((*Site)(nil)).Where("s.account_id <> '17'"))).Count(ctx)
			check("sub-query on others", n, int64(2), err)

			n, err = db.NewSelect().With("x", db.NewSelect().Model((*Site)(nil))).TableExpr("x").Count(ctx)
			check("with", n, int64(2), err)

			ids = nil
			err = db.NewSelect().Model((*Site)(nil)).Column("id").Union(db.NewSelect().Model((*Site)(nil)).Column("id")).Scan(ctx, &ids)
			check("union", len(ids), 2, err)

			n, err = db.NewSelect().TableExpr("? AS x", db.Table((*Site)(nil))).Count(ctx)
			check("table in an expression", n, int64(2), err)

			err = db.NewRaw("SELECT COUNT(*) FROM ? AS x JOIN ? AS y ON y.site_id = x.id", db.Table((*Site)(nil)), db.Table(&Sector{})).Scan(ctx, &n)
			check("raw", n, int64(2), err)

			var total int64
			err = db.NewSelect().Model((*Order)(nil)).ColumnExpr("SUM(total)").Scan(ctx, &total)
			check("a bigint account", total, int64(17), err)

			n, err = db.NewSelect().Model((*Site)(nil)).WhereAllWithDeleted().Count(ctx)
			check("with the deleted", n, int64(2), err)

			n, err = db.NewSelect().Model((*Industry)(nil)).Where("sites = 0").Count(ctx)
			check("a column named like an owned table", n, int64(1), err)
		})
	})
}

func TestM11_WithoutAnAccountNothingIsShown(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		ctx := t.Context()
		for name, db := range map[string]*owned.DB{
			"no account": w.tables.For(ctx, w.db),
			"not bound":  newTables().For(w.in(t, "17"), w.db),
		} {
			want := owned.ErrUnscoped
			if name == "not bound" {
				want = owned.ErrUnbound
			}
			var sites []Site
			n, err1 := db.NewSelect().Model((*Site)(nil)).Count(ctx)
			yes, err2 := db.NewSelect().Model((*Site)(nil)).Exists(ctx)
			_, err3 := db.NewSelect().Model((*Site)(nil)).Rows(ctx)
			_, err4 := db.NewInsert().Model(&Site{ID: "x"}).Exec(ctx)
			_, err5 := db.NewUpdate().Model((*Site)(nil)).Set("slug = 'x'").Where("TRUE").Exec(ctx)
			_, err6 := db.NewDelete().Model((*Site)(nil)).Where("TRUE").Exec(ctx)
			_, err7 := db.NewRaw("SELECT 1").Exec(ctx)
			_, err8 := db.NewSelect().TableExpr("? AS x", db.Table((*Site)(nil))).Count(ctx)
			err9 := db.RunInTx(ctx, func(context.Context, *owned.DB) error { return nil })
			for i, err := range []error{db.NewSelect().Model(&sites).Scan(ctx), err1, err2, err3, err4, err5, err6, err7, err8, err9} {
				if !errors.Is(err, want) {
					t.Errorf("%s: %d: %v", name, i, err)
				}
			}
			if n != 0 || yes || sites != nil {
				t.Errorf("%s: %d, %v, %v", name, n, yes, sites)
			}
		}
	})
}

func TestM11_AcrossAccountsWithAReason(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		if _, err := w.accounts.System(t.Context(), w.db, someone, " "); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("without a reason: %v", err)
		}
		for _, kind := range []tenancy.ActorKind{tenancy.ActorUser, tenancy.ActorKey, "x"} {
			if _, err := w.accounts.System(t.Context(), w.db, tenancy.Actor{Kind: kind, ID: "x"}, "curious"); !errors.Is(err, tenancy.ErrForbidden) {
				t.Errorf("%s: %v", kind, err)
			}
		}
		before, err := w.accounts.Audits(t.Context(), w.db, tenancy.AuditLog{})
		if err != nil {
			t.Fatal(err)
		}
		ctx := w.across(t)
		db := w.tables.For(ctx, w.db)
		n, err := db.NewSelect().Model((*Site)(nil)).Count(ctx)
		m, err2 := db.NewSelect().Model((*Order)(nil)).Count(ctx)
		_, err3 := db.NewUpdate().Model((*Site)(nil)).Set("slug = slug || 'x'").Where("TRUE").Exec(ctx)
		_, err4 := w.db.NewRaw("UPDATE sites SET industry = 2").Exec(ctx)
		if n != 4 || m != 2 || errors.Join(err, err2, err3, err4) != nil {
			t.Error(n, m, err, err2, err3, err4)
		}
		log, err := w.accounts.Audits(t.Context(), w.db, tenancy.AuditLog{})
		if err != nil || len(log) != len(before)+1 || log[0].Action != "tenancy.system" || log[0].Reason == "" || log[0].Actor != someone {
			t.Errorf("audit: %v, %v", log, err)
		}
		if _, ok := tenancy.Lookup(ctx); ok {
			t.Error("it entered an account")
		}
		back, err := w.accounts.Enter(ctx, w.db, "17", someone, 0)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := w.tables.For(back, w.db).NewSelect().Model((*Site)(nil)).Count(back); n != 2 || err != nil {
			t.Error(n, err)
		}
	})
}
