package adoption_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/adoption"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	people "github.com/quitrent/quitrent/tenancy/adoption"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) { dbtest.Main(m, nil) }

var (
	t0       = time.Date(2026, 11, 2, 9, 0, 0, 123456000, time.UTC)
	operator = tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}
)

// Hashes of "Ein Pferd, ein Königreich", made by Python's hashlib and by libxcrypt, and
// one of "tall green giraffes" by nobody.
const (
	password = "Ein Pferd, ein Königreich"
	django   = "pbkdf2_sha256$1200$o3mxkQWc0hD1$+jxQN7tm+SJgdeYjgQUkDuJJ7Jc3RnZ/yUfKuOEKuFI="
	phc      = "$pbkdf2-sha256$900$....AAECAwQFBgcICQoLDA$fzHE21QelJl7w4nwAccFibjRRncLj5/L7bFxQfuArCQ"
	crypt    = "$2y$05$abcdefghijklmnopqrstuu2OlBNrjgr.0w9ZvCPY7vvM23JaCSe4O"
	argon    = "argon2$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

// house is the new system with the accounts and the users of design §7: eight of each,
// every user the owner of the account with its number.
type house struct {
	db        *bun.DB
	clock     *tenancytest.Clock
	accounts  *tenancy.Accounts
	keys      *authn.Keys
	passwords *authn.Passwords
	adoption  *adoption.Adoption
	guard     *authn.Guard
}

func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) { fn(t, newHouse(t, db)) }, authn.Migrate)
}

