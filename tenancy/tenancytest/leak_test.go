package tenancytest_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) { dbtest.Main(m, nil) }

// Industry belongs to nobody.
type Industry struct {
	bun.BaseModel `bun:"table:industries"`

	ID   int64  `bun:"id,pk"`
	Name string `bun:"name"`

	Sites []*Site `bun:"rel:has-many,join:id=industry"`
}

type Site struct {
	bun.BaseModel `bun:"table:sites,alias:s"`
	owned.Row

	ID        string         `bun:"id,pk"`
	Slug      string         `bun:"slug"`
	Status    string         `bun:"status"`
	Industry  int64          `bun:"industry"`
	Meta      map[string]any `bun:"meta"`
	Score     *float64       `bun:"score"`
	Blob      []byte         `bun:"blob"`
	CreatedAt time.Time      `bun:"created_at"`
	DeletedAt time.Time      `bun:"deleted_at,soft_delete,nullzero"`

	Of      *Industry `bun:"rel:belongs-to,join:industry=id"`
	Sectors []*Sector `bun:"rel:has-many,join:id=site_id"` // by id alone, as a careless model does
	Tags    []*Tag    `bun:"m2m:site_tags,join:Site=Tag"`
}

type Sector struct {
	bun.BaseModel `bun:"table:sectors"`
	owned.Row

	ID     string  `bun:"id,pk"`
	SiteID string  `bun:"site_id"`
	Parent *string `bun:"parent"`
	Name   string  `bun:"name"`
	Open   bool    `bun:"open"`

	Site *Site `bun:"rel:belongs-to,join:site_id=id"`
}

type Tag struct {
	bun.BaseModel `bun:"table:tags"`
	owned.Row

	ID string `bun:"id,pk"`
}

type SiteTag struct {
	bun.BaseModel `bun:"table:site_tags"`
	owned.Row

	SiteID string `bun:"site_id,pk"`
	TagID  string `bun:"tag_id,pk"`

	Site *Site `bun:"rel:belongs-to,join:account_id=account_id,join:site_id=id"`
	Tag  *Tag  `bun:"rel:belongs-to,join:account_id=account_id,join:tag_id=id"`
}

// Setting is one row an account.
type Setting struct {
	bun.BaseModel `bun:"table:settings"`
	owned.Row

	Color string `bun:"color"`
}

var sites = []string{
	`CREATE TABLE industries (id BIGINT PRIMARY KEY, name TEXT NOT NULL)`,
	`CREATE TABLE sites (account_id TEXT NOT NULL REFERENCES tenancy_accounts (account_id), id TEXT NOT NULL, slug TEXT NOT NULL,
		status TEXT NOT NULL CHECK (status IN ('draft', 'live')), industry BIGINT NOT NULL REFERENCES industries (id), meta JSON,
		score DOUBLE PRECISION, blob ?0 NOT NULL, created_at TIMESTAMP NOT NULL, deleted_at TIMESTAMP, PRIMARY KEY (account_id, id))`,
	`CREATE UNIQUE INDEX sites_slug ON sites (account_id, slug) WHERE deleted_at IS NULL`,
	`CREATE TABLE sectors (account_id TEXT NOT NULL, id TEXT NOT NULL, site_id TEXT NOT NULL, parent TEXT, name TEXT NOT NULL, open BOOLEAN NOT NULL,
		PRIMARY KEY (account_id, id), UNIQUE (account_id, site_id, name),
		FOREIGN KEY (account_id, site_id) REFERENCES sites (account_id, id),
		FOREIGN KEY (account_id, parent) REFERENCES sectors (account_id, id))`,
	`CREATE TABLE tags (account_id TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (account_id, id))`,
	`CREATE TABLE site_tags (account_id TEXT NOT NULL, site_id TEXT NOT NULL, tag_id TEXT NOT NULL,
		PRIMARY KEY (account_id, site_id, tag_id),
		FOREIGN KEY (account_id, site_id) REFERENCES sites (account_id, id),
		FOREIGN KEY (account_id, tag_id) REFERENCES tags (account_id, id))`,
	`CREATE TABLE settings (account_id TEXT PRIMARY KEY, color TEXT NOT NULL)`,
}

