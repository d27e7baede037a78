package owned_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// roles is a database with tables of an owner who is no superuser, and a role that
// serves.
type roles struct {
	world          // as the role that serves
	owner, super   *bun.DB
	server, admins string // the roles' names
}

func newRoles(t *testing.T) roles {
	t.Helper()
	super := dbtest.Postgres(t)
	r := roles{super: super, server: id.New("app"), admins: id.New("own")}
	sql := func(db *bun.DB, script string) {
		t.Helper()
		script = strings.NewReplacer("app_role", r.server, "own_role", r.admins).Replace(script)
		for q := range strings.SplitSeq(script, ";") {
			if _, err := db.DB.ExecContext(t.Context(), q); err != nil {
				t.Fatalf("%s: %v", q, err)
			}
		}
	}
	sql(super, `CREATE ROLE own_role LOGIN PASSWORD 'secret' NOSUPERUSER NOBYPASSRLS;
		CREATE ROLE app_role LOGIN PASSWORD 'secret' NOSUPERUSER NOBYPASSRLS;
		GRANT ALL ON SCHEMA public TO own_role`)
	t.Cleanup(func() {
		if _, err := super.DB.Exec("DROP OWNED BY " + r.server + ", " + r.admins + "; DROP ROLE " + r.server + ", " + r.admins); err != nil {
			t.Error(err)
		}
	})
	as := func(role string) *bun.DB {
		u, err := url.Parse(dbtest.DSN(super))
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(role, "secret")
		db, err := dbtest.Open(u.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dbtest.Close(db) })
		return db
	}
	r.owner = as(r.admins)
	if err := migrate(t.Context(), r.owner); err != nil {
		t.Fatal(err)
	}
	sql(r.owner, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app_role")
	r.db = as(r.server)
	cfg := config()
	cfg.RowSecurity = true
	r.tables = owned.New(cfg)
	r.accounts = newAccounts()
	return r
}

// secured is newRoles with the policies, both databases bound and rows of two
// accounts.
func secured(t *testing.T) roles {
	t.Helper()
	r := newRoles(t)
	for range 2 {
		if err := r.tables.Secure(t.Context(), r.owner); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(r.tables.Bind(t.Context(), r.db), r.tables.BindOwner(t.Context(), r.owner)); err != nil {
		t.Fatal(err)
	}
	world{tables: r.tables, accounts: r.accounts, db: r.super}.fill(t)
	return r
}

func TestM11_RowSecurityIsASecondWall(t *testing.T) {
	r := secured(t)
	ctx := r.in(t, "17")
	db := r.tables.For(ctx, r.db)
	if _, err := db.NewSelect().Model((*Site)(nil)).Count(ctx); !errors.Is(err, owned.ErrNeedsTransaction) {
		t.Errorf("without a transaction: %v", err)
	}
	err := db.RunInTx(ctx, func(ctx context.Context, db *owned.DB) error {
		n, err := db.NewSelect().Model((*Site)(nil)).Where("1 = 0").WhereOr("1 = 1").Count(ctx)
		if n != 2 {
			t.Errorf("%d sites", n)
		}
		m, err2 := db.NewSelect().Model((*Order)(nil)).Count(ctx)
		if m != 1 {
			t.Errorf("%d orders", m)
		}
		_, err3 := db.NewInsert().Model(&Site{ID: "new", Slug: "n"}).Exec(ctx)
		_, err4 := db.NewUpdate().Model((*Site)(nil)).Set("slug = slug || 'x'").Where("TRUE").Exec(ctx)
		_, err5 := db.NewDelete().Model((*SiteTag)(nil)).Where("TRUE").Exec(ctx)
		return errors.Join(err, err2, err3, err4, err5)
	})
	if err != nil {
		t.Fatal(err)
	}

	// What the guard does not see, row-level security does: SQL that goes past bun.
	count := func(conn bun.IConn) (n int) {
		t.Helper()
		if err := conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM sites").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(r.db.DB); n != 0 {
		t.Errorf("no account: %d sites", n)
	}
	if n := count(r.owner.DB); n != 0 {
		t.Errorf("the owner, by accident: %d sites", n)
	}
	tx, err := r.db.DB.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	in := r.tables.For(ctx, tenancy.WrapTx(r.db, tx))
	if n := count(tx); n != 3 {
		t.Errorf("in the account: %d sites", n)
	}
	res, err := tx.ExecContext(ctx, "UPDATE sites SET slug = 'z' WHERE account_id = '18'")
	if n := affected(t)(res, err); n != 0 {
		t.Errorf("%d rows of another account", n)
	}
	if n, err := in.NewSelect().Model((*Site)(nil)).Count(ctx); n != 3 || err != nil {
		t.Error(n, err)
	}
	for _, q := range []string{
		"INSERT INTO sites (account_id, id, slug, industry) VALUES ('18', 'x', 'x', 1)",
		"UPDATE sites SET account_id = '18' WHERE id = '17-1'",
	} {
		if _, err := tx.ExecContext(ctx, "SAVEPOINT s"); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(ctx, q); err == nil || !strings.Contains(err.Error(), "row-level security") {
			t.Errorf("%s: %v", q, err)
		}
		if _, err := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT s"); err != nil {
			t.Fatal(err)
		}
	}
	// The serving role can't open the rest by itself.
	if _, err := tx.ExecContext(ctx, "SET LOCAL quitrent.account = '*'"); err != nil {
		t.Fatal(err)
	}
	if n := count(tx); n != 0 {
		t.Errorf("across, as the serving role: %d sites", n)
	}
}