func newHouse(t *testing.T, db *bun.DB) *house {
	t.Helper()
	h := &house{db: db, clock: tenancytest.NewClock(t0)}
	h.accounts = tenancy.New(tenancy.Config{Now: h.clock.Now})
	if _, err := h.accounts.Ensure(t.Context(), db, tenancytest.Plans()...); err != nil {
		t.Fatal(err)
	}
	a, err := people.New(h.accounts, people.Config{Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	what := people.Adopt{Actor: operator}
	for i := range 8 {
		n := fmt.Sprint(i + 1)
		what.Accounts = append(what.Accounts, people.Account{ID: tenancy.AccountID(n), Name: "Account " + n, Status: "active", Plan: tenancy.DefaultTrialPlan, Owner: n})
		what.Users = append(what.Users, people.User{ID: tenancy.UserID(n), Email: "user" + n + "@example.com", Name: "User " + n})
	}
	if _, err := a.Adopt(t.Context(), db, what); err != nil {
		t.Fatal(err)
	}
	if h.keys, err = authn.New(h.accounts, authn.Config{Peppers: []authn.Pepper{{ID: "a", Secret: bytes.Repeat([]byte("a"), 32)}}, Now: h.clock.Now}); err != nil {
		t.Fatal(err)
	}
	h.passwords = authn.NewPasswords(h.accounts, authn.PasswordConfig{Now: h.clock.Now, Foreign: authn.Foreign{PBKDF2SHA256: 1200, Bcrypt: 5}})
	h.adoption = adoption.New(h.accounts, h.passwords, h.keys, adoption.Config{Now: h.clock.Now, KeysEndAt: t0.AddDate(0, 6, 0)})
	imported, err := authn.NewImported(h.keys, authn.ImportedConfig{Hash: authn.SHA256Hex})
	if err != nil {
		t.Fatal(err)
	}
	h.guard = authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, imported)
	return h
}

func oldKey(n int) string { return fmt.Sprintf("live-key-of-account-%d", n) }

// old is what the old system has of passwords and keys.
func old() adoption.Adopt {
	what := adoption.Adopt{Actor: operator, Reason: "the move"}
	for i, hash := range []string{django, phc, crypt, argon, "bcrypt$" + strings.Replace(crypt, "2y", "2b", 1), "", "!unusable", django} {
		what.Passwords = append(what.Passwords, adoption.Password{User: tenancy.UserID(fmt.Sprint(i + 1)), Hash: hash})
	}
	for i := range 3 {
		n := fmt.Sprint(i + 1)
		what.Keys = append(what.Keys, authn.Import{
			Account: tenancy.AccountID(n), Hash: strings.ToUpper(authn.SHA256Hex(oldKey(i + 1))), Name: "old", Maker: tenancy.UserID(n),
		})
	}
	return what
}

var tables = []string{
	"authn_key_ids", "authn_accounts", "authn_keys", "authn_key_secrets", "authn_imported_keys", "authn_passwords",
	"tenancy_users", "tenancy_events", "tenancy_audit",
}

// wantRows fails unless fn adds exactly these rows.
func (h *house) wantRows(t *testing.T, what string, added map[string]int, fn func()) {
	t.Helper()
	rows := func() map[string]int {
		counts := map[string]int{}
		for _, table := range tables {
			var n int
			if err := h.db.NewRaw("SELECT COUNT(*) FROM ?", bun.Ident(table)).Scan(t.Context(), &n); err != nil {
				t.Fatal(err)
			}
			counts[table] = n
		}
		return counts
	}
	want := rows()
	for table, n := range added {
		want[table] += n
	}
	fn()
	if d := cmp.Diff(want, rows()); d != "" {
		t.Errorf("%s: rows (-want +got):\n%s", what, d)
	}
}

func (h *house) adopt(t *testing.T, what adoption.Adopt) adoption.Report {
	t.Helper()
	report, err := h.adoption.Adopt(t.Context(), h.db, what)
	if err != nil {
		t.Fatalf("%v: %v", err, report.Refused)
	}
	return report
}

func (h *house) signIn(t *testing.T, n int, password string) error {
	t.Helper()
	_, err := h.passwords.SignIn(t.Context(), h.db, authn.SignIn{Email: fmt.Sprintf("user%d@example.com", n), Password: password})
	return err
}

func (h *house) enter(t *testing.T, key string) (tenancy.AccountID, error) {
	t.Helper()
	scope, err := h.guard.Check(t.Context(), h.db, authn.Credential{Scheme: "bearer", Value: key}, 0)
	return scope.Account, err
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func TestM18_ADryRunOfPasswordsAndKeysSaysWhatTheRealOneDoes(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		what := old()
		what.DryRun = true
		var dry adoption.Report
		h.wantRows(t, "dry run", nil, func() { dry = h.adopt(t, what) })
		want := adoption.Report{
			DryRun: true, Passwords: adoption.Counts{New: 6}, Keys: adoption.Counts{New: 3}, None: 2,
			Kinds:   map[string]int{"PBKDF2 with SHA-256": 3, "bcrypt": 2, "argon2id": 1},
			Refused: []adoption.Finding{}, Notes: []adoption.Finding{},
		}
		if d := cmp.Diff(want, dry); d != "" {
			t.Errorf("dry run (-want +got):\n%s", d)
		}
		what.DryRun = false
		added := map[string]int{
			"authn_key_ids": 3, "authn_accounts": 3, "authn_keys": 3, "authn_key_secrets": 3, "authn_imported_keys": 3, "authn_passwords": 6, "tenancy_audit": 4,
		}
		h.wantRows(t, "the real run", added, func() {
			dry.DryRun = false
			if d := cmp.Diff(dry, h.adopt(t, what)); d != "" {
				t.Errorf("the dry run said something else (-dry +real):\n%s", d)
			}
		})
		if line := tenancytest.RequireAudit(t, h.db, "", "authn.adopt"); line.Actor != operator || line.Reason != "the move" {
			t.Errorf("audit %+v", line)
		}
		if line := tenancytest.RequireAudit(t, h.db, "2", "authn.import_key"); line.Actor != operator || line.Reason != "the move" || line.Target == "" {
			t.Errorf("audit %+v", line)
		}
	})
}

func TestM18_WhatIsAdoptedOpens(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.adopt(t, old())
		for n := 1; n <= 8; n++ {
			want := authn.ErrBadCredential
			if n <= 3 || n == 5 || n == 8 {
				want = nil
			}
			wantErr(t, fmt.Sprint("user ", n), h.signIn(t, n, password), want)
			wantErr(t, fmt.Sprint("user ", n, ", a wrong one"), h.signIn(t, n, "a wrong password"), authn.ErrBadCredential)
		}
		for n := 1; n <= 3; n++ {
			if account, err := h.enter(t, oldKey(n)); account != tenancy.AccountID(fmt.Sprint(n)) || err != nil {
				t.Errorf("key %d opens %q, %v", n, account, err)
			}
		}
		_, err := h.enter(t, oldKey(4))
		wantErr(t, "a key that was not adopted", err, authn.ErrBadCredential)
		h.clock.Set(t0.AddDate(0, 6, 0))
		_, err = h.enter(t, oldKey(1))
		wantErr(t, "after the end", err, authn.ErrBadCredential)
	})
}

