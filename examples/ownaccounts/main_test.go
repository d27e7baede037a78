package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// agency is the service on a fresh database, with a clock that stands still.
type agency struct {
	t        *testing.T
	db       *bun.DB
	accounts *tenancy.Accounts
	loads    atomic.Int64 // how often the agency's tables were asked
	ledger   *credits.Ledger
	clock    *tenancytest.Clock
	handler  http.Handler
}

func newAgency(t *testing.T) *agency {
	t.Helper()
	a := &agency{t: t, db: tenancytest.SQLite(t, migrate), clock: tenancytest.NewClock(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC))}
	a.ledger = credits.New(credits.Config{Now: a.clock.Now})
	a.accounts = tenancy.New(tenancy.Config{Now: a.clock.Now, LoaderAnnounces: true, Loader: func(ctx context.Context, db bun.IDB, id tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
		a.loads.Add(1)
		return load(ctx, db, id)
	}})
	a.handler = routes(a.db, a.accounts, a.ledger, a.clock.Now)
	return a
}

// client is a customer with its token.
type client struct {
	id    int64
	token string
}

func (a *agency) add(c customer) client {
	a.t.Helper()
	if c.Standing == "" {
		c.Standing = "good"
	}
	if c.Tier == "" {
		c.Tier = "enterprise"
	}
	id, token, err := add(a.t.Context(), a.db, a.ledger, c)
	if err != nil {
		a.t.Fatal(err)
	}
	return client{id, token}
}

// set changes a customer as the back office does.
func (a *agency) set(c client, edit func(*customer)) {
	a.t.Helper()
	if err := change(a.t.Context(), a.db, a.accounts, c.id, edit); err != nil {
		a.t.Fatal(err)
	}
}

func standing(s string) func(*customer) { return func(c *customer) { c.Standing = s } }

func tier(s string) func(*customer) { return func(c *customer) { c.Tier = s } }

func (a *agency) call(c client, method, path, body string) *httptest.ResponseRecorder {
	a.t.Helper()
	r := httptest.NewRequestWithContext(a.t.Context(), method, path, strings.NewReader(body))
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	return w
}

func (a *agency) translate(c client, name, text string) *httptest.ResponseRecorder {
	a.t.Helper()
	return a.call(c, "POST", "/translations", fmt.Sprintf(`{"name": %q, "text": %q}`, name, text))
}

// list is the customer's translations.
func (a *agency) list(c client) (rows []translation) {
	a.t.Helper()
	w := a.call(c, "GET", "/translations", "")
	if err := json.Unmarshal(w.Body.Bytes(), &rows); err != nil || w.Code != http.StatusOK {
		a.t.Fatalf("%d %s", w.Code, w.Body)
	}
	return rows
}

// want checks an answer's status and, of a refusal, its code.
func want(t *testing.T, what string, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	var p struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(w.Body.Bytes(), &p)
	if w.Code != status || p.Code != code {
		t.Errorf("%s: %d %s, want %d %s", what, w.Code, strings.TrimSpace(w.Body.String()), status, code)
	}
}

func TestM2_TheHostsWordsDecideAndAnUnknownOneIsRefused(t *testing.T) {
	a := newAgency(t)
	c := a.add(customer{Standing: "testing", TestsUntil: a.clock.Now().Add(time.Hour)})
	want(t, "testing", a.translate(c, "one", "good morning"), 200, "")
	a.clock.Advance(time.Hour)
	want(t, "testing is over", a.translate(c, "two", "good morning"), 402, "trial_over")
	want(t, "and reads", a.call(c, "GET", "/translations", ""), 200, "")
	for _, s := range []struct {
		standing    string
		write, read int
		code        string
	}{
		{"good", 200, 200, ""},
		{"owing", 402, 200, "past_due"},
		{"barred", 403, 403, "account_suspended"},
		{"gone", 404, 404, "no_account"},
		{"", 403, 403, "account_status_unknown"},
		{"Good", 403, 403, "account_status_unknown"},
		{"active", 403, 403, "account_status_unknown"}, // the library's word is none of the agency's
	} {
		a.set(c, standing(s.standing))
		want(t, s.standing, a.translate(c, "again", "good morning"), s.write, s.code)
		if w := a.call(c, "GET", "/translations", ""); w.Code != s.read {
			t.Errorf("%s reads: %d %s", s.standing, w.Code, w.Body)
		}
	}
	a.set(c, standing("good"))
	a.set(c, tier("no such tier"))
	want(t, "no tier", a.translate(c, "again", "good morning"), 403, "plan_inactive")
}

