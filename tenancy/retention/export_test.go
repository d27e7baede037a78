package retention_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
	"github.com/quitrent/quitrent/tenancy/retention"
)

// archive reads an export: the lines of each file, and the manifest.
func archive(t *testing.T, b []byte) (map[string][]string, retention.Manifest) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]string{}
	var m retention.Manifest
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if f.Name == "manifest.json" {
			err = json.NewDecoder(r).Decode(&m)
		} else {
			files[f.Name] = []string{}
			for s := bufio.NewScanner(r); s.Scan(); {
				if !json.Valid(s.Bytes()) {
					t.Errorf("%s: %s", f.Name, s.Text())
				}
				files[f.Name] = append(files[f.Name], s.Text())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return files, m
}

func (w *world) export(t *testing.T, account tenancy.AccountID) (map[string][]string, retention.Manifest) {
	t.Helper()
	var b bytes.Buffer
	returned, err := w.keeper.Export(t.Context(), w.db, &b, retention.Export{Account: account, Actor: operator, Reason: "asked for"})
	if err != nil {
		t.Fatal(err)
	}
	files, m := archive(t, b.Bytes())
	diff(t, "the manifest", returned, m)
	return files, m
}

func TestM13_AnExportHasEveryRowAsTheDatabaseHasIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, _ := w.register(t, "ada@example.com")
		bob, _ := w.register(t, "bob@example.com")
		at := time.Date(2026, 2, 3, 4, 5, 6, 7000, time.FixedZone("", 3600))
		for _, id := range []tenancy.AccountID{ada, bob} {
			ctx, rows := w.in(t, id)
			sites := []*Site{
				{ID: "1", Slug: "a", Size: 1<<63 - 1, Open: true, Ratio: 0.1, Settings: json.RawMessage(`{"z": 1, "a": 12345678901234567890}`),
					Picture: []byte{0, 255, 1}, Token: "top-secret"},
				{ID: "2", Slug: "<b> & \"c\"\n\u2028ü", Size: -1 << 63, DeletedAt: at},
			}
			if _, err := rows.NewInsert().Model(&sites).Exec(ctx); err != nil {
				t.Fatal(err)
			}
		}
		files, m := w.export(t, ada)

		diff(t, "sites", []string{
			`{"account_id":"` + string(ada) + `","id":"1","slug":"a","size":9223372036854775807,"open":true,"ratio":0.1,` +
				`"settings":{"z":1,"a":12345678901234567890},"picture":"AP8B","deleted_at":null}`,
			`{"account_id":"` + string(ada) + `","id":"2","slug":"<b> & \"c\"\n\u2028ü","size":-9223372036854775808,"open":false,"ratio":0,` +
				`"settings":null,"picture":null,"deleted_at":"2026-02-03T03:05:06.000007Z"}`,
		}, files["sites.jsonl"])

		var names []string
		for _, f := range m.Files {
			names = append(names, f.Table)
			if got := int64(len(files[f.Name])); got != f.Rows || f.Name != f.Table+".jsonl" {
				t.Errorf("%+v has %d lines", f, got)
			}
			for _, line := range files[f.Name] {
				if strings.Contains(line, string(bob)) || strings.Contains(line, "bob@") || strings.Contains(line, "top-secret") {
					t.Errorf("%s: %s", f.Name, line)
				}
			}
		}
		if len(files) != len(m.Files) || len(files) != len(registered()) || names[0] != "tenancy_accounts" || names[len(names)-1] != "profiles" {
			t.Errorf("%d files, in this order: %v", len(files), names)
		}
		if m.Version != 1 || m.Account != ada || !m.At.Equal(t0) {
			t.Errorf("%+v", m)
		}
		if got := files["tenancy_users.jsonl"]; len(got) != 1 || !strings.Contains(got[0], `"email":"ada@example.com"`) {
			t.Error(got)
		}
		if got := files["tenancy_events.jsonl"]; len(got) != 1 || !strings.Contains(got[0], `"data":{"user":"usr_`) {
			t.Error(got)
		}
		log, err := w.accounts.Audits(t.Context(), w.db, tenancy.AuditLog{Account: ada})
		if err != nil || log[0].Action != "retention.export" || log[0].Actor != operator || log[0].Reason != "asked for" {
			t.Error(log, err)
		}
	})
}