func siteTables(with ...func(cfg *owned.Config)) *owned.Tables {
	cfg := owned.Config{Tables: []owned.Table{
		{Model: (*Site)(nil)}, {Model: (*Sector)(nil)}, {Model: (*Tag)(nil)}, {Model: (*SiteTag)(nil)}, {Model: (*Setting)(nil)},
	}}
	for _, fn := range with {
		fn(&cfg)
	}
	return owned.New(cfg)
}

func migration(statements ...string) dbtest.Migrate {
	return func(ctx context.Context, db *bun.DB) error {
		db.RegisterModel((*SiteTag)(nil))
		for _, q := range statements {
			if _, err := db.NewRaw(q, blob(db)).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

func blob(db *bun.DB) bun.Safe {
	if db.Dialect().Name() == dialect.PG {
		return "BYTEA"
	}
	return "BLOB"
}

func TestM11_RunPassesWhatIsKeptApartAndLeavesTheDatabaseAsItWas(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		tenancytest.Run(t, db, siteTables(), &Site{Status: "live"}, (*Industry)(nil), (*Sector)(nil))
		for _, table := range []string{"industries", "sites", "sectors", "tags", "site_tags", "settings", "tenancy_accounts"} {
			var n int
			if err := db.DB.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil || n != 0 {
				t.Errorf("%s: %d rows, %v", table, n, err)
			}
		}
	}, tenancy.Migrate, migration(sites...))
}

// Order names its account by number, in a column of another name, and has a partner
// with a UUID.
type Order struct {
	bun.BaseModel `bun:"table:orders"`

	Org   int64 `bun:"org_id,pk"`
	ID    int64 `bun:"id,pk"`
	Total int64 `bun:"total"`
}

type Letter struct {
	bun.BaseModel `bun:"table:letters"`

	Tenant string          `bun:"tenant_id,pk,type:uuid"`
	ID     string          `bun:"id,pk,type:uuid"`
	Body   json.RawMessage `bun:"body"`
	Sent   *time.Time      `bun:"sent"`
	Note   sql.NullString  `bun:"note"`
	Count  uint16          `bun:"count"`
}

func TestM11_RunTakesAccountsOfAnyType(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		tenancytest.Run(t, db, owned.New(owned.Config{Tables: []owned.Table{
			{Model: (*Order)(nil), Account: "org_id"}, {Model: (*Tag)(nil)},
		}}))
	}, migration(sites[4], `CREATE TABLE orgs (id BIGINT PRIMARY KEY, name TEXT NOT NULL)`,
		`CREATE TABLE orders (org_id BIGINT NOT NULL REFERENCES orgs (id), id BIGINT NOT NULL, total BIGINT NOT NULL CHECK (total > 0), PRIMARY KEY (org_id, id))`))
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		tenancytest.Run(t, db, owned.New(owned.Config{Tables: []owned.Table{{Model: (*Letter)(nil), Account: "tenant_id"}}}))
	}, migration(`CREATE TABLE tenants (id UUID PRIMARY KEY, kind TEXT NOT NULL)`,
		`CREATE TABLE letters (tenant_id UUID NOT NULL REFERENCES tenants (id), id UUID NOT NULL, body JSON NOT NULL, sent TIMESTAMP, note TEXT, count INTEGER NOT NULL,
			PRIMARY KEY (tenant_id, id))`))
}

// Note is as plain as a model can be.
type Note struct {
	bun.BaseModel `bun:"table:notes"`
	owned.Row
	ID   string `bun:"id,pk"`
	Body string `bun:"body"`
}

const notes = "CREATE TABLE notes (account_id TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account_id, id))"

func noteTables() *owned.Tables {
	return owned.New(owned.Config{Tables: []owned.Table{{Model: (*Note)(nil)}}})
}

