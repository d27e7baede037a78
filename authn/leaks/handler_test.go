package leaks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/leaks"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

const yes, no = "true_positive", "false_positive"

func TestHandler_RevokesKeysAndSaysWhichTheyWere(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued, stays := h.issue(t, h.keys), h.issue(t, h.keys)
		test := h.newKeys(t, "test")
		tested := h.issue(t, test)
		var told []authn.Leak
		reports := h.leaks(t, leaks.Config{More: []*authn.Keys{test}, Notify: func(_ context.Context, leak authn.Leak) error {
			told = append(told, leak)
			return nil
		}}).Handler(h.db)

		other := stays.Secret[:20] + strings.Repeat("x", 30) // its id, and no secret of it
		other = sum(other)
		tokens := []string{issued.Secret, other, issued.Secret, "ghp_somebody_elses", "", tested.Secret}
		for round := range 2 { // the second one is a replay
			w := serve(reports, h.scanner.report(finds(tokens...)))
			if d := cmp.Diff([]string{yes, no, yes, no, no, yes}, labels(t, w, tokens...)); d != "" {
				t.Errorf("round %d (-want +got):\n%s", round, d)
			}
			if strings.Contains(w.Body.String(), issued.Secret[20:50]) {
				t.Errorf("the answer repeats the key: %s", w.Body)
			}
		}
		if h.opens(t, h.keys, issued.Secret) || h.opens(t, test, tested.Secret) || !h.opens(t, h.keys, stays.Secret) {
			t.Error("not the leaked keys were revoked")
		}
		if len(told) != 2 || told[0].Key.ID != issued.Key.ID || !told[0].Revoked || told[1].Key.ID != tested.Key.ID {
			t.Errorf("told %+v", told)
		}
		fact := tenancytest.RequireEvent[authn.KeyLeaked](t, h.db, h.ada.Account.ID)
		want := authn.KeyLeaked{Key: tested.Key.ID, Revoked: true, Scanner: "github", Source: "content", URL: "https://git.example/blob/.env"}
		if d := cmp.Diff(want, fact); d != "" {
			t.Errorf("the event (-want +got):\n%s", d)
		}
	})
}

func TestHandler_NotifyOnlyLeavesTheKey(t *testing.T) {
	h := lite(t)
	issued := h.issue(t, h.keys)
	told := 0
	reports := h.leaks(t, leaks.Config{NotifyOnly: true, Notify: func(_ context.Context, leak authn.Leak) error {
		told++
		if leak.Revoked || leak.Key.ID != issued.Key.ID || leak.Scanner != "github" {
			t.Errorf("told %+v", leak)
		}
		return nil
	}}).Handler(h.db)
	for range 2 {
		if got := labels(t, serve(reports, h.scanner.report(finds(issued.Secret))), issued.Secret); got[0] != yes {
			t.Error(got)
		}
	}
	if told != 1 || !h.opens(t, h.keys, issued.Secret) {
		t.Errorf("told %d times", told)
	}
}

func TestHandler_WhatIsNoKeyCostsNoStatement(t *testing.T) {
	h := lite(t)
	asked := &queries{}
	reports := h.leaks(t, leaks.Config{}).Handler(h.db.WithQueryHook(asked))
	tokens := []string{"", "x", "qr_live_" + strings.Repeat("0", 48), strings.Repeat("x", 900_000)}
	if d := cmp.Diff([]string{no, no, no, no}, labels(t, serve(reports, h.scanner.report(finds(tokens...))), tokens...)); d != "" {
		t.Error(d)
	}
	if w := serve(reports, h.scanner.report("[]")); w.Code != 200 || w.Body.String() != "[]\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if asked.n != 0 {
		t.Errorf("the database was asked %d times", asked.n)
	}
}

