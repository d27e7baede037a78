package prices

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// list is what Handler and Operator answer with several versions.
type list struct {
	Prices []Version `json:"prices"`
}

// Handler serves an account the prices that it pays, its own or the general ones,
// behind a middleware that enters it:
//
//	GET /prices                                                    what is in effect
//	GET /prices/quote?operation=chat&input=input_tokens:1200&input=output_tokens:0
//	GET /prices/explain?basis=…                                    that of an entry
func (l *List) Handler(db *bun.DB) http.Handler {
	mux := problem.NewMux(l.cfg.OnError)
	handle := func(pattern string, do func(r *http.Request, account tenancy.AccountID) (any, error)) {
		mux.Route(pattern, func(w http.ResponseWriter, r *http.Request) error {
			answer, err := do(r, tenancy.From(r.Context()).Account)
			if err != nil {
				return err
			}
			problem.JSON(w, http.StatusOK, answer)
			return nil
		})
	}
	handle("GET /prices", func(r *http.Request, account tenancy.AccountID) (any, error) {
		found, err := l.Prices(r.Context(), db, Prices{Account: account})
		return list{found}, err
	})
	handle("GET /prices/quote", func(r *http.Request, account tenancy.AccountID) (any, error) {
		q := r.URL.Query()
		inputs, err := parseInputs(q["input"])
		if err != nil {
			return nil, err
		}
		return l.Quote(r.Context(), db, Quote{Account: account, Operation: q.Get("operation"), Inputs: inputs})
	})
	handle("GET /prices/explain", func(r *http.Request, account tenancy.AccountID) (any, error) {
		return l.Explain(r.Context(), db, Explain{Account: account, Basis: r.URL.Query().Get("basis")})
	})
	return mux
}

// parseInputs reads inputs of the form "input_tokens:1200".
func parseInputs(list []string) (map[string]int64, error) {
	inputs := map[string]int64{}
	for _, s := range list {
		name, number, _ := strings.Cut(s, ":")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || name == "" {
			return nil, fmt.Errorf("%w: an input is a name, a colon and a whole number", ErrInvalid)
		}
		if _, twice := inputs[name]; twice {
			return nil, fmt.Errorf("%w: an input is given twice", ErrInvalid)
		}
		inputs[name] = n
	}
	return inputs, nil
}

// Operator serves the price list to those who run the service, as check allows:
//
//	GET  /prices?account=ID                              what is in effect
//	GET  /prices/history?operation=chat&account=ID&before=N&limit=N
//	POST /prices      {"operation": "chat", "price": {"components": [{"input": "tokens", "credits": 3, "per": 1000}], "minimum": 1}}
//	POST /prices/end  {"operation": "chat"}
//
// Without an account it is the general list. Both POSTs take "account", "effective_at"
// and "reason" too, and answer with the version: 201, or 200 where the list said so
// already.
func (l *List) Operator(db *bun.DB, check tenancy.Authorizer) http.Handler {
	type request struct {
		Account     tenancy.AccountID `json:"account"`
		Operation   string            `json:"operation"`
		EffectiveAt time.Time         `json:"effective_at"`
		Reason      string            `json:"reason"`
	}
	mux := problem.NewMux(l.cfg.OnError)
	handle := func(pattern string, do func(w http.ResponseWriter, r *http.Request, actor tenancy.Actor) (any, error)) {
		mux.Route(pattern, func(w http.ResponseWriter, r *http.Request) error {
			actor, err := check.Authorize(r)
			if err != nil {
				return err
			}
			answer, err := do(w, r, actor)
			if err != nil {
				return err
			}
			status := http.StatusOK
			if v, ok := answer.(Version); ok && !v.Unchanged {
				status = http.StatusCreated
			}
			problem.JSON(w, status, answer)
			return nil
		})
	}
	handle("GET /prices", func(_ http.ResponseWriter, r *http.Request, _ tenancy.Actor) (any, error) {
		found, err := l.Prices(r.Context(), db, Prices{Account: tenancy.AccountID(r.URL.Query().Get("account"))})
		return list{found}, err
	})
	handle("GET /prices/history", func(_ http.ResponseWriter, r *http.Request, _ tenancy.Actor) (any, error) {
		q := r.URL.Query()
		before, err := parseNumber(q.Get("before"))
		if err != nil {
			return nil, err
		}
		limit, err := parseNumber(q.Get("limit"))
		if err != nil {
			return nil, err
		}
		found, err := l.History(r.Context(), db, History{
			Account: tenancy.AccountID(q.Get("account")), Operation: q.Get("operation"), Before: before, Limit: int(min(limit, 500)),
		})
		return list{found}, err
	})
	handle("POST /prices", func(w http.ResponseWriter, r *http.Request, actor tenancy.Actor) (any, error) {
		var body struct {
			request
			Price Price `json:"price"`
		}
		if err := problem.Decode(w, r, &body); err != nil {
			return nil, err
		}
		return l.Set(r.Context(), db, Set{
			Account: body.Account, Operation: body.Operation, Price: body.Price, EffectiveAt: body.EffectiveAt, Reason: body.Reason, Actor: actor,
		})
	})
	handle("POST /prices/end", func(w http.ResponseWriter, r *http.Request, actor tenancy.Actor) (any, error) {
		var body request
		if err := problem.Decode(w, r, &body); err != nil {
			return nil, err
		}
		return l.End(r.Context(), db, End{
			Account: body.Account, Operation: body.Operation, EffectiveAt: body.EffectiveAt, Reason: body.Reason, Actor: actor,
		})
	})
	return mux
}

// parseNumber reads a positive number; "" is 0.
func parseNumber(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%w: before and limit are numbers above zero", ErrInvalid)
	}
	return n, nil
}