func TestM11_AcrossAccountsOnlyAsTheOwner(t *testing.T) {
	r := secured(t)
	ctx := r.across(t)
	look := func(db *bun.DB) (n int64, err error) {
		err = r.tables.For(ctx, db).RunInTx(ctx, func(ctx context.Context, db *owned.DB) error {
			n, err = db.NewSelect().Model((*Site)(nil)).Count(ctx)
			return err
		})
		return n, err
	}
	if _, err := look(r.db); !errors.Is(err, owned.ErrNeedsOwner) {
		t.Errorf("the serving role: %v", err)
	}
	if n, err := look(r.owner); n != 4 || err != nil {
		t.Errorf("the owner: %d, %v", n, err)
	}
}

func TestBind_RefusesToServeAsARoleThatRowSecurityDoesNotHold(t *testing.T) {
	r := newRoles(t)
	ctx := t.Context()
	sql := func(script string) {
		t.Helper()
		script = strings.NewReplacer("app_role", r.server, "own_role", r.admins).Replace(script)
		if _, err := r.super.DB.ExecContext(ctx, script); err != nil {
			t.Fatalf("%s: %v", script, err)
		}
	}
	refused := func(want string, db *bun.DB) {
		t.Helper()
		cfg := config()
		cfg.RowSecurity = true
		if err := owned.New(cfg).Bind(ctx, db); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	refused("sites has no row-level security", r.db)
	if err := r.tables.Secure(ctx, r.owner); err != nil {
		t.Fatal(err)
	}
	refused("is a superuser", r.super)
	refused("owns sites", r.owner)
	sql("GRANT own_role TO app_role")
	refused("may become its owner", r.db)
	sql("REVOKE own_role FROM app_role")
	sql("ALTER ROLE app_role BYPASSRLS")
	refused("has BYPASSRLS", r.db)
	sql("ALTER ROLE app_role NOBYPASSRLS")
	sql("CREATE ROLE app_role_admin NOLOGIN BYPASSRLS")
	sql("GRANT app_role_admin TO app_role")
	refused("may become a role that has", r.db)
	sql("DROP ROLE app_role_admin")
	sql("ALTER TABLE tags NO FORCE ROW LEVEL SECURITY")
	refused("tags has no row-level security, or not by force", r.db)
	sql("ALTER TABLE tags FORCE ROW LEVEL SECURITY")
	sql("GRANT TRUNCATE ON tags TO app_role")
	refused("may TRUNCATE tags", r.db)
	sql("REVOKE TRUNCATE ON tags FROM app_role")
	sql("CREATE POLICY open_house ON tags USING (TRUE)")
	refused("open_house", r.db)
	sql("DROP POLICY open_house ON tags")
	sql("CREATE POLICY open_house ON tags AS RESTRICTIVE USING (TRUE)")
	sql("INSERT INTO tags (account_id, id) VALUES ('17', 'x')")
	sql("ALTER POLICY quitrent_account ON tags USING (TRUE)")
	refused("tags shows rows though no account was entered", r.db)
	if err := r.tables.Secure(ctx, r.owner); err != nil {
		t.Fatal(err)
	}
	if err := r.tables.BindOwner(ctx, r.db); err == nil || !strings.Contains(err.Error(), "does not own") {
		t.Error(err)
	}
	if err := r.tables.Bind(ctx, r.db); err != nil {
		t.Error(err)
	}
	if err := r.tables.BindOwner(ctx, r.db); err == nil || !strings.Contains(err.Error(), "share a dialect") {
		t.Error(err)
	}
	if err := r.tables.Unsecure(ctx, r.owner); err != nil {
		t.Error(err)
	}
	refused("no row-level security", r.db)
	var n int
	if err := r.db.DB.QueryRowContext(ctx, "SELECT COUNT(*) FROM tags").Scan(&n); err != nil || n != 1 {
		t.Error(n, err)
	}
}

func TestM11_RowSecurityHoldsForPartitions(t *testing.T) {
	r := newRoles(t)
	for _, q := range []string{
		"DROP TABLE orders",
		"CREATE TABLE orders (org_id BIGINT NOT NULL, id BIGINT NOT NULL, total BIGINT NOT NULL, PRIMARY KEY (org_id, id)) PARTITION BY HASH (org_id)",
		"CREATE TABLE orders_0 PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
		"CREATE TABLE orders_1 PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 1) PARTITION BY HASH (org_id)",
		"CREATE TABLE orders_1_0 PARTITION OF orders_1 FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO " + r.server,
	} {
		if _, err := r.owner.DB.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.tables.Secure(t.Context(), r.owner); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.tables.Bind(t.Context(), r.db), r.tables.BindOwner(t.Context(), r.owner)); err != nil {
		t.Fatal(err)
	}
	world{tables: r.tables, accounts: r.accounts, db: r.super}.fill(t)
	ctx := r.in(t, "17")
	err := r.tables.For(ctx, r.db).RunInTx(ctx, func(ctx context.Context, db *owned.DB) error {
		for _, name := range []string{"orders_0", "orders_1", "orders_1_0"} {
			var n int
			if err := db.NewRaw("SELECT COUNT(*) FROM ?", bun.Ident(name)).Scan(ctx, &n); n != 0 || err != nil {
				t.Errorf("%s: %d rows, %v", name, n, err)
			}
		}
		if _, err := db.NewInsert().Model(&Order{ID: 2}).Exec(ctx); err != nil {
			return err
		}
		n, err := db.NewSelect().Model((*Order)(nil)).Count(ctx)
		if n != 2 {
			t.Errorf("through the table: %d", n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	// A partition that a later migration attaches is noticed, and secured on a database
	// that is bound.
	if _, err := r.owner.DB.ExecContext(t.Context(), "CREATE TABLE more_tags () INHERITS (tags)"); err != nil {
		t.Fatal(err)
	}
	if err := r.tables.Verify(t.Context(), r.db); err == nil || !strings.Contains(err.Error(), "tags has no row-level security") {
		t.Error(err)
	}
	if err := r.tables.Secure(t.Context(), r.owner); err != nil {
		t.Error(err)
	}
	if err := r.tables.Verify(t.Context(), r.db); err != nil {
		t.Error(err)
	}
}

// Two server connections serve eight goroutines of two accounts: what one leaves
// behind, the next one finds.
func TestM11_RowSecurityHoldsBehindAPooler(t *testing.T) {
	r := secured(t)
	u, err := url.Parse(dbtest.DSN(dbtest.PgBouncer(t, r.super)))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(r.server, "secret")
	db, err := dbtest.Open(u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dbtest.Close(db) })
	if err := r.tables.Bind(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	errs := dbtest.Together(8, func(i int) error {
		account := tenancy.AccountID([]string{"17", "18"}[i%2])
		ctx, err := r.accounts.Enter(t.Context(), db, account, someone, 0)
		if err != nil {
			return err
		}
		for range 50 {
			err := r.tables.For(ctx, db).RunInTx(ctx, func(ctx context.Context, db *owned.DB) error {
				var owners []string
				if err := db.NewSelect().Model((*Site)(nil)).ColumnExpr("DISTINCT account_id").Scan(ctx, &owners); err != nil {
					return err
				}
				var seen []string
				err := db.NewRaw("SELECT DISTINCT id FROM ? AS x ORDER BY id", db.Table((*Sector)(nil))).Scan(ctx, &seen)
				if len(owners) != 1 || owners[0] != string(account) || len(seen) != 2 || !strings.HasPrefix(seen[0], string(account)) {
					t.Errorf("%s sees %v, %v", account, owners, seen)
				}
				return err
			})
			if err != nil {
				return err
			}
			var n int
			if err := db.DB.QueryRowContext(ctx, "SELECT COUNT(*) FROM sites").Scan(&n); err != nil || n != 0 {
				t.Errorf("outside a transaction: %d, %v", n, err)
			}
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}