func TestHandler_TheSignatureComesFirst(t *testing.T) {
	h := lite(t)
	issued := h.issue(t, h.keys)
	reports := h.leaks(t, leaks.Config{Read: func([]byte) ([]leaks.Report, error) {
		t.Error("an unsigned body was read")
		return nil, nil
	}}).Handler(h.db)
	body := finds(issued.Secret)
	for what, tc := range map[string]struct {
		change func(r *http.Request)
		status int
		code   string
	}{
		"no headers":        {func(r *http.Request) { r.Header = http.Header{} }, 401, "missing_signature"},
		"no signature":      {func(r *http.Request) { r.Header.Del("Github-Public-Key-Signature") }, 401, "missing_signature"},
		"no identifier":     {func(r *http.Request) { r.Header.Set("Github-Public-Key-Identifier", "") }, 401, "missing_signature"},
		"two identifiers":   {func(r *http.Request) { r.Header.Add("Github-Public-Key-Identifier", "x") }, 401, "missing_signature"},
		"two signatures":    {func(r *http.Request) { r.Header.Add("Github-Public-Key-Signature", "x") }, 401, "missing_signature"},
		"another's key":     {func(r *http.Request) { r.Header.Set("Github-Public-Key-Identifier", "second") }, 403, "invalid_signature"},
		"no base 64":        {func(r *http.Request) { r.Header.Set("Github-Public-Key-Signature", "!") }, 403, "invalid_signature"},
		"no ASN.1":          {func(r *http.Request) { r.Header.Set("Github-Public-Key-Signature", "AAAA") }, 403, "invalid_signature"},
		"by somebody else":  {func(r *http.Request) { r.Header = newScanner("first").report(body).Header }, 403, "invalid_signature"},
		"for another body":  {func(r *http.Request) { r.Header = h.scanner.report(body + " ").Header }, 403, "invalid_signature"},
		"for an empty body": {func(r *http.Request) { r.Header = h.scanner.report("").Header }, 403, "invalid_signature"},
	} {
		r := h.scanner.report(body)
		tc.change(r)
		w := serve(reports, r)
		wantProblem(t, what, w, tc.status, tc.code)
		if (w.Header().Get("WWW-Authenticate") == "Signature") != (tc.status == 401) {
			t.Errorf("%s: WWW-Authenticate %q", what, w.Header().Get("WWW-Authenticate"))
		}
	}
	if !h.opens(t, h.keys, issued.Secret) {
		t.Error("an unsigned report revoked a key")
	}
}

// The example of a signed report in GitHub's documentation, with the test key that it
// names for it: the bytes are theirs, so the form is not only ours.
func TestHandler_TakesGitHubsOwnExample(t *testing.T) {
	h := lite(t)
	const (
		id   = "f9525bf080f75b3506ca1ead061add62b8633a346606dc5fe544e29231c6ee0d"
		sig  = "MEUCIFLZzeK++IhS+y276SRk2Pe5LfDrfvTXu6iwKKcFGCrvAiEAhHN2kDOhy2I6eGkOFmxNkOJ+L2y8oQ9A2T9GGJo6WJY="
		body = `[{"token":"some_token","type":"some_type","url":"some_url","source":"some_source"}]`
		key  = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEsz9ugWDj5jK5ELBK42ynytbo38gP\nHzZFI03Exwz8Lh/tCfL3YxwMdLjB+bMznsanlhK0RwcGP3IDb34kQDIo3Q==\n-----END PUBLIC KEY-----\n"
	)
	reports := h.leaks(t, leaks.Config{PublicKeys: map[string]string{id: key}}).Handler(h.db)
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("GITHUB-PUBLIC-KEY-IDENTIFIER", id)
	r.Header.Set("GITHUB-PUBLIC-KEY-SIGNATURE", sig)
	w := serve(reports, r)
	var answers []map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &answers); err != nil || w.Code != 200 || len(answers) != 1 ||
		answers[0]["label"] != no || answers[0]["token_type"] != "some_type" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestHandler_RefusesWhatIsNoReport(t *testing.T) {
	h := lite(t)
	issued := h.issue(t, h.keys)
	reports := h.leaks(t, leaks.Config{MaxReports: 2}).Handler(h.db)
	for what, tc := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"nothing":          {"", 422, "invalid_report"},
		"null":             {"null", 422, "invalid_report"},
		"no JSON":          {issued.Secret, 422, "invalid_report"},
		"an object":        {`{"token":"` + issued.Secret + `"}`, 422, "invalid_report"},
		"a list of text":   {`["` + issued.Secret + `"]`, 422, "invalid_report"},
		"a find of null":   {`[null]`, 422, "invalid_report"},
		"no token":         {`[{"token":"` + issued.Secret + `"},{"type":"x"}]`, 422, "invalid_report"},
		"a null token":     {`[{"token":null}]`, 422, "invalid_report"},
		"a number":         {`[{"token":"` + issued.Secret + `","url":1}]`, 422, "invalid_report"},
		"a second value":   {finds(issued.Secret) + "[]", 422, "invalid_report"},
		"too many":         {finds(issued.Secret, "x", "y"), 422, "invalid_report"},
		"too much":         {finds(issued.Secret, strings.Repeat("x", 1<<20)), 413, "body_too_large"},
		"half of it":       {finds(issued.Secret)[:90], 422, "invalid_report"},
		"members too deep": {`[{"token":` + strings.Repeat("[", 20000), 422, "invalid_report"},
	} {
		w := serve(reports, h.scanner.report(tc.body))
		wantProblem(t, what, w, tc.status, tc.code)
		if strings.Contains(w.Body.String(), issued.Secret[:8]) {
			t.Errorf("%s: the refusal holds what was sent: %s", what, w.Body)
		}
	}
	r := h.scanner.report(finds(issued.Secret))
	r.Body = http.NoBody
	wantProblem(t, "a body that was lost", serve(reports, r), 403, "invalid_signature")
	r = h.scanner.report(finds(issued.Secret))
	broken := httptest.NewRequest("POST", "/", iotest.ErrReader(errors.New("broken")))
	broken.Header = r.Header
	wantProblem(t, "a body that breaks off", serve(reports, broken), 422, "invalid_report")
	w := serve(reports, httptest.NewRequest("GET", "/", nil))
	wantProblem(t, "a GET", w, 405, "method_not_allowed")
	if !h.opens(t, h.keys, issued.Secret) {
		t.Error("a report that was refused revoked a key")
	}
	more := `[{"token":"` + issued.Secret + `","type":"quitrent_api_key","location":"https://git.example/x","more":{"a":[1]}}]`
	if got := labels(t, serve(reports, h.scanner.report(more)), issued.Secret); got[0] != yes {
		t.Errorf("with another member: %v", got)
	}
	if fact := tenancytest.RequireEvent[authn.KeyLeaked](t, h.db, h.ada.Account.ID); fact.URL != "https://git.example/x" {
		t.Errorf("the event %+v", fact)
	}
}

