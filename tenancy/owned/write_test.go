package owned_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// theirs is everything account 18 has, and how many rows there are of any account.
func theirs(t *testing.T, w world) []string {
	t.Helper()
	ctx := w.across(t)
	var out []string
	err := w.db.NewRaw(`SELECT 'site:' || id || ':' || slug || ':' || COALESCE(CAST(deleted_at AS TEXT), '') AS x FROM sites WHERE account_id = '18'
		UNION ALL SELECT 'sector:' || id || ':' || site_id || ':' || name FROM sectors WHERE account_id = '18'
		UNION ALL SELECT 'tag:' || id FROM tags WHERE account_id = '18'
		UNION ALL SELECT 'order:' || CAST(id AS TEXT) || ':' || CAST(total AS TEXT) FROM orders WHERE org_id = 18
		ORDER BY 1`).Scan(ctx, &out)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func affected(t *testing.T) func(sql.Result, error) int64 {
	return func(res sql.Result, err error) int64 {
		t.Helper()
		if err != nil {
			t.Error(err)
			return -1
		}
		n, err := res.RowsAffected()
		if err != nil {
			t.Error(err)
		}
		return n
	}
}

func TestM11_InsertsAreStampedOrRefused(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		before := theirs(t, w)
		on(t, w, func(t *testing.T, ctx context.Context, db *owned.DB) {
			site := Site{ID: "new", Slug: "n"}
			if _, err := db.NewInsert().Model(&site).Exec(ctx); err != nil || site.AccountID != "17" {
				t.Error(site, err)
			}
			order := Order{ID: 2, Total: 5}
			if err := db.NewInsert().Model(&order).Returning("*").Scan(ctx); err != nil || order.Org != 17 {
				t.Error(order, err)
			}
			many := []*Site{{ID: "new1", Slug: "n1"}, {Row: owned.Row{AccountID: "17"}, ID: "new2", Slug: "n2"}}
			if _, err := db.NewInsert().Model(&many).Column("id", "slug", "industry").Exec(ctx); err != nil || many[0].AccountID != "17" {
				t.Error(err)
			}
			for name, model := range map[string]any{
				"one":           &Site{Row: owned.Row{AccountID: "18"}, ID: "new3"},
				"one in many":   &[]Site{{ID: "new3"}, {Row: owned.Row{AccountID: "18"}, ID: "new4"}, {ID: "new5"}},
				"pointers":      &[]*Site{{ID: "new3"}, {Row: owned.Row{AccountID: "18"}, ID: "new4"}},
				"a number":      &Order{Org: 18, ID: 9},
				"another case":  &Site{Row: owned.Row{AccountID: "17 "}, ID: "new3"},
				"a quote in it": &Site{Row: owned.Row{AccountID: "17'"}, ID: "new3"},
			} {
				if _, err := db.NewInsert().Model(model).Exec(ctx); err != owned.ErrForeign { //nolint:errorlint // nothing beside it: a client reads it
					t.Errorf("%s: %v", name, err)
				}
			}
			one := db.NewInsert().Model(&Site{ID: "new8", Slug: "n8"}).Column("id", "slug").Column("account_id").Column("industry")
			if n := affected(t)(one.Exec(ctx)); n != 1 {
				t.Errorf("columns named one after the other: %d rows", n)
			}
			if _, err := db.NewInsert().Column("id", "slug", "industry").Model(&Site{ID: "new9"}).Exec(ctx); err == nil || !strings.Contains(err.Error(), "call Model first") {
				t.Errorf("columns before the model: %v", err)
			}
			if _, err := db.NewInsert().Model(Site{ID: "new9"}).Exec(ctx); err == nil {
				t.Error("a model that is no pointer was written")
			}
			late := &Site{ID: "new6"}
			q := db.NewInsert().Model(late)
			late.AccountID = "18"
			if _, err := q.Exec(ctx); !errors.Is(err, owned.ErrForeign) {
				t.Errorf("changed after Model: %v", err)
			}
			if _, err := db.NewInsert().Model(&Site{ID: "new7"}).Value("account_id", "?", "18").Exec(ctx); !errors.Is(err, owned.ErrForeign) {
				t.Errorf("by Value: %v", err)
			}
			if _, err := db.NewInsert().Model(&Industry{ID: 2}).Exec(ctx); !errors.Is(err, owned.ErrNotRegistered) {
				t.Errorf("what belongs to nobody: %v", err)
			}
			if n, err := db.NewSelect().Model((*Site)(nil)).Where("id LIKE 'new%'").Count(ctx); n != 4 || err != nil {
				t.Error(n, err)
			}
		})
		if d := cmp.Diff(before, theirs(t, w)); d != "" {
			t.Error(d)
		}
	})
}