func TestM6_ABarredCustomerIsRefusedAtOnce(t *testing.T) {
	a := newAgency(t)
	c, other := a.add(customer{}), a.add(customer{})
	want(t, "before", a.translate(c, "one", "good morning"), 200, "")
	a.set(c, standing("barred"))
	want(t, "barred", a.translate(c, "two", "good night"), 403, "account_suspended")
	want(t, "barred, the credits", a.call(c, "GET", "/credits/balance", ""), 403, "account_suspended")
	want(t, "another customer", a.translate(other, "two", "good night"), 200, "")
	creditstest.RequireBalance(t, a.ledger, a.db, accountOf(c.id), welcome-2)
	a.set(c, standing("good"))
	want(t, "afterwards", a.translate(c, "two", "good night"), 200, "")
}

// While Run runs the agency's tables are not asked each time, and yet what the back
// office does counts with the next request.
func TestM6_ARememberedCustomerIsRefusedAtOnce(t *testing.T) {
	a := newAgency(t)
	c := a.add(customer{})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = a.accounts.Run(ctx, a.db) })
	defer running.Wait()
	defer cancel()
	list := func() *httptest.ResponseRecorder {
		a.clock.Advance(time.Second) // so that nobody is too fast
		return a.call(c, "GET", "/translations", "")
	}
	for asked := int64(-1); asked != a.loads.Load(); { // until it is remembered
		asked = a.loads.Load()
		want(t, "in good standing", list(), 200, "")
	}
	a.set(c, standing("barred"))
	want(t, "barred", list(), 403, "account_suspended")
	a.set(c, standing("good"))
	want(t, "afterwards", list(), 200, "")
	if err := change(ctx, a.db, a.accounts, c.id+1, standing("barred")); !errors.Is(err, tenancy.ErrNoAccount) {
		t.Errorf("nobody: %v", err)
	}
}

func TestM7_EachCustomerGoesAsFastAsItsTier(t *testing.T) {
	a := newAgency(t)
	slow, fast := a.add(customer{Tier: "bureau"}), a.add(customer{Tier: "enterprise"})
	for i := range 5 {
		if w := a.call(slow, "GET", "/translations", ""); w.Code != 200 || w.Header().Get("RateLimit-Policy") != `"account";q=5;w=3` {
			t.Fatalf("call %d: %d %v", i, w.Code, w.Header())
		}
	}
	w := a.call(slow, "GET", "/translations", "")
	want(t, "the sixth", w, 429, "rate_limited")
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("Retry-After: %q", w.Header().Get("Retry-After"))
	}
	for range 100 {
		want(t, "another customer", a.call(fast, "GET", "/translations", ""), 200, "")
	}
	a.clock.Advance(time.Second) // two more
	for range 2 {
		want(t, "a second later", a.call(slow, "GET", "/translations", ""), 200, "")
	}
	want(t, "the third", a.call(slow, "GET", "/translations", ""), 429, "rate_limited")
	a.set(slow, tier("enterprise"))
	if v := a.call(slow, "GET", "/translations", "").Header().Get("RateLimit-Policy"); v != `"account";q=200;w=4` {
		t.Errorf("in the larger tier: %s", v)
	}
	a.clock.Advance(time.Second)
	for i := range 50 {
		if w := a.call(slow, "GET", "/translations", ""); w.Code != 200 {
			t.Fatalf("call %d in the larger tier: %d %s", i, w.Code, w.Body)
		}
	}
}