func TestHandler_AnotherScannerBringsItsOwnForm(t *testing.T) {
	h := lite(t)
	issued := h.issue(t, h.keys)
	verify, err := leaks.Bearer(strings.Repeat("scanner's token ", 2))
	if err != nil {
		t.Fatal(err)
	}
	reports := h.leaks(t, leaks.Config{
		Scanner: "our-own", Verify: verify,
		Read: func(body []byte) ([]leaks.Report, error) {
			if token, ok := bytes.CutPrefix(body, []byte("found ")); ok {
				return []leaks.Report{{Token: string(token), Type: "quitrent_api_key"}}, nil
			}
			return nil, fmt.Errorf("cannot read %s", body)
		},
	}).Handler(h.db)
	post := func(body, auth string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		if auth != "" {
			r.Header.Set("Authorization", auth)
		}
		return serve(reports, r)
	}
	wantProblem(t, "no token", post("found "+issued.Secret, ""), 401, "missing_credential")
	wantProblem(t, "another token", post("found "+issued.Secret, "Bearer x"), 403, "forbidden")
	auth := "Bearer " + strings.Repeat("scanner's token ", 2)
	w := post("lost "+issued.Secret, auth)
	wantProblem(t, "what it cannot read", w, 422, "invalid_report")
	if strings.Contains(w.Body.String(), "cannot read") {
		t.Errorf("the host's words reach the client: %s", w.Body)
	}
	if got := labels(t, post("found "+issued.Secret, auth), issued.Secret); got[0] != yes || h.opens(t, h.keys, issued.Secret) {
		t.Error("the key was not revoked")
	}
	if fact := tenancytest.RequireEvent[authn.KeyLeaked](t, h.db, h.ada.Account.ID); fact.Scanner != "our-own" {
		t.Errorf("the event %+v", fact)
	}
}

// stops fails the look for a secret after so many: a key has two.
type stops struct{ after, n int }

func (s *stops) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if strings.HasPrefix(e.Query, "SELECT s.account_id") {
		if s.n++; s.n > s.after {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx
		}
	}
	return ctx
}
func (s *stops) AfterQuery(context.Context, *bun.QueryEvent) {}

func TestHandler_AfterAFaultWhatWasDoneIsToldAndNotDoneAgain(t *testing.T) {
	h := lite(t)
	first, second := h.issue(t, h.keys), h.issue(t, h.keys)
	var told []authn.KeyID
	reports := h.leaks(t, leaks.Config{Notify: func(_ context.Context, leak authn.Leak) error {
		told = append(told, leak.Key.ID)
		return errors.New("the mail server knows no ada@example.com")
	}})
	var log bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(old)

	body := finds(first.Secret, second.Secret)
	w := serve(reports.Handler(h.db.WithQueryHook(&stops{after: 2})), h.scanner.report(body))
	wantProblem(t, "a database that goes away", w, 503, "unavailable")
	if len(told) != 1 || told[0] != first.Key.ID || h.opens(t, h.keys, first.Secret) || !h.opens(t, h.keys, second.Secret) {
		t.Errorf("told %v", told)
	}
	if got := labels(t, serve(reports.Handler(h.db), h.scanner.report(body)), first.Secret, second.Secret); got[0] != yes || got[1] != yes {
		t.Error(got)
	}
	if len(told) != 2 || told[1] != second.Key.ID || h.opens(t, h.keys, second.Secret) {
		t.Errorf("told %v", told)
	}
	if said := log.String(); !strings.Contains(said, string(first.Key.ID)) || strings.Contains(said, "ada@") || strings.Contains(said, first.Secret[20:50]) {
		t.Errorf("the log says %s", said)
	}
}