func TestM11_AnUpsertNeverTouchesAnotherAccountsRow(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		// As somebody forgot the account in a key, after the program was bound.
		if _, err := w.db.NewRaw("CREATE UNIQUE INDEX careless ON sites (id)").Exec(w.across(t)); err != nil {
			t.Fatal(err)
		}
		before := theirs(t, w)
		on(t, w, func(t *testing.T, ctx context.Context, db *owned.DB) {
			up := func(site Site) *owned.InsertQuery {
				return db.NewInsert().Model(&site).On("CONFLICT (id) DO UPDATE").Set("slug = EXCLUDED.slug")
			}
			if n := affected(t)(up(Site{ID: "18-1", Slug: "mine"}).Exec(ctx)); n != 0 {
				t.Errorf("%d rows", n)
			}
			if n := affected(t)(up(Site{ID: "18-1", Slug: "mine"}).Where("1 = 0").WhereOr("1 = 1").Exec(ctx)); n != 0 {
				t.Errorf("%d rows with an OR", n)
			}
			if n := affected(t)(up(Site{ID: "17-1", Slug: "mine"}).Where("s.slug = 'a'").Exec(ctx)); n != 1 {
				t.Errorf("%d rows of its own", n)
			}
			if _, err := up(Site{ID: "17-1"}).Set("account_id = '18'").Exec(ctx); !errors.Is(err, owned.ErrForeign) {
				t.Errorf("moved: %v", err)
			}
			to := func(on string) error {
				return second(db.NewInsert().Model(&Order{ID: 1}).On(on).Exec(ctx))
			}
			if err := to("CONFLICT (org_id, id) DO UPDATE SET org_id = 18, id = 9"); !errors.Is(err, owned.ErrForeign) {
				t.Errorf("moved by On: %v", err)
			}
			if err := to("CONFLICT (org_id, id) DO UPDATE SET total = EXCLUDED.org_id"); err != nil {
				t.Errorf("SET in On: %v", err)
			}
		})
		if d := cmp.Diff(before, theirs(t, w)); d != "" {
			t.Error(d)
		}
	})
}

