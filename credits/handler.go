package credits

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// Handler serves an account its own credits, behind a middleware that enters it:
//
//	GET /credits/balance
//	GET /credits/entries?before=N&limit=N
//	GET /credits/statement?from=…&to=…&limit=N&cursor=…&totals=true
//	GET /credits/statement.csv?from=…&to=…
//
// A statement is from a moment or a day (2026-03-01T00:00:00Z, or 2026-03-01 for the
// same) to before another one. Asked for with Accept: text/csv it is the file, too. A
// file that cannot be written to its end ends with its connection, and without its
// line of kind closing.
//
//	GET /credits/budgets
//
// Each answer says what its amounts count: "unit" and "exponent", which are Config.Unit
// and Config.Exponent. Of an operator an entry shows that it was one and not who.
func (l *Ledger) Handler(db *bun.DB) http.Handler {
	mux := problem.NewMux(l.cfg.OnError)
	mux.Route("GET /credits/balance", func(w http.ResponseWriter, r *http.Request) error {
		b, err := l.Balance(r.Context(), db, tenancy.From(r.Context()).Account)
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, struct {
			Balance
			measure
		}{b, l.measure()})
		return nil
	})
	mux.Route("GET /credits/entries", func(w http.ResponseWriter, r *http.Request) error {
		what := Entries{Account: tenancy.From(r.Context()).Account}
		before, err := number(r, "before")
		if err != nil {
			return err
		}
		limit, err := number(r, "limit")
		if err != nil {
			return err
		}
		what.Before, what.Limit = before, int(min(limit, 500))
		page, err := l.Entries(r.Context(), db, what)
		if err != nil {
			return err
		}
		hideOperators(page.Entries)
		problem.JSON(w, http.StatusOK, struct {
			Page
			measure
		}{page, l.measure()})
		return nil
	})
	mux.Route("GET /credits/statement", func(w http.ResponseWriter, r *http.Request) error { return l.serveStatement(w, r, db) })
	mux.Route("GET /credits/statement.csv", func(w http.ResponseWriter, r *http.Request) error { return l.serveCSV(w, r, db) })
	mux.Route("GET /credits/budgets", func(w http.ResponseWriter, r *http.Request) error {
		budgets, err := l.Budgets(r.Context(), db, tenancy.From(r.Context()).Account)
		if err != nil {
			return err
		}
		for i, b := range budgets {
			if b.Subject.Kind == tenancy.ActorOperator {
				budgets[i].Subject.ID = ""
			}
		}
		problem.JSON(w, http.StatusOK, struct {
			Budgets []Budget `json:"budgets"`
			measure
		}{budgets, l.measure()})
		return nil
	})
	return mux
}

// measure says what the amounts of an answer count.
type measure struct {
	Unit     string `json:"unit"`
	Exponent int    `json:"exponent"`
}

func (l *Ledger) measure() measure { return measure{l.cfg.Unit, l.cfg.Exponent} }

// number reads a positive number from the query; absent is 0.
func number(r *http.Request, name string) (int64, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%w: %s must be a number above zero", ErrInvalid, name)
	}
	return n, nil
}