// findings is a test that may fail without failing this one.
type findings struct {
	testing.TB
	said []string
}

func (f *findings) Errorf(format string, args ...any) {
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

// leaks runs the kit where it has to fail, with every one of the words in one of its
// findings, and returns them.
func leaks(t *testing.T, db *bun.DB, tables *owned.Tables, models []any, words ...string) []string {
	t.Helper()
	f := &findings{TB: t}
	tenancytest.Run(f, db, tables, models...)
	all := strings.Join(f.said, "\n")
	if len(f.said) == 0 {
		t.Error("it passed")
	}
	for _, w := range words {
		if !strings.Contains(all, w) {
			t.Errorf("nothing says %q:\n%s", w, all)
		}
	}
	return f.said
}

func TestM11_RunReportsWhatNobodyRegistered(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		tables := noteTables()
		for _, models := range [][]any{{(*Tag)(nil)}, {}} {
			said := leaks(t, db, tables, models, "the table tags has the account's column account_id and no registered model")
			given := len(models) > 0
			if model := strings.Contains(strings.Join(said, "\n"), "the model tenancytest_test.Tag (table tags)"); model != given {
				t.Errorf("the model was given: %v; reported: %v", given, model)
			}
			for _, line := range said {
				if !strings.Contains(line, `tenancytest.Exempt("tags")`) || !strings.Contains(line, "owned.Config") {
					t.Errorf("it does not say what to do: %s", line)
				}
			}
		}
		tenancytest.Run(t, db, tables, (*Tag)(nil), tenancytest.Exempt("tags"))
	}, migration(notes, sites[4]))
}

func TestM11_RunReportsViewsOnRegisteredTables(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		tables := noteTables()
		leaks(t, db, tables, nil, "the view note_count shows the rows of notes")
		tenancytest.Run(t, db, tables, tenancytest.Exempt("note_count"))
	}, migration(notes, "CREATE VIEW note_count AS SELECT body, COUNT(*) AS n FROM notes GROUP BY body"))
}

func TestM11_RunReportsKeysThatReachIntoOtherAccounts(t *testing.T) {
	tags := sites[4]
	for want, ddl := range map[string][]string{
		"the key tags_id must begin with the account's column": {tags, "CREATE UNIQUE INDEX tags_id ON tags (id)"},
		"primary key": {"CREATE TABLE tags (account_id TEXT NOT NULL, id TEXT NOT NULL PRIMARY KEY)"},
		"must carry the account": {
			"CREATE TABLE sites (account_id TEXT NOT NULL, id TEXT NOT NULL UNIQUE, PRIMARY KEY (account_id, id))",
			"CREATE TABLE tags (account_id TEXT NOT NULL, id TEXT NOT NULL REFERENCES sites (id), PRIMARY KEY (account_id, id))",
		},
	} {
		dbtest.Each(t, func(t *testing.T, db *bun.DB) {
			registered := []owned.Table{{Model: (*Tag)(nil)}}
			if len(ddl) == 2 && want == "must carry the account" {
				registered = append(registered, owned.Table{Model: (*bareSite)(nil)})
			}
			words := want
			if want == "primary key" && db.Dialect().Name() == dialect.PG {
				words = "tags_pkey"
			}
			leaks(t, db, owned.New(owned.Config{Tables: registered}), nil, words)
		}, migration(ddl...))
	}
}

type bareSite struct {
	bun.BaseModel `bun:"table:sites"`
	owned.Row
	ID string `bun:"id,pk"`
}