func TestM11_UpdatesAndDeletesStayInTheAccount(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		before := theirs(t, w)
		on(t, w, func(t *testing.T, ctx context.Context, db *owned.DB) {
			foreign := &Site{Row: owned.Row{AccountID: "18"}, ID: "18-1", Slug: "z"}
			upd := func() *owned.UpdateQuery {
				return db.NewUpdate().Model((*Site)(nil)).Set("slug = slug || 'x'")
			}
			for name, q := range map[string]*owned.UpdateQuery{
				"all":            upd().Where("TRUE"),
				"or":             upd().Where("id = '17-1'").WhereOr("1 = 1"),
				"group":          upd().Where("1 = 0").WhereGroup(" OR ", func(w owned.Where) owned.Where { return w.Where("1 = 0").WhereOr("id <> ?", "") }),
				"model with key": db.NewUpdate().Model(&Site{ID: "17-1", Slug: "q"}).Column("slug").WherePK().WhereOr("TRUE"),
			} {
				want := int64(2)
				if name == "model with key" {
					want = 1
				}
				if n := affected(t)(q.Exec(ctx)); n != want {
					t.Errorf("%s: %d rows", name, n)
				}
			}
			for name, q := range map[string]*owned.UpdateQuery{
				"foreign row":        db.NewUpdate().Model(foreign).WherePK(),
				"moved by Set":       upd().Set("account_id = '18'").Where("TRUE"),
				"moved by Set, both": db.NewUpdate().Model((*Site)(nil)).Set(`(slug, "Account_ID") = ('x', '18')`).Where("TRUE"),
				"moved by a name":    upd().Set("? = ?", bun.Ident("account_id"), "18").Where("TRUE"),
				"moved by SetColumn": upd().SetColumn("account_id", "'18'").Where("TRUE"),
				"moved by Value":     db.NewUpdate().Model(&Site{ID: "17-1"}).Value("account_id", "'18'").WherePK(),
				"moved by Column":    db.NewUpdate().Model(&Site{ID: "17-1"}).Column("account_id", "slug").WherePK(),
				"moved beside":       db.NewUpdate().Model((*Order)(nil)).SetColumn("total", "1, org_id = 18, id = 9").Where("TRUE"),
				"moved beside Value": db.NewUpdate().Model(&Order{ID: 1}).Value("total", "1, org_id = 18, id = 9").WherePK(),
				"moved by an ident":  db.NewUpdate().Model((*Order)(nil)).SetColumn("?", "18", bun.Ident("org_id")).Where("TRUE"),
				"moved by a field":   db.NewUpdate().Model((*Order)(nil)).Set("?col = 18", struct{ Col bun.Ident }{"org_id"}).Where("TRUE"),
				"moved by a string":  db.NewUpdate().Model((*Order)(nil)).Set("'org_id' = 18, id = 9").Where("TRUE"), // SQLite takes it for a name
				"bulk":               db.NewUpdate().Model(&[]*Site{{ID: "17-1"}, foreign}).Column("slug").Bulk(),
			} {
				if _, err := q.Exec(ctx); !errors.Is(err, owned.ErrForeign) {
					t.Errorf("%s: %v", name, err)
				}
			}
			for _, sly := range []string{"TRUE) OR (TRUE", "TRUE)) OR ((TRUE", "TRUE) --", "TRUE /*", "TRUE; DELETE FROM sites", "id = '", "(TRUE"} {
				if _, err := upd().Where(sly).Exec(ctx); err == nil {
					t.Errorf("ran with %s", sly)
				}
				if _, err := upd().WhereGroup(" OR ", func(w owned.Where) owned.Where { return w.WhereOr(sly) }).Exec(ctx); err == nil {
					t.Errorf("ran with %s in a group", sly)
				}
				if _, err := db.NewDelete().Model((*Site)(nil)).Where("TRUE").WhereOr(sly).Exec(ctx); err == nil {
					t.Errorf("deleted with %s", sly)
				}
			}
			for _, sly := range []string{"slug = 'x' WHERE TRUE --", "slug = 'x' WHERE 1 = 1 OR slug = 'y'", "slug = ("} {
				if _, err := db.NewUpdate().Model((*Site)(nil)).Set(sly).Where("TRUE").Exec(ctx); err == nil {
					t.Errorf("ran with %s", sly)
				}
			}
			for _, sly := range []string{"TRUE) OR (TRUE", "TRUE)) OR ((TRUE", "TRUE --"} {
				if _, err := upd().Where("?", bun.Safe(sly)).Exec(ctx); err == nil {
					t.Errorf("ran with the argument %s", sly)
				}
			}
			if _, err := upd().Where("?x", struct{ X bun.Safe }{"TRUE)) OR ((TRUE"}).Exec(ctx); err == nil {
				t.Error("ran with a field that closes the parentheses")
			}
			if _, err := db.NewDelete().Model((*Sector)(nil)).Where("name = '?'", " = '')) OR ((TRUE)) --").Exec(ctx); err == nil {
				t.Error("ran with a value that closes the quotes around it")
			}
			// What only reads the account's column moves nothing.
			if n := affected(t)(db.NewUpdate().Model((*Site)(nil)).Where("id = '17-2'").
				Set("industry = (?)", db.NewSelect().Model((*Sector)(nil)).ColumnExpr("COUNT(*)")).
				Set("slug = account_id || slug").Exec(ctx)); n != 1 {
				t.Errorf("read: %d rows", n)
			}
			if _, err := upd().Exec(ctx); err == nil {
				t.Error("an update without a condition ran")
			}
			if n := affected(t)(db.NewUpdate().Model(&[]*Site{{ID: "17-1", Slug: "b1"}, {ID: "18-1", Slug: "b2"}}).Column("slug").Bulk().Exec(ctx)); n != 1 {
				t.Errorf("bulk: %d rows", n)
			}
			var slugs []string
			if err := upd().Where("id = '17-2'").Returning("slug").Scan(ctx, &slugs); err != nil || len(slugs) != 1 {
				t.Error(slugs, err)
			}
			again := db.NewUpdate().Model((*Order)(nil)).Set("total = total + 1").Where("id = 1")
			for range 2 {
				if n := affected(t)(again.Exec(ctx)); n != 1 {
					t.Errorf("orders: %d rows", n)
				}
			}

			if _, err := db.NewDelete().Model(foreign).WherePK().Exec(ctx); !errors.Is(err, owned.ErrForeign) {
				t.Error(err)
			}
			if _, err := db.NewDelete().Model((*Site)(nil)).Exec(ctx); err == nil {
				t.Error("a delete without a condition ran")
			}
			if n := affected(t)(db.NewDelete().Model((*Site)(nil)).Where("id = '18-1'").WhereOr("1 = 1").Exec(ctx)); n != 2 {
				t.Errorf("soft delete: %d rows", n)
			}
			if n, err := db.NewSelect().Model((*Site)(nil)).WhereDeleted().Count(ctx); n != 2 || err != nil {
				t.Error(n, err)
			}
			if n := affected(t)(db.NewUpdate().Model((*Site)(nil)).Set("deleted_at = NULL").Where("1 = 1").WhereDeleted().Exec(ctx)); n != 2 {
				t.Errorf("restore: %d rows", n)
			}
			if n := affected(t)(db.NewDelete().Model((*Sector)(nil)).Where("1 = 0").WhereOr("id <> ''").Exec(ctx)); n != 2 {
				t.Errorf("delete: %d rows", n)
			}
			if n := affected(t)(db.NewDelete().Model((*SiteTag)(nil)).Where("TRUE").Exec(ctx)); n != 1 {
				t.Errorf("delete: %d rows", n)
			}
			if n := affected(t)(db.NewDelete().Model((*Site)(nil)).Where("1 = 1").ForceDelete().Exec(ctx)); n != 2 {
				t.Errorf("force delete: %d rows", n)
			}
		})
		if d := cmp.Diff(before, theirs(t, w)); d != "" {
			t.Error(d)
		}
	})
}