// Ids, amounts and hashes of the packages above.
func TestM13_AnExportLeavesOutWhatIsSecret(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, user := w.register(t, "ada@example.com")
		ledger := credits.New(credits.Config{Now: w.clock.Now})
		if _, err := ledger.Grant(t.Context(), w.db, credits.Grant{Account: ada, Amount: 7, Key: "k", Actor: operator}); err != nil {
			t.Fatal(err)
		}
		keys, err := authn.New(w.accounts, authn.Config{Now: w.clock.Now, Peppers: []authn.Pepper{{ID: "p", Secret: bytes.Repeat([]byte("p"), 32)}}})
		if err != nil {
			t.Fatal(err)
		}
		owner := tenancy.Actor{Kind: tenancy.ActorUser, ID: string(user)}
		if _, err := keys.Issue(t.Context(), w.db, authn.Issue{Account: ada, Name: "ci", Actor: owner}); err != nil {
			t.Fatal(err)
		}
		exec(t, w.db, "INSERT INTO authn_passwords (user_id, hash, updated_at) VALUES (?, 'argon', ?)", user, t0)
		exec(t, w.db, "INSERT INTO authn_email_tokens (user_id, kind, token_hash, email_key, expires_at, since, issued) VALUES (?, 'password_reset', 'argon', '', ?, ?, 1)", user, t0, t0)
		var hash string
		if err := w.db.NewRaw("SELECT hash FROM authn_key_secrets").Scan(t.Context(), &hash); err != nil {
			t.Fatal(err)
		}
		files, _ := w.export(t, ada)
		for name, lines := range files {
			for _, line := range lines {
				if strings.Contains(line, hash) || strings.Contains(line, "argon") {
					t.Errorf("%s: %s", name, line)
				}
			}
		}
		for _, name := range []string{"authn_keys.jsonl", "authn_key_secrets.jsonl", "authn_passwords.jsonl", "authn_email_tokens.jsonl", "credits_entries.jsonl"} {
			if len(files[name]) != 1 {
				t.Errorf("%s: %v", name, files[name])
			}
		}
	})
}

// writes runs a function when the first byte arrives.
type writes struct {
	io.Writer
	first func()
}

func (w *writes) Write(b []byte) (int, error) {
	if w.first != nil {
		w.first()
		w.first = nil
	}
	return w.Writer.Write(b)
}

// noise is more than an archive keeps back, in a table before the sites.
func (w *world) noise(t *testing.T, account tenancy.AccountID) {
	t.Helper()
	err := w.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		for range 40 {
			line := tenancy.Audit{Account: account, At: t0, Actor: job, Action: "noise", Reason: rand.Text() + rand.Text() + rand.Text() + rand.Text()}
			if err := tenancy.Record(ctx, tx, line); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestM13_AnExportIsOneSnapshot(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, _ := w.register(t, "ada@example.com")
		w.noise(t, ada)
		var b bytes.Buffer
		out := &writes{Writer: &b, first: func() {
			ctx, rows := w.in(t, ada)
			if _, err := rows.NewInsert().Model(&Site{ID: "late", Slug: "late"}).Exec(ctx); err != nil {
				t.Error(err)
			}
		}}
		if _, err := w.keeper.Export(t.Context(), w.db, out, retention.Export{Account: ada, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		if files, _ := archive(t, b.Bytes()); out.first != nil || len(files["sites.jsonl"]) != 0 {
			t.Error(files["sites.jsonl"])
		}
		if files, _ := w.export(t, ada); len(files["sites.jsonl"]) != 1 {
			t.Error(files["sites.jsonl"])
		}
	})
}

func TestM13_WhoMayExport(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, user := w.register(t, "ada@example.com")
		owner := tenancy.Actor{Kind: tenancy.ActorUser, ID: string(user)}
		try := func(what string, e retention.Export, want error) {
			t.Helper()
			var b bytes.Buffer
			_, err := w.keeper.Export(t.Context(), w.db, &b, e)
			wantErr(t, what, err, want)
			if want != nil && b.Len() > 0 {
				t.Errorf("%s: %d bytes", what, b.Len())
			}
		}
		try("nobody", retention.Export{Account: ada}, tenancy.ErrInvalid)
		try("a key", retention.Export{Account: ada, Actor: tenancy.Actor{Kind: tenancy.ActorKey, ID: "k"}}, tenancy.ErrForbidden)
		try("no account", retention.Export{Account: "acc_none", Actor: owner}, tenancy.ErrNoAccount)
		if _, err := w.accounts.Suspend(t.Context(), w.db, tenancy.Suspend{Account: ada, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		try("a suspended account", retention.Export{Account: ada, Actor: owner}, nil)
		w.close(t, ada)
		try("a closed account", retention.Export{Account: ada, Actor: owner}, tenancy.ErrNoAccount)
		unbound := retention.New(w.accounts, owned.New(owned.Config{Tables: registered()}), retention.Config{Lookups: lookups()})
		bob, _ := w.register(t, "bob@example.com")
		other := w.plainly(t)
		_, err := unbound.Export(t.Context(), other, io.Discard, retention.Export{Account: bob, Actor: operator})
		wantErr(t, "unbound", err, owned.ErrUnbound)
	})
}

func TestM13_AnExportIsDownloaded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, user := w.register(t, "ada@example.com")
		as := tenancy.Actor{Kind: tenancy.ActorUser, ID: string(user)}
		who := func(*http.Request) (tenancy.AccountID, tenancy.Actor, error) { return ada, as, nil }
		h := w.accounts.Middleware(w.db, who, tenancy.Export)(w.keeper.Handler(w.db))
		get := func(path string) *httptest.ResponseRecorder {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
			return rec
		}
		rec := get("/account/export?reason=moving+on")
		if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "application/zip" || rec.Header().Get("Cache-Control") != "no-store" ||
			rec.Header().Get("Content-Disposition") != "attachment; filename=export-"+string(ada)+"-20260301.zip" {
			t.Error(rec.Code, rec.Header())
		}
		if files, _ := archive(t, rec.Body.Bytes()); len(files["tenancy_accounts.jsonl"]) != 1 {
			t.Error(files)
		}
		log, err := w.accounts.Audits(t.Context(), w.db, tenancy.AuditLog{Account: ada})
		if err != nil || log[0].Reason != "moving on" || log[0].Actor != as {
			t.Error(log, err)
		}
		if rec := get("/account/export?reason=" + strings.Repeat("x", 1001)); rec.Code != http.StatusUnprocessableEntity ||
			rec.Header().Get("Content-Type") != "application/problem+json" {
			t.Error(rec.Code, rec.Header())
		}
		if rec := get("/account"); rec.Code != http.StatusNotFound {
			t.Error(rec.Code)
		}
		as.ID = "usr_viewer" // who does not manage the account
		if rec := get("/account/export"); rec.Code != http.StatusForbidden {
			t.Error(rec.Code)
		}
		as = tenancy.Actor{Kind: tenancy.ActorKey, ID: string(user)}
		if rec := get("/account/export"); rec.Code != http.StatusForbidden {
			t.Error(rec.Code)
		}
	})
}

