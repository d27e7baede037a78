package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/examples/catalogue"
	"github.com/quitrent/quitrent/tenancy"
)

// startUntil runs a program and kills it when ctx ends.
func startUntil(ctx context.Context, name string, args ...string) error {
	return exec.CommandContext(ctx, name, args...).Run()
}

func TestCtrlC_AnswersWhatIsUnderWayAndKeepsTheData(t *testing.T) {
	file := newFile(t)
	s := start(t, file)
	ada := s.signUp("ada@example.com")

	// The server asks for the body when the handler reads it: then the request is
	// under way, and stays so until the body comes.
	at := strings.TrimPrefix(s.base, "http://")
	conn, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.base, nil)
	if err != nil {
		t.Fatal(err)
	}
	ada.key(r)
	const body = `{"count": 4}`
	fmt.Fprintf(conn, "POST /v1/ideas HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		at, r.Header.Get("Authorization"), len(body))
	in := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(in, r); err != nil || resp.StatusCode != http.StatusContinue {
		t.Fatalf("got %v, %v", resp, err)
	}

	s.interrupt()
	s.await("the end of listening", func() bool {
		c, err := net.Dial("tcp", at)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	fmt.Fprint(conn, body)
	resp, err := http.ReadResponse(in, r)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Credits-Remaining") != "1980" {
		t.Fatalf("what was under way: %v, %v", resp, err)
	}
	_ = resp.Body.Close()
	if code := s.ended(); code != 0 || !strings.HasSuffix(s.out.String(), "\nstopped; the data stays in "+file+"\n") {
		t.Errorf("exit %d\n%s%s", code, &s.out, &s.log)
	}

	s = start(t, file)
	if left := s.balance(ada); left != 1980 {
		t.Errorf("%d left after the restart", left)
	}
	if a := s.get("/v1/keys", ada.person); !strings.Contains(a.body, `"last_used_at"`) {
		t.Errorf("what keys.Run had gathered: %s", a.body)
	}
	if a := s.post("/v1/ideas", ada.key, `{"count": 1}`); a.status != http.StatusOK {
		t.Errorf("the key after the restart: %d %s", a.status, a.body)
	}
}

func TestEnsureFreeTrial_CreatesThePlanAndSaysWhenItIsThere(t *testing.T) {
	file := newFile(t)
	want := func(said string) {
		t.Helper()
		if code, out := run(t, "-db", file, "-ensure-free-trial"); code != 0 || out != said+"\n" {
			t.Errorf("exit %d, %q, want %q", code, out, said)
		}
	}
	ctx, accounts := t.Context(), tenancy.New(tenancy.Config{})
	want("created or updated the plan free-trial")
	want("the plan free-trial is there already")

	db := database(t, file)
	plans, err := accounts.Plans(ctx, db)
	if diff := cmp.Diff([]tenancy.Plan{catalogue.FreeTrial()}, plans); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := db.ExecContext(ctx, `UPDATE tenancy_plans SET monthly_credits = 1`); err != nil {
		t.Fatal(err)
	}
	want("created or updated the plan free-trial")
	if p, err := accounts.Plan(ctx, db, tenancy.DefaultTrialPlan); err != nil || p.MonthlyCredits != 2000 {
		t.Errorf("%+v, %v", p, err)
	}
	_ = db.Close()

	s := start(t, file)
	ada := s.signUp("ada@example.com")
	want("the plan free-trial is there already") // beside a server
	s.stop()
	want("the plan free-trial is there already")
	s = start(t, file)
	if left := s.balance(ada); left != 2000 {
		t.Errorf("%d left", left)
	}
}

func TestStart_SaysWhatIsWrong(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	missing := filepath.Join(t.TempDir(), "missing", "quickstart.db")
	for what, c := range map[string]struct {
		args []string
		want []string
	}{
		"the port is in use":   {[]string{"-addr", taken.Addr().String(), "-db", newFile(t)}, []string{taken.Addr().String(), "address already in use", "-addr 127.0.0.1:0"}},
		"the folder is absent": {[]string{"-addr", "127.0.0.1:0", "-db", missing}, []string{missing, "is its folder there", "-db FILE"}},
		"the same with ensure": {[]string{"-ensure-free-trial", "-db", missing}, []string{missing, "is its folder there"}},
	} {
		code, said := run(t, c.args...)
		if code != 1 || strings.Count(said, "\n") != 1 {
			t.Errorf("%s: exit %d\n%s", what, code, said)
		}
		for _, words := range c.want {
			if !strings.Contains(said, words) {
				t.Errorf("%s: %q does not say %q", what, said, words)
			}
		}
	}
}

func TestStart_TheFileMayHaveAnyName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "it's 100% odd?name#.db")
	if code, said := run(t, "-ensure-free-trial", "-db", file); code != 0 {
		t.Fatalf("exit %d %s", code, said)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestStart_APepperIsWrittenOnceAndForItsOwnerAlone(t *testing.T) {
	file := newFile(t) + ".pepper"
	first, err := pepper(file)
	if err != nil || len(first.Secret) != 32 {
		t.Fatalf("%d bytes, %v", len(first.Secret), err)
	}
	again, err := pepper(file)
	if err != nil || string(again.Secret) != string(first.Secret) {
		t.Errorf("another one: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if all, err := os.ReadDir(filepath.Dir(file)); err != nil || len(all) != 1 {
		t.Errorf("left behind: %v, %v", all, err)
	}
}

func TestM15_TheNextStartBringsAnOlderSchemaForward(t *testing.T) {
	file := newFile(t)
	s := start(t, file)
	ada := s.signUp("ada@example.com")
	paid := s.buy(ada, "starter")
	open := s.request(ada, "growth")
	s.stop()

	db := database(t, file)
	if err := billing.Down(t.Context(), db, 1); err != nil { // as before payment methods
		t.Fatal(err)
	}
	if _, pending, err := billing.MigrationStatus(t.Context(), db); err != nil || len(pending) == 0 {
		t.Fatalf("nothing was taken back: %v", err)
	}
	_ = db.Close()

	s = start(t, file)
	var again transfer
	for _, t2 := range read[struct{ Transfers []transfer }](t, s.get("/v1/billing/transfers", ada.person), 200).Transfers {
		if t2.Reference == paid.Reference {
			again = t2
		}
	}
	if again.Status != "confirmed" || again.Entry != paid.Entry || !again.PeriodEnd.Equal(paid.PeriodEnd) {
		t.Errorf("the transfer is %+v, was %+v", again, paid)
	}
	if got := read[transfer](t, s.confirm(bearer(s.operator), open.Reference), 200); got.Status != "confirmed" {
		t.Errorf("the open transfer: %+v", got)
	}
	if left := s.balance(ada); left != 2000+1000+2000 {
		t.Errorf("%d left", left)
	}
}

func TestM15_ThisProgramRunsOnTheSchemaOfTheNext(t *testing.T) {
	file := newFile(t)
	s := start(t, file)
	ada := s.signUp("ada@example.com")
	s.stop()

	db := database(t, file)
	widen(t, db)
	_ = db.Close()

	s = start(t, file)
	eve := s.signUp("eve@example.com")
	for _, c := range []customer{ada, eve} {
		if a := s.post("/v1/ideas", c.key, `{"count": 2}`, "Idempotency-Key", "one"); a.status != http.StatusOK {
			t.Errorf("%d %s", a.status, a.body)
		}
		s.buy(c, "starter")
		s.get("/v1/keys", c.person)
		if got := s.account(c); got.Status != "active" || s.balance(c) != 2990 {
			t.Errorf("%+v", got)
		}
	}
	if a := s.get("/v1/credits/entries", ada.key); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, what := range []string{"suspend", "resume"} {
		if a := s.post("/operator/accounts/"+ada.account+"/"+what, bearer(s.operator), `{"reason": "test"}`); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
}

// widen does to the schema what a later version may do under a running program: a
// column more in every table, and a version that this one does not know.
func widen(t *testing.T, db *bun.DB) {
	t.Helper()
	ctx := t.Context()
	var tables []string
	err := db.NewRaw(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`).Scan(ctx, &tables)
	if len(tables) < 10 {
		t.Fatalf("tables %v, %v", tables, err)
	}
	for _, table := range tables {
		_, e := db.NewRaw(`ALTER TABLE ? ADD COLUMN of_the_next_version TEXT NOT NULL DEFAULT ''`, bun.Ident(table)).Exec(ctx)
		err = errors.Join(err, e)
	}
	for _, p := range []string{"tenancy", "authn", "credits", "billing"} {
		_, e := db.NewRaw(`INSERT INTO quitrent_migrations (package, version, name, applied_at)
			SELECT package, version + 50, '9999_next', applied_at FROM quitrent_migrations WHERE package = ?`, p).Exec(ctx)
		err = errors.Join(err, e)
	}
	if err != nil {
		t.Fatal(err)
	}
}
