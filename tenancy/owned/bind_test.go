package owned_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy/owned"
)

type noColumn struct {
	bun.BaseModel `bun:"table:tags"`
	ID            string `bun:"id,pk"`
}

type lateKey struct {
	bun.BaseModel `bun:"table:tags"`
	ID            string `bun:"id,pk"`
	AccountID     string `bun:"account_id,pk"`
}

type noKey struct {
	bun.BaseModel `bun:"table:tags"`
	AccountID     string `bun:"account_id"`
	ID            string `bun:"id,pk"`
}

type looseUnique struct {
	bun.BaseModel `bun:"table:tags"`
	owned.Row
	ID   string `bun:"id,pk"`
	Slug string `bun:"slug,unique"`
}

type looseGroup struct {
	bun.BaseModel `bun:"table:tags"`
	owned.Row
	ID   string `bun:"id,pk"`
	Slug string `bun:"slug,unique:g"`
	Zone string `bun:"zone,unique:g"`
}

func TestBind_RefusesAModelWhoseKeysReachIntoOtherAccounts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		for want, tab := range map[string]owned.Table{
			"has no column account_id":                       {Model: (*noColumn)(nil)},
			"the primary key of the model":                   {Model: (*lateKey)(nil)},
			"primary key of the model must":                  {Model: (*noKey)(nil)},
			"the unique key over slug":                       {Model: (*looseUnique)(nil)},
			"unique key over slug in the model must":         {Model: (*looseGroup)(nil)},
			"has no column org":                              {Model: (*Tag)(nil), Account: "org"},
			"a model is a nil pointer to a struct":           {Model: Tag{}},
			"a model is a nil pointer to a struct: (*Site)(": {},
			"made of a-z":                                    {Model: (*Tag)(nil), Account: `x" OR "x`},
		} {
			err := owned.New(owned.Config{Tables: []owned.Table{tab}}).Bind(t.Context(), db)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", want, err)
			}
		}
		err := owned.New(owned.Config{Tables: []owned.Table{{Model: (*Tag)(nil)}, {Model: (*Tag)(nil)}}}).Bind(t.Context(), db)
		if err == nil || !strings.Contains(err.Error(), "twice") {
			t.Error(err)
		}
	}, migrate)
}

func TestBind_RefusesATableWhoseKeysReachIntoOtherAccounts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		ctx := t.Context()
		for want, ddl := range map[string][]string{
			"tags is not there": {"DROP TABLE site_tags", "DROP TABLE tags"},
			"the key careless must begin": {
				"CREATE UNIQUE INDEX careless ON tags (id)", "CREATE INDEX fine ON tags (id)",
			},
			"the key by_expression must begin": {"CREATE UNIQUE INDEX by_expression ON tags (lower(id), account_id)"},
			"primary key":                      {"DROP TABLE site_tags", "DROP TABLE tags", "CREATE TABLE tags (id TEXT PRIMARY KEY, account_id TEXT)"},
			"to sites must carry the account": {
				"DROP TABLE sectors", "CREATE UNIQUE INDEX loose ON sites (id)",
				"CREATE TABLE sectors (account_id TEXT, id TEXT, site_id TEXT REFERENCES sites (id), name TEXT, PRIMARY KEY (account_id, id))",
			},
		} {
			t.Run(want, func(t *testing.T) {
				dbtest.Each(t, func(t *testing.T, db *bun.DB) {
					for _, q := range ddl {
						if _, err := db.NewRaw(q).Exec(ctx); err != nil {
							t.Fatal(err)
						}
					}
					if err := newTables().Bind(ctx, db); err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "tags_pkey", "primary key"), want) {
						t.Error(err)
					}
				}, migrate)
			})
		}
		tables := newTables()
		if err := tables.Verify(ctx, db); err == nil {
			t.Error("verified before it was bound")
		}
		for range 2 {
			if err := tables.Bind(ctx, db); err != nil {
				t.Fatal(err)
			}
		}
		if err := tables.Verify(ctx, db); err != nil {
			t.Error(err)
		}
		if n := len(tables.Registered()); n != 5 {
			t.Error(n)
		}
	}, migrate)
}

func TestBind_OneRegistryForADatabase(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		if err := newTables().Bind(t.Context(), w.db); err == nil || !strings.Contains(err.Error(), "bound already") {
			t.Errorf("another registry: %v", err)
		}
		if err := w.tables.BindOwner(t.Context(), w.db); err != nil {
			t.Errorf("as the owner, without row-level security: %v", err)
		}
		other, err := dbtest.Open(dbtest.DSN(w.db))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dbtest.Close(other) })
		twin := bun.NewDB(other.DB, w.db.Dialect()) // shares what bun knows of the tables, and has no guard
		ctx := w.in(t, "17")
		if _, err := w.tables.For(ctx, twin).NewSelect().Model((*Site)(nil)).Count(ctx); !errors.Is(err, owned.ErrUnbound) {
			t.Errorf("a pool that was not bound: %v", err)
		}
		if err := w.tables.Bind(t.Context(), twin); err != nil {
			t.Fatal(err)
		}
		if n, err := w.tables.For(ctx, twin).NewSelect().Model((*Site)(nil)).Count(ctx); n != 2 || err != nil {
			t.Error(n, err)
		}
		if _, err := twin.NewRaw("DELETE FROM sites").Exec(ctx); !errors.Is(err, owned.ErrUnscoped) {
			t.Error(err)
		}
	})
}

func TestBind_SQLiteHasNoRowSecurity(t *testing.T) {
	if err := owned.New(owned.Config{RowSecurity: true}).Bind(t.Context(), dbtest.SQLite(t)); err == nil {
		t.Error("bound")
	}
}