// A trigger of the host's that forgets the account writes into that of somebody else.
func TestM11_RunSeesWhatWasWrittenElsewhere(t *testing.T) {
	for verb, says := range map[string][]string{
		"UPDATE": {"an update with WhereOr, on the pool", "a bulk update under the other's keys, in a transaction of the host's", "an upsert on the other's key, in RunInTx"},
		"INSERT": {"an insert without an account, under the other's key, on the pool", "a bulk insert without accounts, in RunInTx"},
		"DELETE": {"a delete with WhereOr, on the pool", "a delete of a row without an account, in a transaction of the host's"},
	} {
		dbtest.Each(t, func(t *testing.T, db *bun.DB) {
			row := "NEW"
			if verb == "DELETE" {
				row = "OLD"
			}
			touch := "UPDATE notes SET body = body || '!' WHERE account_id <> " + row + ".account_id"
			trigger(t, db, "notes", "AFTER "+verb, touch, "IF pg_trigger_depth() = 1 THEN "+touch+"; END IF")
			said := leaks(t, db, noteTables(), nil, says...)
			if !strings.Contains(strings.Join(said, "\n"), "rows of another account were changed:\n- account_id=acc_leak_a") {
				t.Error("it does not show the row")
			}
		}, migration(notes))
	}
}

func trigger(t *testing.T, db *bun.DB, table, when, sqlite, postgres string) {
	t.Helper()
	name := strings.ToLower(strings.ReplaceAll(when, " ", "_"))
	ddl := []string{"CREATE TRIGGER " + name + " " + when + " ON " + table + " BEGIN " + sqlite + "; END"}
	if db.Dialect().Name() == dialect.PG {
		ddl = []string{
			"CREATE FUNCTION " + name + "() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + postgres + "; RETURN NULL; END $$",
			"CREATE TRIGGER " + name + " " + when + " ON " + table + " FOR EACH ROW EXECUTE FUNCTION " + name + "()",
		}
	}
	for _, q := range ddl {
		if _, err := db.DB.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
}

// HookedNote reads with a hook of the host's that puts another account's row in place.
type HookedNote struct {
	bun.BaseModel `bun:"table:notes"`
	owned.Row
	ID   string `bun:"id,pk"`
	Body string `bun:"body"`
}

func (n *HookedNote) AfterScanRow(context.Context) error {
	n.AccountID = "acc_leak_a"
	return nil
}

func TestM11_RunSeesWhatWasReadElsewhere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		leaks(t, db, owned.New(owned.Config{Tables: []owned.Table{{Model: (*HookedNote)(nil)}}}), nil,
			"HookedNote (notes): Scan with WhereOr, on the pool: what belongs to another account was seen",
			"pages by offset, in RunInTx: what belongs to another account was seen",
			"an update that returns rows, in a transaction of the host's: what belongs to another account was seen")
	}, migration(notes))
}

func TestRun_SaysWhichRowItCannotMakeUp(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		tables := siteTables()
		leaks(t, db, tables, nil, "Site (sites): no row can be made up", "&Site{…}")
		leaks(t, db, owned.New(owned.Config{}), nil, "no table is registered")
		leaks(t, db, tables, []any{Site{}}, "Site is no model")
	}, tenancy.Migrate, migration(sites...))
}

// Shelf belongs to nobody, and to a library; Book stands on one.
type Shelf struct {
	bun.BaseModel `bun:"table:shelves"`

	Room string `bun:"room,pk"`
	No   int64  `bun:"no,pk"`
	Kind string `bun:"kind"`
}

type Book struct {
	bun.BaseModel `bun:"table:books"`
	owned.Row

	Room  string `bun:"room,pk"`
	No    int64  `bun:"no,pk"`
	Owner *int64 `bun:"owner"`
}

