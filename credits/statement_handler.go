package credits

import (
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

func (l *Ledger) serveStatement(w http.ResponseWriter, r *http.Request, db *bun.DB) error {
	w.Header().Add("Vary", "Accept")
	if prefersCSV(r.Header.Values("Accept")) {
		return l.serveCSV(w, r, db)
	}
	what, err := statementOf(r)
	if err != nil {
		return err
	}
	page, err := l.Statement(r.Context(), db, what)
	if err != nil {
		return err
	}
	hideOperators(page.Entries)
	problem.JSON(w, http.StatusOK, struct {
		StatementPage
		measure
	}{page, l.measure()})
	return nil
}

func (l *Ledger) serveCSV(w http.ResponseWriter, r *http.Request, db *bun.DB) error {
	what, err := statementOf(r)
	if err != nil {
		return err
	}
	p, err := l.whole(r.Context(), db, what)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{
		"filename": "credits-" + string(what.Account) + "-" + l.now().Format("20060102") + ".csv",
	}))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodHead {
		return nil
	}
	if err := what.writeCSV(r.Context(), db, w, p); err != nil {
		if r.Context().Err() == nil {
			slog.ErrorContext(r.Context(), "quitrent: statement cut short", "account", what.Account, "err", err)
		}
		panic(http.ErrAbortHandler) // so that the client sees that it is cut short
	}
	return nil
}

// statementOf reads the query of a statement of the account that the request entered.
func statementOf(r *http.Request) (Statement, error) {
	q := r.URL.Query()
	s := Statement{Account: tenancy.From(r.Context()).Account, Cursor: q.Get("cursor")}
	var err error
	if s.From, err = moment(q.Get("from"), "from"); err != nil {
		return Statement{}, err
	}
	if s.To, err = moment(q.Get("to"), "to"); err != nil {
		return Statement{}, err
	}
	limit, err := number(r, "limit")
	if err != nil {
		return Statement{}, err
	}
	s.Limit = int(min(limit, 500))
	if v := q.Get("totals"); v != "" {
		if s.Totals, err = strconv.ParseBool(v); err != nil {
			return Statement{}, fmt.Errorf("%w: totals must be true or false", ErrInvalid)
		}
	}
	return s, nil
}

// moment reads a time, or a day's beginning in UTC; absent is the zero time.
func moment(s, name string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil && !t.IsZero() {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: %s is written like 2026-12-31T23:59:59Z or 2026-12-31, with + as %%2B", ErrInvalid, name)
}

// prefersCSV reads Accept (RFC 9110, section 12.5.1): CSV has to be named, and JSON
// not to be wanted as much by its name or more by any.
func prefersCSV(accept []string) bool {
	q := map[string]float64{}
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		weight := 1.0
		if v, ok := params["q"]; ok {
			if weight, err = strconv.ParseFloat(v, 64); err != nil {
				continue
			}
		}
		q[kind] = max(q[kind], weight)
	}
	csv := q["text/csv"]
	return csv > 0 && csv > q["application/json"] && csv >= q["application/*"] && csv >= q["*/*"]
}