func TestNotify_HasABoundAndNoRequestsEnd(t *testing.T) {
	h := lite(t)
	issued := h.issue(t, h.keys)
	ctx, cancel := context.WithCancel(t.Context())
	var deadline time.Time
	var ended error
	reports := h.leaks(t, leaks.Config{Notify: func(ctx context.Context, _ authn.Leak) error {
		cancel() // the scanner hangs up
		deadline, _ = ctx.Deadline()
		ended = ctx.Err()
		return nil
	}}).Handler(h.db)
	serve(reports, h.scanner.report(finds(issued.Secret)).WithContext(ctx))
	if deadline.IsZero() || ended != nil {
		t.Errorf("deadline %s, %v", deadline, ended)
	}
}

func TestNew_SaysWhatIsWrong(t *testing.T) {
	h := lite(t)
	given := map[string]string{"first": h.scanner.public()}
	for what, tc := range map[string]struct {
		keys *authn.Keys
		cfg  leaks.Config
		says string
	}{
		"no keys":          {nil, leaks.Config{}, "keys are nil"},
		"no more keys":     {h.keys, leaks.Config{More: []*authn.Keys{nil}}, "keys are nil"},
		"a bad name":       {h.keys, leaks.Config{Scanner: "Git Hub"}, "scanner's name"},
		"plain HTTP":       {h.keys, leaks.Config{KeysURL: "http://api.example/keys"}, "https://"},
		"no host":          {h.keys, leaks.Config{KeysURL: "https:///keys"}, "https://"},
		"no URL":           {h.keys, leaks.Config{KeysURL: "\x00"}, "https://"},
		"no public keys":   {h.keys, leaks.Config{PublicKeys: map[string]string{}}, "PublicKeys is empty"},
		"no PEM":           {h.keys, leaks.Config{PublicKeys: map[string]string{"a": "b"}}, "public key"},
		"no name of a key": {h.keys, leaks.Config{PublicKeys: map[string]string{"": h.scanner.public()}}, "public key"},
		"two ways":         {h.keys, leaks.Config{PublicKeys: given, KeysURL: "https://api.example/"}, "several of"},
		"two other ways":   {h.keys, leaks.Config{PublicKeys: given, Verify: func(*http.Request, []byte) error { return nil }}, "several of"},
	} {
		if _, err := leaks.New(tc.keys, tc.cfg); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := leaks.New(h.keys, leaks.Config{}); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
	if _, err := leaks.Bearer("short"); err == nil {
		t.Error("a short token is taken")
	}
}

func TestReport_PrintsWithoutTheToken(t *testing.T) {
	r := leaks.Report{Token: "CANARY", Type: "a type"}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb, r)
		fmt.Fprintf(&out, verb, &r)
		fmt.Fprintf(&out, verb, []any{r})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("report", "r", r)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("report", "r", r)
	_ = json.NewEncoder(&out).Encode(r)
	if s := out.String(); strings.Contains(s, "CANARY") || strings.Contains(strings.ToLower(s), "43414e415259") || !strings.Contains(s, `report of a`) {
		t.Errorf("it prints %s", s)
	}
}

// What is taken for a report has a token in each find, and what is not is refused in
// words of ours.
func FuzzReadReports(f *testing.F) {
	for _, seed := range []string{`[]`, `[{"token":"x","type":"t","url":"u","source":"s"}]`, `null`, `[null]`, `[{}]`, `{}`, `[{"token":"x"}]x`, "[{\"token\":\"\xff\"}]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		reports, err := leaks.ReadReports(body)
		if err != nil && !errors.Is(err, leaks.ErrBadReport) {
			t.Fatalf("%q: %v", body, err)
		}
		var list []map[string]any
		if err == nil && (json.Unmarshal(body, &list) != nil || len(list) != len(reports)) {
			t.Fatalf("%q became %v", body, reports)
		}
	})
}
