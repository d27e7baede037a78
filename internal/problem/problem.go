// Package problem gives errors a status and a stable code, and writes them as
// problem details (RFC 9457).
package problem

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/quitrent/quitrent/internal/tx"
)

// Sentinel is an error that a caller branches on with errors.Is and that knows
// how it is answered over HTTP.
type Sentinel struct {
	// Status is the HTTP status, 4xx or 5xx.
	Status int
	// Code is the stable, machine-readable name: "insufficient_credits".
	Code string
	// Text says what was wrong and what to do. It reaches the client.
	Text string
}

// Error is Text.
func (s *Sentinel) Error() string { return s.Text }

// New is a sentinel.
func New(status int, code, text string) error {
	return &Sentinel{Status: status, Code: code, Text: text}
}

// Detailed is implemented by errors that add members to the problem, such as
// the credits needed and had.
type Detailed interface{ ProblemMembers() map[string]any }

// Retryable is implemented by errors that know when to try again.
type Retryable interface{ RetryAfter() time.Duration }

// Of is the status, code and client-safe text of err. What carries no sentinel is
// a fault of ours or of the database: 503, since we can't tell what happened, and
// its text stays in the log.
func Of(err error) (status int, code, text string) {
	var s *Sentinel
	switch {
	case errors.As(err, &s):
		return s.Status, s.Code, err.Error()
	case errors.Is(err, tx.ErrOutcomeUnknown):
		return http.StatusServiceUnavailable, "outcome_unknown", "It is not known whether this took effect. Send it again with the same idempotency key."
	default:
		return http.StatusServiceUnavailable, "unavailable", "This could not be decided just now. Try again."
	}
}

// Wait is how long a client waits before it tries again: 0 where waiting fixes
// nothing.
func Wait(err error) time.Duration {
	var again Retryable
	if errors.As(err, &again) {
		return max(again.RetryAfter(), 1)
	}
	if status, _, _ := Of(err); status == http.StatusServiceUnavailable {
		return time.Second
	}
	return 0
}

// Write answers r with err as application/problem+json. A 5xx is logged with its
// cause; a client's own mistake is not.
func Write(w http.ResponseWriter, r *http.Request, err error) {
	status, code, text := Of(err)
	body := map[string]any{}
	var d Detailed
	if errors.As(err, &d) {
		for k, v := range d.ProblemMembers() {
			body[k] = v
		}
	}
	body["type"] = "about:blank"
	body["title"] = http.StatusText(status)
	body["status"] = status
	body["code"] = code
	body["detail"] = text

	h := w.Header()
	if wait := Wait(err); wait > 0 {
		h.Set("Retry-After", seconds(wait))
	}
	if status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if status >= 500 && !errors.Is(err, context.Canceled) {
		slog.ErrorContext(r.Context(), "quitrent: request failed", "method", r.Method, "path", r.URL.Path, "code", code, "err", err)
	}
	write(w, status, "application/problem+json", body)
}

// JSON answers with v as application/json.
func JSON(w http.ResponseWriter, status int, v any) {
	write(w, status, "application/json", v)
}

func write(w http.ResponseWriter, status int, contentType string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "cannot encode the answer", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// seconds rounds up: a client told 0 would come back too early.
func seconds(d time.Duration) string {
	n := int64(d / time.Second)
	if d%time.Second > 0 {
		n++
	}
	return strconv.FormatInt(max(1, n), 10)
}
