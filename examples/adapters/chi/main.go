// Chi shows Quitrent behind chi, whose middlewares are those of net/http: ours go in
// as they are.
//
//	go run -C examples/adapters ./chi
package main

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/examples/adapters/internal/service"
	"github.com/quitrent/quitrent/tenancy"
)

func main() {
	service.Main("chi", "curl -i http://ADDR/hello -H 'Authorization: Bearer KEY'", server)
}

func server(s *service.Service) service.Server {
	r := chi.NewRouter()
	r.Use(s.Limiter.ByAddress(nil)) // strangers
	r.Group(func(r chi.Router) {
		r.Use(s.Guard.Middleware(s.DB, tenancy.Use), s.Limiter.Middleware)
		r.Get("/hello", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(s.Hello(r.Context())))
		})
		r.With(s.Ledger.Middleware(s.DB, credits.Fixed(5))).Post("/ideas", func(w http.ResponseWriter, r *http.Request) {
			if r.FormValue("about") == "" {
				http.Error(w, "about is missing", http.StatusBadRequest) // and the credits go back
			}
		})
	})
	return service.HTTP(r)
}
