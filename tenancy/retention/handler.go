package retention

import (
	"mime"
	"net/http"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// Handler serves an account's export to itself, behind a middleware that enters it
// for tenancy.Export. Everything that the account owns is in it, so it takes
// tenancy.PermAccountManage.
//
//	GET /account/export?reason=…
func (k *Keeper) Handler(db *bun.DB) http.Handler {
	mux := problem.NewMux(k.cfg.OnError)
	mux.Route("GET /account/export", func(w http.ResponseWriter, r *http.Request) error {
		if err := k.accounts.Can(r.Context(), db, tenancy.PermAccountManage); err != nil {
			return err
		}
		s := tenancy.From(r.Context())
		name := "export-" + string(s.Account) + "-" + k.now().Format("20060102") + ".zip"
		d := &download{ResponseWriter: w, name: name}
		_, err := k.Export(r.Context(), db, d, Export{Account: s.Account, Actor: s.Actor, Reason: r.URL.Query().Get("reason")})
		if err != nil && d.begun {
			panic(http.ErrAbortHandler) // so that the client sees that it is cut short
		}
		return err
	})
	return mux
}

// download sends the headers with the first byte: until then a refusal is answered.
type download struct {
	http.ResponseWriter
	name  string
	begun bool
}

func (d *download) Write(b []byte) (int, error) {
	if !d.begun {
		d.begun = true
		h := d.Header()
		h.Set("Content-Type", "application/zip")
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": d.name}))
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
	}
	return d.ResponseWriter.Write(b)
}
