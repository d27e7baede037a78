package authn_test

import (
	"io/fs"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/dbtest"
)

// story runs everything that touches the tables.
func story(t *testing.T, h *house, email string) {
	t.Helper()
	r := h.register(t, email)
	issued := h.issue(t, r)
	wantErr(t, "verify", h.verify(t, issued.Secret), nil)
	wantErr(t, "sign in", h.signIn(t, email, goodPassword), nil)
	if keys, err := h.keys.List(t.Context(), h.db, authn.List{Account: r.Account.ID}); err != nil || len(keys) != 1 {
		t.Errorf("list: %v, %v", keys, err)
	}
	if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: r.Account.ID, Key: issued.Key.ID, Actor: userOf(r)}); err != nil {
		t.Error(err)
	}
	wantErr(t, "verify", h.verify(t, issued.Secret), authn.ErrBadCredential)
	if err := h.passwords.Set(t.Context(), h.db, authn.SetPassword{User: r.User.ID, Actor: userOf(r), Password: "short blue elephants"}); err != nil {
		t.Error(err)
	}
	wantErr(t, "sign in", h.signIn(t, email, "short blue elephants"), nil)
}

func TestM15_MigrationsGoUpDownAndUpWithRows(t *testing.T) {
	files, err := fs.Glob(authn.Migrations, "migrations/sqlite/*.up.sql")
	if err != nil {
		t.Fatal(err)
	}
	versions := len(files)
	run := func(t *testing.T, db *bun.DB) {
		h := newHouse(t, db)
		story(t, h, "ada@example.com")
		if applied, pending, err := authn.MigrationStatus(t.Context(), db); err != nil || len(applied) != versions || len(pending) != 0 {
			t.Errorf("status %v %v %v", applied, pending, err)
		}
		if err := authn.Down(t.Context(), db, 0); err != nil {
			t.Fatal(err)
		}
		if applied, pending, err := authn.MigrationStatus(t.Context(), db); err != nil || len(applied) != 0 || len(pending) != versions {
			t.Errorf("status %v %v %v", applied, pending, err)
		}
		if h.count(t, "tenancy_accounts") != 1 || h.count(t, "tenancy_users") != 1 {
			t.Error("the way back took tenancy's rows")
		}
		for _, table := range []string{"authn_key_ids", "authn_accounts", "authn_keys", "authn_key_secrets", "authn_key_uses", "authn_imported_keys", "authn_passwords", "authn_email_tokens", "authn_sessions"} {
			if _, err := db.NewRaw("SELECT 1 FROM ?", bun.Ident(table)).Exec(t.Context()); err == nil {
				t.Errorf("%s is still there", table)
			}
		}
		for range 2 {
			if err := authn.Migrate(t.Context(), db); err != nil {
				t.Fatal(err)
			}
		}
		story(t, h, "bob@example.com")
	}
	dbtest.Each(t, run, authn.Migrate)
	t.Run("a schema that is not public", func(t *testing.T) { run(t, dbtest.PostgresSchema(t, "elsewhere", authn.Migrate)) })
}

// M15: this binary runs on the schema of a later one, which has more columns.
func TestM15_ColumnsOfALaterVersionAreTolerated(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for _, table := range tables {
			h.exec(t, "ALTER TABLE ? ADD COLUMN later TEXT NOT NULL DEFAULT 'x'", bun.Ident(table))
		}
		story(t, h, "ada@example.com")
	})
}

func TestSQLite_OneConnectionIsEnough(t *testing.T) {
	h := newHouse(t, dbtest.SQLiteOneConn(t, authn.Migrate))
	story(t, h, "ada@example.com")
	w := serve(h.passwords.SignUp(h.db, h.keys), request("POST", "/", `{"name":"Bob","email":"bob@example.com","password":"`+goodPassword+`"}`))
	if w.Code != 201 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = serve(h.passwords.Middleware(h.db, 0)(whoami), request("GET", "/", "", "Authorization", basic("bob@example.com", goodPassword)))
	if w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A secret cannot hang on another account's key.
func TestSchema_ASecretBelongsToItsAccountsKey(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, bob := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		issued := h.issue(t, ada)
		_, err := h.db.NewRaw(`INSERT INTO authn_key_secrets (account_id, key_id, secret_id, pepper_id, hash, created_at) VALUES (?, ?, 's', 'a', 'h', ?)`,
			bob.Account.ID, issued.Key.ID, t0).Exec(t.Context())
		if err == nil {
			t.Error("bob has a secret of ada's key")
		}
	})
}
