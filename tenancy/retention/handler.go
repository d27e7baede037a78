package retention

import (
	"io"
	"mime"
	"net/http"
	"os"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// Handler serves an account's export to itself, behind a middleware that enters it
// for tenancy.Export. Everything that the account owns is in it, so it takes
// tenancy.PermAccountManage. The archive is put together in the system's folder for
// temporary files first.
//
//	GET /account/export?reason=…
func (k *Keeper) Handler(db *bun.DB) http.Handler {
	mux := problem.NewMux(k.cfg.OnError)
	mux.Route("GET /account/export", func(w http.ResponseWriter, r *http.Request) error {
		if err := k.accounts.Can(r.Context(), db, tenancy.PermAccountManage); err != nil {
			return err
		}
		s := tenancy.From(r.Context())
		// By way of a file, so that a slow client holds neither a snapshot nor, on
		// SQLite, the only connection; and a failure is answered as one.
		file, err := os.CreateTemp("", "quitrent-export-")
		if err != nil {
			return err
		}
		defer func() { _, _ = file.Close(), os.Remove(file.Name()) }()
		// Without a name it does not outlive a process that is killed. Windows, where an
		// open file keeps its name, has to wait for the line above.
		_ = os.Remove(file.Name())
		_, err = k.Export(r.Context(), db, file, Export{Account: s.Account, Actor: s.Actor, Reason: r.URL.Query().Get("reason")})
		if err != nil {
			return err
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		h := w.Header()
		h.Set("Content-Type", "application/zip")
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{
			"filename": "export-" + string(s.Account) + "-" + k.now().Format("20060102") + ".zip",
		}))
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		_, err = io.Copy(w, file)
		if err != nil {
			panic(http.ErrAbortHandler) // so that the client sees that it is cut short
		}
		return nil
	})
	return mux
}
