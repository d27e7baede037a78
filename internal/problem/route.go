package problem

import "net/http"

// NewMux is a Mux that writes refusals with onError.
func NewMux(onError func(w http.ResponseWriter, r *http.Request, err error)) *Mux {
	return &Mux{OnError: onError}
}

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