func TestM18_AgainOverwritesNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		what := old()
		if err := h.passwords.Set(t.Context(), h.db, authn.SetPassword{User: "1", Actor: operator, Password: "short blue elephants"}); err != nil {
			t.Fatal(err)
		}
		first := h.adopt(t, what)
		if d := cmp.Diff(adoption.Counts{New: 5, Different: 1}, first.Passwords); d != "" {
			t.Error(d)
		}
		wantErr(t, "who has set one since", h.signIn(t, 1, "short blue elephants"), nil)
		wantErr(t, "with the old one", h.signIn(t, 1, password), authn.ErrBadCredential)
		wantErr(t, "who signs in meanwhile", h.signIn(t, 2, password), nil)
		h.clock.Set(t0.AddDate(1, 0, 0)) // also when the keys have ended
		h.wantRows(t, "again", nil, func() {
			again := h.adopt(t, what)
			if d := cmp.Diff([]adoption.Counts{{Same: 4, Different: 2}, {Same: 3}}, []adoption.Counts{again.Passwords, again.Keys}); d != "" {
				t.Error(d)
			}
		})
		wantErr(t, "with the one that is ours", h.signIn(t, 2, password), nil)
		what.Keys[0].EndsAt = t0.AddDate(2, 0, 0)
		report := h.adopt(t, what)
		if report.Keys.Different != 1 || len(report.Notes) != 1 || report.Notes[0].Field != "ends_at" {
			t.Errorf("another end: %+v", report)
		}
	})
}

func TestM18_EverythingThatIsWrongIsSaidAtOnceAndNothingIsWritten(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.adopt(t, adoption.Adopt{Actor: operator, Keys: old().Keys[:1]})
		if _, err := h.accounts.Close(t.Context(), h.db, tenancy.Close{Account: "8", Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.db.NewRaw("UPDATE tenancy_users SET email = NULL, email_key = NULL WHERE user_id = '7'").Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		what := old()
		what.Passwords = append(what.Passwords,
			adoption.Password{User: "9", Hash: django}, adoption.Password{User: "\x00", Hash: django}, adoption.Password{User: "1", Hash: django})
		what.Passwords[1].Hash = "md5$salt$5f4dcc3b5aa765d61d8327deb882cf99"
		what.Passwords[2].Hash = strings.Replace(crypt, "$05$", "$06$", 1)
		good := what.Keys[1]
		what.Keys = what.Keys[1:] // the first is here, and tried for another account below
		key := func(change func(k *authn.Import)) {
			k := good
			k.Hash = authn.SHA256Hex(fmt.Sprint("key number ", len(what.Keys)))
			change(&k)
			what.Keys = append(what.Keys, k)
		}
		key(func(k *authn.Import) { k.Hash = good.Hash })
		key(func(k *authn.Import) { k.Account, k.Hash = "2", authn.SHA256Hex(oldKey(1)) })
		key(func(k *authn.Import) { k.Hash = "short" })
		key(func(k *authn.Import) { k.Account = "9" })
		key(func(k *authn.Import) { k.Account = "8" })
		key(func(k *authn.Import) { k.Name = "" })
		key(func(k *authn.Import) { k.EndsAt = t0.Add(-time.Hour) })
		want := []string{
			"password 2 hash", "password 3 hash", "password 7 user", "password 9 user", "password \x00 user", "password 1 user",
			"key 2 hash", "key 2 hash", "key 2 hash", "key 9 account", "key 8 account", "key 2 key", "key 2 key",
		}
		check := func(what string, r adoption.Report) {
			var got []string
			for _, f := range r.Refused {
				got = append(got, fmt.Sprintf("%s %s %s", f.Kind, f.ID, f.Field))
				if f.Text == "" || strings.Contains(f.Text, "abcdefghijklmnopqrstuu") || strings.Contains(f.Text, "5f4dcc3b") {
					t.Errorf("%s: a finding shows a hash: %s", what, f)
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s: refused (-want +got):\n%s", what, d)
			}
			if r.Passwords.Refused != 6 || r.Keys.Refused != 7 {
				t.Errorf("%s: %+v", what, r)
			}
		}
		h.wantRows(t, "a refusal", nil, func() {
			err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				report, err := h.adoption.Adopt(ctx, tx, what)
				wantErr(t, "in a host's transaction", err, adoption.ErrRefused)
				check("the real run", report)
				_, err = tx.NewRaw("SELECT 1").Exec(ctx)
				return err
			})
			wantErr(t, "the transaction", err, nil)
			what.DryRun = true
			check("the dry run", h.adopt(t, what))
			for want, actor := range map[error]tenancy.Actor{
				tenancy.ErrInvalid: {}, tenancy.ErrForbidden: {Kind: tenancy.ActorUser, ID: "1"},
			} {
				_, err := h.adoption.Adopt(t.Context(), h.db, adoption.Adopt{Passwords: what.Passwords, Actor: actor})
				wantErr(t, string(actor.Kind), err, want)
			}
		})
	})
}