func TestTranslation_TheRowAndItsPriceCommitTogether(t *testing.T) {
	a := newAgency(t)
	ctx, c := t.Context(), a.add(customer{})
	account := accountOf(c.id)
	want(t, "the first", a.translate(c, "one", "good morning all"), 200, "")
	spent := creditstest.RequireEntry(t, a.ledger, a.db, account, credits.KindDeduct, -3)
	if rows := a.list(c); len(rows) != 1 || rows[0].Entry != spent.Number || rows[0].Words != 3 || rows[0].Result != "GOOD MORNING ALL" {
		t.Errorf("%+v, want entry %d", rows, spent.Number)
	}

	want(t, "too much", a.translate(c, "two", strings.Repeat("word ", welcome)), 402, "insufficient_credits")
	if _, err := a.db.ExecContext(ctx, `CREATE TRIGGER jam BEFORE INSERT ON translations WHEN NEW.name = 'jam'
		BEGIN SELECT RAISE(ABORT, 'the disk has a secret'); END`); err != nil {
		t.Fatal(err)
	}
	w := a.translate(c, "jam", "good night")
	want(t, "a row that fails", w, 503, "unavailable")
	if strings.Contains(w.Body.String(), "secret") {
		t.Errorf("the cause shows: %s", w.Body)
	}
	if last := creditstest.RequireEntry(t, a.ledger, a.db, account, credits.KindDeduct, -3); last.Number != spent.Number || len(a.list(c)) != 1 {
		t.Errorf("something was written: %+v, %+v", last, a.list(c))
	}
	creditstest.RequireBalance(t, a.ledger, a.db, account, welcome-3)
	creditstest.RequireSound(t, a.ledger, a.db, "")
}

func TestTranslation_TheSameNameIsPaidOnce(t *testing.T) {
	a := newAgency(t)
	c := a.add(customer{})
	first := a.translate(c, "one", "good morning").Body.String()
	want(t, "other words", a.translate(c, "one", "good morning all"), 409, "key_reused")
	for _, text := range []string{"good morning", "good night"} { // as many words: what was bought is what it was
		if w := a.translate(c, "one", text); w.Code != 200 || w.Body.String() != first {
			t.Errorf("again: %d %s, want %s", w.Code, w.Body, first)
		}
	}
	for _, body := range []string{``, `{"name": "x"}`, `{"text": "x"}`, `{"name": "` + strings.Repeat("x", 101) + `", "text": "x"}`} {
		want(t, body, a.call(c, "POST", "/translations", body), 422, "invalid")
	}
	creditstest.RequireBalance(t, a.ledger, a.db, accountOf(c.id), welcome-2)
}

func TestM11_TwoCustomersAreApart(t *testing.T) {
	a := newAgency(t)
	ada, eve := a.add(customer{}), a.add(customer{})
	want(t, "Ada", a.translate(ada, "one", "my secret plan"), 200, "")
	if rows := a.list(eve); len(rows) != 0 {
		t.Errorf("Eve reads %+v", rows)
	}
	want(t, "Eve, the same name", a.translate(eve, "one", "hello"), 200, "")
	creditstest.RequireBalance(t, a.ledger, a.db, accountOf(ada.id), welcome-3)
	creditstest.RequireBalance(t, a.ledger, a.db, accountOf(eve.id), welcome-1)
	w := a.call(eve, "GET", "/credits/entries", "")
	var page credits.Page
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.Entries) != 2 || page.Entries[0].Amount != -1 {
		t.Errorf("Eve's ledger: %d %s", w.Code, w.Body)
	}
	if rows := a.list(ada); len(rows) != 1 || rows[0].Result != "MY SECRET PLAN" {
		t.Errorf("Ada reads %+v", rows)
	}
}

func TestAdd_ACustomerIsNotMadeWithoutItsCredits(t *testing.T) {
	a := newAgency(t)
	if _, err := a.db.ExecContext(t.Context(), `CREATE TRIGGER jam BEFORE INSERT ON credits_entries BEGIN SELECT RAISE(ABORT, 'full'); END`); err != nil {
		t.Fatal(err)
	}
	if _, _, err := add(t.Context(), a.db, a.ledger, customer{Company: "Babel", Standing: "good", Tier: "bureau"}); err == nil {
		t.Error("made")
	}
	if n, err := a.db.NewSelect().Table("customers").Count(t.Context()); err != nil || n != 0 {
		t.Errorf("%d customers, %v", n, err)
	}
}