func TestRun_MakesUpWhatForeignKeysLeadTo(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		tables := owned.New(owned.Config{Tables: []owned.Table{{Model: (*Book)(nil)}}})
		leaks(t, db, tables, nil, "Book (books): no row can be made up: the parent in shelves")
		tenancytest.Run(t, db, tables, &Shelf{Kind: "open"})
		for table, want := range map[string]int{"rooms": 1, "shelves": 0, "people": 0, "books": 0} {
			var n int
			if err := db.DB.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil || n != want {
				t.Errorf("%s: %d rows, want %d, %v", table, n, want, err)
			}
		}
	}, migration(
		`CREATE TABLE rooms (name TEXT PRIMARY KEY, area DOUBLE PRECISION NOT NULL, since DATE NOT NULL, id UUID NOT NULL UNIQUE)`,
		`INSERT INTO rooms (name, area, since, id) VALUES ('hall', 20.5, '2026-01-01', '00000000-0000-4000-8000-0000000000ff')`,
		`CREATE TABLE shelves (room TEXT NOT NULL REFERENCES rooms (name), no BIGINT NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('open', 'closed')), PRIMARY KEY (room, no))`,
		`CREATE TABLE people (id BIGINT PRIMARY KEY, email TEXT NOT NULL UNIQUE, boss BIGINT REFERENCES people (id))`,
		`CREATE TABLE books (account_id TEXT NOT NULL, room TEXT NOT NULL, no BIGINT NOT NULL, owner BIGINT REFERENCES people (id),
			PRIMARY KEY (account_id, room, no), FOREIGN KEY (room, no) REFERENCES shelves (room, no))`))
}

// An append-only table takes no update and no delete: it is attacked with what is left.
func TestRun_LeavesOutWhatTheDatabaseRefusesToAnybody(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		for _, verb := range []string{"UPDATE", "DELETE"} {
			trigger(t, db, "notes", "BEFORE "+verb, "SELECT RAISE(ABORT, 'append-only')", "RAISE EXCEPTION 'append-only'")
		}
		tenancytest.Run(t, db, noteTables())
	}, migration(notes))
}

// Doc has comments that nothing but its model ties to it, and is embedded by pointer.
type Doc struct {
	bun.BaseModel `bun:"table:docs"`
	*owned.Row
	ID    int64  `bun:"id,pk,autoincrement"`
	Title string `bun:"title"`

	Comments []*Comment `bun:"rel:has-many,join:account_id=account_id,join:id=of_id,join:type=of_type,polymorphic:doc"`
}

type Comment struct {
	bun.BaseModel `bun:"table:comments"`
	owned.Row
	ID     string `bun:"id,pk"`
	OfID   int64  `bun:"of_id"`
	OfType string `bun:"of_type"`
}

// Heading is the docs' table in short.
type Heading struct {
	bun.BaseModel `bun:"table:docs,alias:h"`
	owned.Row
	ID    int64  `bun:"id,pk"`
	Title string `bun:"title"`
}

func TestRun_PassesUnusualModels(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		tenancytest.Run(t, db, owned.New(owned.Config{Tables: []owned.Table{
			{Model: (*Doc)(nil)}, {Model: (*Comment)(nil)}, {Model: (*Heading)(nil)},
		}}))
	}, migration(
		"CREATE TABLE docs (account_id TEXT NOT NULL, id BIGINT NOT NULL, title TEXT NOT NULL, PRIMARY KEY (account_id, id))",
		"CREATE TABLE comments (account_id TEXT NOT NULL, id TEXT NOT NULL, of_id BIGINT NOT NULL, of_type TEXT NOT NULL, PRIMARY KEY (account_id, id))"))
}

// Jot is in a schema that search_path does not name.
type Jot struct {
	bun.BaseModel `bun:"table:app.jots"`
	owned.Row
	ID   string `bun:"id,pk"`
	Body string `bun:"body"`
}

func TestRun_LooksIntoTheSchemasOfTheModels(t *testing.T) {
	db := dbtest.Postgres(t, migration("CREATE SCHEMA app", "CREATE SCHEMA other",
		"CREATE TABLE app.jots (account_id TEXT, id TEXT, body TEXT, PRIMARY KEY (account_id, id))",
		"CREATE TABLE other.people (account_id TEXT)", "CREATE TABLE app.lost (account_id TEXT)"))
	tables := owned.New(owned.Config{Tables: []owned.Table{{Model: (*Jot)(nil)}}})
	if said := leaks(t, db, tables, nil, "the table lost has the account's column"); len(said) != 1 {
		t.Error(said)
	}
	tenancytest.Run(t, db, tables, tenancytest.Exempt("lost"))
}