func TestM18_NotesSayWhatToKnow(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		if _, err := h.db.NewRaw("UPDATE tenancy_plans SET limits = '{\"keys\":1}'").Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		what := old()
		what.Keys[1].Account = "1" // of whom 2 is no member
		report := h.adopt(t, what)
		var got []string
		for _, f := range report.Notes {
			got = append(got, fmt.Sprintf("%s %d %s", f.Kind, f.Row, f.Field))
		}
		if d := cmp.Diff([]string{"key 1 maker", "key 1 account"}, got); d != "" {
			t.Errorf("notes (-want +got):\n%s", d)
		}
		_, err := h.enter(t, oldKey(2))
		wantErr(t, "the key of who is no member", err, authn.ErrOrphaned)
	})
}

func TestM18_SeveralAtOnceAdoptOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for _, err := range dbtest.Together(4, func(int) error {
			_, err := h.adoption.Adopt(t.Context(), h.db, old())
			return err
		}) {
			wantErr(t, "one of four", err, nil)
		}
		keys, err := h.keys.List(t.Context(), h.db, authn.List{Account: "1"})
		if err != nil || len(keys) != 1 {
			t.Errorf("%d keys, %v", len(keys), err)
		}
	})
}

// A person who sets a password between the look and the writing keeps it.
func TestM18_APasswordThatIsSetMeanwhileStays(t *testing.T) {
	h := newHouse(t, dbtest.Postgres(t, authn.Migrate)) // SQLite lets nobody write meanwhile
	set := &meanwhile{do: func() {
		if err := h.passwords.Set(t.Context(), h.db, authn.SetPassword{User: "1", Actor: operator, Password: "short blue elephants"}); err != nil {
			t.Error(err)
		}
	}}
	report, err := h.adoption.Adopt(t.Context(), h.db.WithQueryHook(set), old())
	if err != nil || report.Passwords.New != 5 || report.Passwords.Different != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	wantErr(t, "the one that was set", h.signIn(t, 1, "short blue elephants"), nil)
}

// meanwhile does something once, before the first password is written.
type meanwhile struct {
	once sync.Once
	do   func()
}

func (m *meanwhile) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if strings.HasPrefix(e.Query, `INSERT INTO "authn_passwords"`) {
		m.once.Do(m.do)
	}
	return ctx
}

func (*meanwhile) AfterQuery(context.Context, *bun.QueryEvent) {}

func TestM18_HashesShowNowhere(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var out bytes.Buffer
		what := old()
		for _, v := range []any{what.Passwords[2], &what.Passwords[2], what.Keys[0], &what.Keys[0], what} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
				fmt.Fprintf(&out, verb+"\n", v)
			}
			slog.New(slog.NewTextHandler(&out, nil)).Info("spill", "v", v)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("spill", "v", v)
			_ = json.NewEncoder(&out).Encode(v)
		}
		report := h.adopt(t, what)
		_ = json.NewEncoder(&out).Encode(report)
		for _, secret := range []string{"abcdefghijklmnopqrstuu", what.Keys[0].Hash[:20], strings.ToLower(what.Keys[0].Hash[:20])} {
			if strings.Contains(out.String(), secret) {
				t.Errorf("%s shows", secret)
			}
		}
	})
}
