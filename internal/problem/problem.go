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
	"sync"
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

	once sync.Once
	body []byte
}

// ProblemBody implements Prebuilt.
func (s *Sentinel) ProblemBody() []byte {
	s.once.Do(func() { s.body = Body(s) })
	return s.body
}

// Prebuilt is implemented by errors that keep their answer, since whoever is refused
// may come back a thousand times a second. What wraps one is built anew.
type Prebuilt interface{ ProblemBody() []byte }

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
	if s := sentinel(err); s != nil {
		return s.Status, s.Code, err.Error()
	}
	u := unavailable(err)
	return u.Status, u.Code, u.Text
}

// Status is the status of err.
func Status(err error) int {
	if s := sentinel(err); s != nil {
		return s.Status
	}
	return http.StatusServiceUnavailable
}

func sentinel(err error) *Sentinel {
	s, _ := errors.AsType[*Sentinel](err)
	return s
}

var (
	outcomeUnknown = Sentinel{
		Status: http.StatusServiceUnavailable, Code: "outcome_unknown",
		Text: "It is not known whether this took effect. Send it again with the same idempotency key.",
	}
	undecided = Sentinel{
		Status: http.StatusServiceUnavailable, Code: "unavailable",
		Text: "This could not be decided just now. Try again.",
	}
)

// unavailable is what is said of an error that carries no sentinel.
func unavailable(err error) *Sentinel {
	if errors.Is(err, tx.ErrOutcomeUnknown) {
		return &outcomeUnknown
	}
	return &undecided
}

// Wait is how long a client waits before it tries again: 0 where waiting fixes
// nothing.
func Wait(err error) time.Duration {
	again, ok := errors.AsType[interface {
		error
		Retryable
	}](err)
	if ok {
		return max(again.RetryAfter(), 1)
	}
	if Status(err) == http.StatusServiceUnavailable {
		return time.Second
	}
	return 0
}

// Body is err as problem details, in one line.
func Body(err error) []byte {
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
	b, err := json.Marshal(body)
	if err != nil {
		return nil // a member of a host's that is no JSON
	}
	return append(b, '\n')
}

// Write answers r with err as application/problem+json. A 5xx is logged with its
// cause; a client's own mistake is not.
func Write(w http.ResponseWriter, r *http.Request, err error) {
	status := Status(err)
	h := w.Header() // whose keys are here in the form in which it keeps them
	if wait := Wait(err); wait > 0 {
		h["Retry-After"] = []string{seconds(wait)}
	}
	if status == http.StatusUnauthorized && len(h["Www-Authenticate"]) == 0 {
		h["Www-Authenticate"] = bearer
	}
	if status >= 500 && !errors.Is(err, context.Canceled) {
		_, code, _ := Of(err)
		slog.ErrorContext(r.Context(), "quitrent: request failed", "method", r.Method, "path", r.URL.Path, "code", code, "err", err)
	}
	var body []byte
	if ready, ok := err.(Prebuilt); ok { // not what it wraps: that says less
		body = ready.ProblemBody()
	}
	if body == nil {
		body = Body(err)
	}
	write(w, status, problemJSON, body)
}

// JSON answers with v as application/json.
func JSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err == nil {
		b = append(b, '\n')
	}
	write(w, status, plainJSON, b)
}

// Lists of one whose capacity is one: what is added to them goes elsewhere.
var (
	plainJSON   = []string{"application/json"}
	problemJSON = []string{"application/problem+json"}
	noStore     = []string{"no-store"}
	bearer      = []string{"Bearer"}
)

// write answers with body, of which nil is what could not be encoded.
func write(w http.ResponseWriter, status int, contentType []string, body []byte) {
	if body == nil {
		http.Error(w, "cannot encode the answer", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h["Content-Type"] = contentType
	h["Cache-Control"] = noStore
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// seconds rounds up: a client told 0 would come back too early.
func seconds(d time.Duration) string {
	n := int64(d / time.Second)
	if d%time.Second > 0 {
		n++
	}
	return strconv.FormatInt(max(1, n), 10)
}