// Whoever kills the program while it exports leaves nobody's data in a folder for
// temporary files, where nothing would look for it.
func TestM13_AnExportLeavesNoFileBehindWhateverHappens(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // an open file keeps its name there
	}
	each(t, func(t *testing.T, w *world) {
		ada, _ := w.register(t, "ada@example.com")
		dir := t.TempDir()
		t.Setenv("TMPDIR", dir)
		ctx, err := w.accounts.Enter(t.Context(), w.db, ada, job, tenancy.Export)
		if err != nil {
			t.Fatal(err)
		}
		asked := false
		out := broken{httptest.NewRecorder(), func() error {
			asked = true
			left, err := os.ReadDir(dir)
			if len(left) != 0 {
				t.Errorf("a kill would leave %v", left)
			}
			return err
		}}
		defer func() {
			if recover() == nil || !asked {
				t.Error("nothing was sent")
			}
		}()
		w.keeper.Handler(w.db).ServeHTTP(out, httptest.NewRequestWithContext(ctx, http.MethodGet, "/account/export", nil))
	})
}

// A client must be able to tell a download that broke off from one that is whole, and
// one that is slow keeps nobody waiting.
func TestM13_AnExportThatFailsHalfwayBreaksOff(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, _ := w.register(t, "ada@example.com")
		w.noise(t, ada)
		ctx, err := w.accounts.Enter(t.Context(), w.db, ada, job, tenancy.Export)
		if err != nil {
			t.Fatal(err)
		}
		w.db.SetMaxOpenConns(1)
		rec := httptest.NewRecorder()
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("it ended with %v", err)
			}
			if _, err := zip.NewReader(bytes.NewReader(rec.Body.Bytes()), int64(rec.Body.Len())); !errors.Is(err, zip.ErrFormat) {
				t.Error(err)
			}
		}()
		out := broken{rec, func() error {
			_, err := w.accounts.Get(ctx, w.db, ada) // waits for ever where the export has the connection
			return err
		}}
		w.keeper.Handler(w.db).ServeHTTP(out, httptest.NewRequestWithContext(ctx, http.MethodGet, "/account/export", nil))
	})
}

type broken struct {
	http.ResponseWriter
	meanwhile func() error
}

func (b broken) Write(p []byte) (int, error) {
	n, err := b.ResponseWriter.Write(p[:len(p)/2])
	return n, errors.Join(err, b.meanwhile(), io.ErrClosedPipe)
}
