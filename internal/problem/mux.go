package problem

import (
	"net/http"
)

// What a Mux answers where no pattern matches.
var (
	ErrNotFound = New(http.StatusNotFound, "not_found", "there is nothing at this address")
	ErrMethod   = New(http.StatusMethodNotAllowed, "method_not_allowed", "this address does not take that method: Allow names those it takes")
)

// Mux is an http.ServeMux whose 404 and 405 are problem details. Patterns,
// wildcards and redirects are those of http.ServeMux; the 405 keeps its Allow
// header. The zero value works.
type Mux struct {
	// OnError writes the two refusals. Default: Write.
	OnError func(w http.ResponseWriter, r *http.Request, err error)

	mux http.ServeMux
}

// NewMux is a Mux that writes refusals with onError.
func NewMux(onError func(w http.ResponseWriter, r *http.Request, err error)) *Mux {
	return &Mux{OnError: onError}
}

// Handle registers h for a pattern of http.ServeMux: "POST /keys/{id}/rotate".
// It panics where the pattern is wrong or conflicts with another.
func (m *Mux) Handle(pattern string, h http.Handler) { m.mux.Handle(pattern, h) }

// HandleFunc is Handle for a function.
func (m *Mux) HandleFunc(pattern string, h http.HandlerFunc) { m.mux.Handle(pattern, h) }

// Route registers a handler that answers by itself or returns its refusal, which
// goes to OnError.
func (m *Mux) Route(pattern string, h func(w http.ResponseWriter, r *http.Request) error) {
	m.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		switch {
		case err == nil:
		case m.OnError != nil:
			m.OnError(w, r, err)
		default:
			Write(w, r, err)
		}
	})
}

// ServeHTTP runs the handler whose pattern matches best.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, pattern := m.mux.Handler(r)
	if pattern != "" || r.RequestURI == "*" {
		m.mux.ServeHTTP(w, r) // and not h, which would miss the path's values
		return
	}
	// Nothing matched. What ServeMux would say tells a 404 from a 405 and from a
	// redirect to the cleaned path; only its header is wanted.
	said := refusal{header: http.Header{}}
	h.ServeHTTP(&said, r)
	var err error
	switch said.status {
	case http.StatusNotFound:
		err = ErrNotFound
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", said.header.Get("Allow"))
		err = ErrMethod
	default:
		h.ServeHTTP(w, r)
		return
	}
	if m.OnError != nil {
		m.OnError(w, r, err)
		return
	}
	Write(w, r, err)
}

// refusal keeps what is said about an answer and drops the answer.
type refusal struct {
	header http.Header
	status int
}

func (s *refusal) Header() http.Header         { return s.header }
func (s *refusal) WriteHeader(status int)      { s.status = status }
func (s *refusal) Write(b []byte) (int, error) { return len(b), nil }
