package credits

import (
	"net/http"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// The headers that Middleware sets, and the trailers of a metered answer that began before
// its cost was known.
const (
	HeaderCost      = "Credits-Cost"      // what the request cost, or what is held for it so far
	HeaderRemaining = "Credits-Remaining" // what can still be spent
)

// Cost is what a request costs, in credits. 0 is free. An error refuses the
// request.
type Cost func(r *http.Request) (int64, error)

// Fixed is the Cost of a route that always costs the same.
func Fixed(n int64) Cost { return func(*http.Request) (int64, error) { return n, nil } }

// Priced is an amount and why: prices.Quoted has both.
type Priced struct {
	// Amount is in credits, not below zero.
	Amount int64
	// Basis says how the amount came about, for the ledger's entry. 1,000 bytes at most.
	Basis string
}

// Charge is what a route costs and when it is charged.
type Charge struct {
	// Cost is what a request costs unless its handler says otherwise to its Meter; that
	// much is held before the handler runs. 0 is free.
	Cost Cost
	// Quote is Cost for amounts that explain themselves. One of the two is required.
	Quote func(r *http.Request) (Priced, error)
	// Metered is a route that answers in parts before it knows what it used: it is charged
	// when its handler has returned, for what the Meter says then. Default: it is charged
	// before the first byte of the answer goes out.
	Metered bool
	// Settles says which answers are charged, by their status; 101 stands for a connection
	// that the handler took over. Default: those below 400.
	Settles func(status int) bool
	// Operation is what the credits are for: "ideas". 500 bytes at most. Default: the
	// pattern of the route where this is behind an http.ServeMux (Request.Pattern), and
	// nothing around one and behind other routers.
	Operation string
	// For is how long the credits are held if this process dies, and the longest that a
	// handler may take before its answer begins, and from there to its end; between a
	// second and 30 days. Default: 15 minutes.
	For time.Duration
}

// Middleware charges a route what cost says: it is MiddlewareFor a Charge with nothing else.
func (l *Ledger) Middleware(db *bun.DB, cost Cost) func(http.Handler) http.Handler {
	return l.MiddlewareFor(db, Charge{Cost: cost})
}

// MiddlewareFor charges the account that the request has entered, and the budgets of its
// actor and of the member on whose rights that one acts.
//
// The cost is held before the handler runs, so that two requests can't spend the same
// credits. A shortage answers 402: the handler does not run and nothing is written. The
// status of the answer decides what becomes of the hold, and the decision is committed
// before the first byte goes out:
//
//   - An answer below 400 (see Charge.Settles) is charged.
//   - Any other gives the credits back, and so does a panic before the first byte.
//   - Where the answer of a Metered route goes out before its handler has returned, the
//     intent to charge comes first. When the handler has returned, panicked or lost its
//     client, what it used is charged, or all that the account has if that is less. If the
//     process dies, all that is held is charged when Charge.For is over.
//
// If the process dies before that, the credits go back when Charge.For is over. What can't
// be charged is not given: a 503 takes the place of the answer, or a 402 where the handler
// used more than the account has, and the credits go back. Where the outcome of a COMMIT is
// unknown it is asked for again, once; if that is no use either, the answer is a 503, and
// Settle with the hold that the log names replays the outcome.
//
// An answer of up to 64 KiB that nobody flushes is kept back until its handler has returned
// and let go of its transactions. A longer one, one that is flushed, and one that takes the
// connection over (Hijack) go out while the handler runs, once they are charged: begin none
// inside a transaction that has locked the account or holds the only connection. What is
// not charged is not flushed; past 64 KiB it goes out as it comes, without the headers.
//
// The headers Credits-Cost and Credits-Remaining say what was charged and what can still be
// spent. Where the answer of a Metered route went out before, they say what is held by then
// and what is left beside that; the final figures follow as trailers of the same names
// (RFC 9110, 6.5), if the answer can have any: over HTTP/1.1 or later, with a body whose
// length was not announced.
//
// A route that costs two units has one middleware inside the other, of a Ledger each. Both
// set the same headers, and the outer one's figures are what the client sees; the Meter of
// the handler is the inner one's.
//
// Every request is charged anew, repeats too: an Idempotency-Key is for the handler to
// honour, in its own transaction with Ledger.Deduct, where the work and its price commit
// together. That is one commit. MiddlewareFor takes two, the hold and its end, and a third
// where the answer of a Metered route goes out before its handler has returned; each is
// combined with those of other requests (Config.Combine).
//
// It panics when c has neither Cost nor Quote, or both, or a For out of its range.
func (l *Ledger) MiddlewareFor(db *bun.DB, c Charge) func(http.Handler) http.Handler {
	c = c.complete()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			price, err := c.Quote(r)
			if err == nil {
				err = checkBasis(price.Basis)
			}
			if err != nil {
				l.cfg.OnError(w, r, err)
				return
			}
			if price.Amount == 0 {
				next.ServeHTTP(w, r.WithContext((&Meter{closed: true}).in(r.Context())))
				return
			}
			h, err := l.holdFor(db, &c, r, price)
			if err != nil {
				l.cfg.OnError(w, r, err)
				return
			}
			a := &answer{ResponseWriter: w, request: r, charge: h, before: w.Header().Clone()}
			returned := false
			defer func() {
				if !returned { // a panic, or the goroutine has ended
					a.abort()
				}
			}()
			next.ServeHTTP(a, r.WithContext(h.meter.in(r.Context())))
			returned = true
			a.finish()
		})
	}
}

// complete is the charge with its defaults.
func (c Charge) complete() Charge {
	if (c.Cost == nil) == (c.Quote == nil) {
		panic("credits: a Charge needs a Cost or a Quote, and not both")
	}
	if cost := c.Cost; cost != nil {
		c.Quote = func(r *http.Request) (Priced, error) {
			n, err := cost(r)
			return Priced{Amount: n}, err
		}
	}
	if c.Settles == nil {
		c.Settles = func(status int) bool { return status < http.StatusBadRequest }
	}
	if c.For == 0 {
		c.For = defaultHold
	}
	if err := checkFor(c.For); err != nil {
		panic("credits: Charge.For: " + err.Error())
	}
	return c
}

// behind is the member on whose rights the credential acts.
func behind(scope tenancy.Scope) tenancy.Actor {
	if scope.Delegation == nil || scope.Delegation.User == "" {
		return tenancy.Actor{}
	}
	return tenancy.Actor{Kind: tenancy.ActorUser, ID: string(scope.Delegation.User)}
}
