package problem_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/internal/tx"
)

var (
	errPoor  = problem.New(http.StatusPaymentRequired, "poor", "too few credits")
	errWho   = problem.New(http.StatusUnauthorized, "who", "no credential")
	errClash = problem.New(http.StatusConflict, "clash", "the key was used")
)

// shortfall knows numbers that the client needs.
type shortfall struct{ needed, had int64 }

func (s *shortfall) Error() string { return fmt.Sprintf("%s: %d of %d", errPoor, s.had, s.needed) }
func (s *shortfall) Unwrap() error { return errPoor }
func (s *shortfall) ProblemMembers() map[string]any {
	return map[string]any{"needed": s.needed, "had": s.had, "status": 200, "code": "mine"}
}

// later knows when to come back.
type later time.Duration

func (l later) Error() string             { return "later" }
func (l later) RetryAfter() time.Duration { return time.Duration(l) }
func (l later) Unwrap() error             { return problem.New(http.StatusTooManyRequests, "later", "too fast") }

// answer is what Write made of err, and what it logged.
func answer(t *testing.T, err error, before ...func(http.Header)) (res *http.Response, body map[string]any, logged string) {
	t.Helper()
	var log bytes.Buffer
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(was)
	w := httptest.NewRecorder()
	for _, b := range before {
		b(w.Header())
	}
	problem.Write(w, httptest.NewRequest("GET", "/sites", nil), err)
	res = w.Result()
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return res, body, log.String()
}

func TestOf(t *testing.T) {
	for _, tc := range []struct {
		err    error
		status int
		code   string
	}{
		{errPoor, 402, "poor"},
		{fmt.Errorf("%w: 3 of 5", errPoor), 402, "poor"},
		{&shortfall{5, 3}, 402, "poor"},
		{errors.Join(errors.New("x"), errClash), 409, "clash"},
		{fmt.Errorf("%w (conn closed)", tx.ErrOutcomeUnknown), 503, "outcome_unknown"},
		{errors.New("dial tcp 10.0.0.7: refused"), 503, "unavailable"},
		{context.DeadlineExceeded, 503, "unavailable"},
	} {
		status, code, text := problem.Of(tc.err)
		if status != tc.status || code != tc.code || text == "" {
			t.Errorf("%v: got %d %s %q", tc.err, status, code, text)
		}
	}
}

func TestWrite_IsAProblemDetail(t *testing.T) {
	res, body, logged := answer(t, fmt.Errorf("%w: 3 of 5", errPoor))
	want := map[string]any{"type": "about:blank", "title": "Payment Required", "status": 402.0, "code": "poor", "detail": "too few credits: 3 of 5"}
	if d := cmp.Diff(want, body); d != "" {
		t.Error(d)
	}
	h := res.Header
	if res.StatusCode != 402 || h.Get("Content-Type") != "application/problem+json" || h.Get("Cache-Control") != "no-store" || h.Get("Retry-After") != "" {
		t.Errorf("%d %v", res.StatusCode, h)
	}
	if logged != "" {
		t.Errorf("a client's own mistake was logged: %s", logged)
	}
}

func TestWrite_AddsMembersButNeverOverItsOwn(t *testing.T) {
	_, body, _ := answer(t, fmt.Errorf("generate: %w", &shortfall{needed: 5, had: 3}))
	if body["needed"] != 5.0 || body["had"] != 3.0 || body["status"] != 402.0 || body["code"] != "poor" {
		t.Errorf("got %v", body)
	}
}

func TestWrite_TellsTheLogAndNotTheClientWhatBroke(t *testing.T) {
	res, body, logged := answer(t, errors.New("password of 10.0.0.7 is wrong"))
	if res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" || body["code"] != "unavailable" {
		t.Errorf("%d %v %v", res.StatusCode, res.Header, body)
	}
	if strings.Contains(fmt.Sprint(body), "10.0.0.7") {
		t.Errorf("the client reads %v", body)
	}
	if !strings.Contains(logged, "10.0.0.7") || !strings.Contains(logged, "/sites") {
		t.Errorf("the log reads %q", logged)
	}
	if _, _, logged := answer(t, fmt.Errorf("query: %w", context.Canceled)); logged != "" {
		t.Errorf("a client that went away was logged: %s", logged)
	}
}

func TestWrite_RetryAfterRoundsUpAndIsNeverZero(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:            "1",
		0:                       "1",
		time.Nanosecond:         "1",
		time.Second:             "1",
		time.Second + 1:         "2",
		90 * time.Second:        "90",
		math.MaxInt64:           "9223372037",
		10*time.Second - 1:      "10",
		24*time.Hour + 1:        "86401",
		1500 * time.Millisecond: "2",
	} {
		res, _, _ := answer(t, fmt.Errorf("take: %w", later(d)))
		if got := res.Header.Get("Retry-After"); got != want || res.StatusCode != 429 {
			t.Errorf("%v: Retry-After %s, want %s (%d)", d, got, want, res.StatusCode)
		}
	}
}

func TestWait(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want time.Duration
	}{
		{errPoor, 0},
		{fmt.Errorf("take: %w", later(40*time.Millisecond)), 40 * time.Millisecond},
		{later(0), 1},
		{later(-time.Second), 1},
		{errors.New("dial tcp 10.0.0.7: refused"), time.Second},
		{tx.ErrOutcomeUnknown, time.Second},
	} {
		if got := problem.Wait(tc.err); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.err, got, tc.want)
		}
	}
}

func TestWrite_A401NamesAScheme(t *testing.T) {
	res, _, _ := answer(t, errWho)
	if got := res.Header.Get("WWW-Authenticate"); got != "Bearer" {
		t.Errorf("WWW-Authenticate %q", got)
	}
	res, _, _ = answer(t, errWho, func(h http.Header) { h.Set("WWW-Authenticate", `Basic realm="x"`) })
	if got := res.Header.Get("WWW-Authenticate"); got != `Basic realm="x"` {
		t.Errorf("the handler's own became %q", got)
	}
}

func TestJSON(t *testing.T) {
	w := httptest.NewRecorder()
	problem.JSON(w, http.StatusCreated, map[string]int64{"amount": math.MaxInt64})
	if w.Code != 201 || w.Header().Get("Content-Type") != "application/json" || w.Body.String() != "{\"amount\":9223372036854775807}\n" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	w = httptest.NewRecorder()
	problem.JSON(w, http.StatusOK, math.NaN())
	if w.Code != 500 {
		t.Errorf("what cannot be encoded: %d %s", w.Code, w.Body)
	}
}
