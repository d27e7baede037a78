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
	// pattern of the route.
	Operation string
	// For is how long the credits are held if this process dies, and the longest that a
	// handler may take before its answer begins, and from there to its end; between a
	// second and 30 days. Default: 15 minutes.
	For time.Duration
}

// Middleware is MiddlewareFor a Charge that is nothing but a Cost.
func (l *Ledger) Middleware(db *bun.DB, cost Cost) func(http.Handler) http.Handler {
	return l.MiddlewareFor(db, Charge{Cost: cost})
}

// MiddlewareFor charges the account that the request has entered, on behalf of whom its
// credential acts for.
//
// What the request costs is held before the handler runs, so that two requests can't spend
// the same credits. A shortage answers 402: the handler does not run, and nothing is
// written. What happens to the hold is decided by the status of the answer, and is in the
// database before the first byte goes out:
//
//   - an answer below 400 (see Charge.Settles) is charged;
//   - any other one, and a panic before the first byte, gives the credits back;
//   - of a Metered answer that begins before its handler has returned, the intent to charge
//     comes first. What was used is charged when the handler has returned, panicked or
//     lost its client. If it dies with this process, all that is held is charged at the end
//     of Charge.For.
//
// Without an answer that began, the credits of a process that died go back at the end of
// Charge.For. If it can't be charged, it is not given: the answer is replaced by a 503, or
// by a 402 where the handler used more than the account has, and the credits go back.
// That a COMMIT's outcome is unknown is resolved by asking again, once.
//
// An answer of up to 64 KiB that nobody flushes goes out when its handler has returned,
// and let go of its transactions. One that is longer, is flushed or takes the connection
// over is charged while the handler runs: it must not be sent inside a transaction that has
// locked the account, or that holds the only connection. Who answers with a failure is
// never flushed; past 64 KiB it goes out as it comes, without the headers.
//
// The headers Credits-Cost and Credits-Remaining carry what was charged and what is left,
// and of a Metered answer that began early what is held and left so far. The final figures
// follow as trailers of the same names, where the protocol has trailers.
//
// Every request is charged anew, repeats too: an Idempotency-Key is for the handler to
// honour, in its own transaction with Ledger.Deduct, where the work and its price commit
// together in one. MiddlewareFor takes two commits, the hold and its settlement, and a
// third where a Metered answer begins early. They are combined with those of other
// requests (Config.Combine).
//
// It panics where c has neither Cost nor Quote, or both, or a For out of its range.
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