// Hooked is the orders' table with hooks that do what they should not.
type Hooked struct {
	bun.BaseModel `bun:"table:orders,alias:o"`

	Org   int64 `bun:"org_id,pk"`
	ID    int64 `bun:"id,pk"`
	Total int64 `bun:"total"`
}

func (h *Hooked) BeforeAppendModel(_ context.Context, q bun.Query) error {
	if _, ok := q.(*bun.InsertQuery); ok && h.Total != 0 {
		h.Org = h.Total
	}
	return nil
}

func (*Hooked) BeforeUpdate(ctx context.Context, q *bun.UpdateQuery) error {
	if set, ok := ctx.Value(hookKey{}).(string); ok {
		q.Set(set)
	} else {
		q.WhereOr("TRUE")
	}
	return nil
}

func (*Hooked) BeforeDelete(_ context.Context, q *bun.DeleteQuery) error {
	q.WhereOr("TRUE")
	return nil
}

type hookKey struct{}

func TestM11_AHookOfTheModelsDoesNotReachOut(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		w := world{tables: owned.New(owned.Config{Tables: []owned.Table{{Model: (*Hooked)(nil), Account: "org_id"}}}), accounts: newAccounts(), db: db}
		if err := w.tables.Bind(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		w.fill(t)
		before := theirs(t, w)
		ctx := w.in(t, "17")
		rows := w.tables.For(ctx, db)
		upd := func(set string) error {
			ctx := context.WithValue(ctx, hookKey{}, set)
			return second(rows.NewUpdate().Model((*Hooked)(nil)).Set("total = 1").Where("id = 1").WhereOr("id = 2").Exec(ctx))
		}
		for what, err := range map[string]error{
			"another account": second(rows.NewInsert().Model(&Hooked{ID: 2, Total: 18}).Exec(ctx)),
			"in many":         second(rows.NewInsert().Model(&[]*Hooked{{ID: 2}, {ID: 3, Total: 18}}).Exec(ctx)),
			"moved":           upd("org_id = 18"),
		} {
			if !errors.Is(err, owned.ErrForeign) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for what, err := range map[string]error{
			"update": second(rows.NewUpdate().Model((*Hooked)(nil)).Set("total = 1").Where("id = 1").Exec(ctx)),
			"delete": second(rows.NewDelete().Model((*Hooked)(nil)).Where("id = 1").Exec(ctx)),
		} {
			if !errors.Is(err, owned.ErrUnscoped) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if d := cmp.Diff(before, theirs(t, w)); d != "" {
			t.Error(d)
		}
		// What hooks are for.
		_, err := rows.NewInsert().Model(&Hooked{ID: 2}).
			On("CONFLICT (org_id, id) DO UPDATE").Set("total = EXCLUDED.total").Where("o.total = 1").WhereOr("o.total = 2").Exec(ctx)
		if err := errors.Join(err, upd("id = id")); err != nil {
			t.Error(err)
		}
	}, migrate)
}