func TestSignIn_IsTheHostsOwn(t *testing.T) {
	a := newAgency(t)
	c := a.add(customer{})
	for what, token := range map[string]string{"nobody": "", "a guess": "guess", "the hash": hash(c.token), "a number": fmt.Sprint(c.id)} {
		if w := a.call(client{token: token}, "GET", "/translations", ""); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}
	for range 20 {
		a.call(client{token: "guess"}, "GET", "/translations", "")
	}
	want(t, "guessing on", a.call(client{token: "guess"}, "GET", "/translations", ""), 429, "rate_limited")
	if _, _, err := who(httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)); !errors.Is(err, tenancy.ErrForbidden) {
		t.Errorf("without a sign-in: %v", err)
	}
}

func TestLoad_ACustomerHasOneName(t *testing.T) {
	a := newAgency(t)
	c := a.add(customer{})
	accounts := tenancy.New(tenancy.Config{Loader: load, Now: a.clock.Now})
	actor := tenancy.Actor{Kind: tenancy.ActorSystem, ID: "test"}
	name := accountOf(c.id)
	if _, err := accounts.Enter(t.Context(), a.db, name, actor, 0); err != nil {
		t.Fatal(err)
	}
	for _, id := range []tenancy.AccountID{"", "0" + name, "+" + name, name + ".0", "-" + name, "999", "acc_1", "99999999999999999999"} {
		if _, err := accounts.Enter(t.Context(), a.db, id, actor, 0); !errors.Is(err, tenancy.ErrNoAccount) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if n, err := a.db.NewSelect().Table("tenancy_accounts").Count(t.Context()); err != nil || n != 0 {
		t.Errorf("%d rows in the library's own table of accounts, %v", n, err)
	}
}

// The module's path would let it import the library's internals; a host's own
// could not.
func TestImports_ArePublic(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if strings.Contains(i.Path.Value, "/internal") {
				t.Errorf("%s imports %s", file, i.Path.Value)
			}
		}
	}
}

func TestRun_ServesWhatItPrintsAndKeepsItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "odd? name.db")
	line := regexp.MustCompile(`^curl -i (http://\S+/translations) -H 'Authorization: (Bearer \w+)' -d '(.*)'$`)
	bar := regexp.MustCompile(`^go run -C examples/ownaccounts \. -db (".*") -bar (\d+)$`)
	for i := range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		out, in := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			err := run(ctx, in, []string{"-addr", "127.0.0.1:0", "-db", file})
			_ = in.CloseWithError(io.EOF)
			ended <- err
		}()
		var ask, barring []string
		for lines := bufio.NewScanner(out); barring == nil && lines.Scan(); {
			if m := line.FindStringSubmatch(lines.Text()); m != nil {
				ask = m
			}
			barring = bar.FindStringSubmatch(lines.Text())
		}
		if ask == nil || barring == nil {
			t.Fatalf("start %d ended with %v, printed %q and %q", i+1, <-ended, ask, barring)
		}
		post := func() (status int, body string) {
			t.Helper()
			r, err := http.NewRequestWithContext(ctx, "POST", ask[1], strings.NewReader(ask[3]))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", ask[2])
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode, string(b)
		}
		if status, body := post(); status != 200 || !strings.Contains(body, "GOOD MORNING") {
			t.Errorf("%d %s", status, body)
		}
		if name, err := strconv.Unquote(barring[1]); err != nil || name != file {
			t.Errorf("the file is %s, %v", barring[1], err)
		}
		if err := run(ctx, io.Discard, []string{"-db", file, "-bar", barring[2]}); err != nil {
			t.Error(err)
		}
		for deadline := time.Now().Add(time.Minute); ; { // the other process, as it were, learns of it
			status, body := post()
			if status == http.StatusForbidden {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("barred: %d %s", status, body)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("start %d ended with %v", i+1, err)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}
