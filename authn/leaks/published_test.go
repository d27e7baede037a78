package leaks_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quitrent/quitrent/authn/leaks"
	"github.com/quitrent/quitrent/internal/dbtest"
)

// publisher is a scanner's list of public keys, over TLS.
type publisher struct {
	*httptest.Server

	mu     sync.Mutex
	answer http.HandlerFunc
	asked  int
}

func newPublisher(t *testing.T, listed ...*scanner) *publisher {
	p := &publisher{answer: list(listed...)}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		answer := p.answer
		p.asked++
		p.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// list answers with the scanners' keys, and with an ETag that is of these alone.
func list(listed ...*scanner) http.HandlerFunc {
	type entry struct {
		ID      string `json:"key_identifier"`
		Key     string `json:"key"`
		Current bool   `json:"is_current"`
	}
	var keys []entry
	for _, s := range listed {
		keys = append(keys, entry{s.id, s.public(), len(keys) == 0})
	}
	b, err := json.Marshal(map[string]any{"public_keys": keys})
	if err != nil {
		panic(err)
	}
	tag := fmt.Sprintf("%q", fmt.Sprint(len(b))+listed[0].id)
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", tag)
		_, _ = w.Write(b)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// says makes p answer otherwise.
func (p *publisher) says(answer http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func (p *publisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// fetching is a handler whose public keys come from p.
func (h *house) fetching(t *testing.T, p *publisher) http.Handler {
	return h.leaks(t, leaks.Config{KeysURL: p.URL, Client: p.Client()}).Handler(h.db)
}

func TestKeys_AreFetchedOnceAnHour(t *testing.T) {
	h := lite(t)
	p := newPublisher(t, h.scanner)
	reports := h.fetching(t, p)
	wantAsked := func(what string, n int) {
		t.Helper()
		if w := serve(reports, h.scanner.report("[]")); w.Code != 200 || p.count() != n {
			t.Errorf("%s: %d %s after %d fetches, want %d", what, w.Code, w.Body, p.count(), n)
		}
	}
	if p.count() != 0 {
		t.Error("New fetches")
	}
	wantAsked("the first report", 1)
	h.clock.Advance(time.Hour - 1)
	wantAsked("within the hour", 1)
	h.clock.Advance(1)
	wantAsked("after the hour", 2) // not modified
	h.clock.Advance(time.Hour - 1)
	wantAsked("within the second hour", 2)
	h.clock.Advance(-24 * time.Hour)
	wantAsked("a clock that was set back", 3)
}

func TestKeys_TurnWithTheScanner(t *testing.T) {
	h := lite(t)
	second, third := newScanner("second"), newScanner("third")
	p := newPublisher(t, h.scanner)
	reports := h.fetching(t, p)
	post := func(s *scanner) *httptest.ResponseRecorder { return serve(reports, s.report("[]")) }
	if w := post(h.scanner); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	h.clock.Advance(time.Minute)
	p.says(list(second, h.scanner))
	for _, s := range []*scanner{second, h.scanner} {
		if w := post(s); w.Code != 200 || p.count() != 2 {
			t.Errorf("%s: %d %s after %d fetches", s.id, w.Code, w.Body, p.count())
		}
	}
	// However many are made up, one a minute is asked for.
	for range 5 {
		wantProblem(t, "an unknown one", post(third), 403, "invalid_signature")
	}
	h.clock.Advance(time.Minute - 1)
	wantProblem(t, "an unknown one", post(third), 403, "invalid_signature")
	if p.count() != 2 {
		t.Errorf("%d fetches within a minute", p.count()-1)
	}
	h.clock.Advance(1)
	wantProblem(t, "an unknown one", post(third), 403, "invalid_signature")
	if p.count() != 3 {
		t.Errorf("%d fetches after a minute", p.count()-2)
	}
	// One that is withdrawn is believed for an hour.
	p.says(list(second))
	h.clock.Advance(time.Hour)
	wantProblem(t, "the withdrawn key", post(h.scanner), 403, "invalid_signature")
}

func TestKeys_WhereTheyCannotBeFetchedKnownOnesServeForADay(t *testing.T) {
	h := lite(t)
	p := newPublisher(t, h.scanner)
	reports := h.fetching(t, p)
	unknown := newScanner("second")
	want := func(what string, s *scanner, status int, after string) {
		t.Helper()
		w := serve(reports, s.report("[]"))
		if w.Code != status || w.Header().Get("Retry-After") != after {
			t.Errorf("%s: %d, Retry-After %q, %s", what, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
		if status == 503 {
			wantProblem(t, what, w, 503, "scanner_keys_unavailable")
			if strings.Contains(w.Body.String(), "500") || strings.Contains(w.Body.String(), p.URL) {
				t.Errorf("%s: the client learns %s", what, w.Body)
			}
		}
	}
	p.says(status(500))
	want("nothing is known", h.scanner, 503, "60")
	h.clock.Advance(20 * time.Second)
	want("nothing is known", h.scanner, 503, "40")
	if p.count() != 1 {
		t.Errorf("%d fetches within a minute", p.count())
	}
	h.clock.Advance(40 * time.Second)
	p.says(list(h.scanner))
	want("it is back", h.scanner, 200, "")

	p.says(status(500))
	h.clock.Advance(24*time.Hour - 1)
	want("within the day", h.scanner, 200, "")
	want("an unknown one, meanwhile", unknown, 503, "60")
	h.clock.Advance(time.Minute)
	want("after the day", h.scanner, 503, "60")
	p.says(list(h.scanner))
	h.clock.Advance(time.Minute)
	want("it is back", h.scanner, 200, "")
}

func TestKeys_OfAnotherKindAreNone(t *testing.T) {
	h := lite(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(s string, args ...any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, s, args...) }
	}
	const entry = `{"key_identifier": "first", "key": %q},`
	for what, say := range map[string]http.HandlerFunc{
		"an RSA key":         answer(`{"public_keys": [`+entry+`{}]}`, public(&rsaKey.PublicKey)),
		"another curve":      answer(`{"public_keys": [`+entry+`{}]}`, public(&p384.PublicKey)),
		"no PEM":             answer(`{"public_keys": [`+entry+`{}]}`, "x"),
		"no identifier":      answer(`{"public_keys": [{"key": %q}]}`, h.scanner.public()),
		"no keys":            answer(`{"public_keys": []}`),
		"no JSON":            answer(`<html>`),
		"another shape":      answer(`["first"]`),
		"a redirect":         func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"unasked for 304":    status(304),
		"too many":           answer(`{"public_keys": [%s{}]}`, strings.Repeat(`{},`, 100)),
		"an endless answer":  answer(`{"x": %q, "public_keys": []}`, strings.Repeat("x", 1<<20)),
		"a cut off answer":   answer(`{"public_keys": [`),
		"not found":          status(404),
		"more than too much": status(429),
	} {
		p := newPublisher(t, h.scanner)
		p.says(say)
		client := p.Client()
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		reports := h.leaks(t, leaks.Config{KeysURL: p.URL, Client: client}).Handler(h.db)
		wantProblem(t, what, serve(reports, h.scanner.report("[]")), 503, "scanner_keys_unavailable")
	}
	p := newPublisher(t, h.scanner)
	p.says(answer(`{"public_keys": [{"key_identifier": "rsa", "key": %q},`+entry+`{}]}`, public(&rsaKey.PublicKey), h.scanner.public()))
	if w := serve(h.fetching(t, p), h.scanner.report("[]")); w.Code != 200 {
		t.Errorf("one of several kinds: %d %s", w.Code, w.Body)
	}
}

// Many wait for one fetch, each as long as it likes, and who began it may leave.
func TestKeys_OneFetchServesAllThatWait(t *testing.T) {
	h := lite(t)
	p := newPublisher(t, h.scanner)
	begun, release := make(chan struct{}, 100), make(chan struct{})
	right := list(h.scanner)
	p.says(func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-release
		right(w, r)
	})
	reports := h.fetching(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan int, 1)
	go func() { first <- serve(reports, h.scanner.report("[]").WithContext(ctx)).Code }()
	<-begun
	cancel() // and the fetch goes on

	gone, leave := context.WithCancel(t.Context())
	leave()
	w := serve(reports, h.scanner.report("[]").WithContext(gone))
	wantProblem(t, "who does not wait", w, 503, "unavailable")

	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		dbtest.Together(10, func(int) error {
			if w := serve(reports, h.scanner.report("[]")); w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			return nil
		})
	}()
	close(release)
	<-waiting
	if code := <-first; code != 200 && code != 503 {
		t.Errorf("the first: %d", code)
	}
	if p.count() != 1 {
		t.Errorf("%d fetches", p.count())
	}
}

type panics struct{}

func (panics) RoundTrip(*http.Request) (*http.Response, error) { panic("boom") }

// A host's transport that panics leaves nobody waiting for ever.
func TestKeys_APanicInTheTransportEndsTheFetch(t *testing.T) {
	h := lite(t)
	reports := h.leaks(t, leaks.Config{KeysURL: "https://scanner.example/keys", Client: &http.Client{Transport: panics{}}}).Handler(h.db)
	func() {
		defer func() {
			if r := recover(); r != "boom" {
				t.Errorf("recovered %v", r)
			}
		}()
		serve(reports, h.scanner.report("[]"))
	}()
	wantProblem(t, "the next one", serve(reports, h.scanner.report("[]")), 503, "scanner_keys_unavailable")
}

type fails struct{}

func (fails) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("no route") }

func TestKeys_WhyTheyCannotBeFetchedIsInTheLog(t *testing.T) {
	var log bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(old)
	h := lite(t)
	reports := h.leaks(t, leaks.Config{KeysURL: "https://scanner.example/keys", Client: &http.Client{Transport: fails{}}}).Handler(h.db)
	w := serve(reports, h.scanner.report("[]"))
	wantProblem(t, "no route", w, 503, "scanner_keys_unavailable")
	if !strings.Contains(log.String(), "no route") || strings.Contains(w.Body.String(), "no route") {
		t.Errorf("logged %s\nanswered %s", &log, w.Body)
	}
}
