package credits

import (
	"bufio"
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
)

// The headers that Middleware sets.
const (
	HeaderCost      = "Credits-Cost"      // what the request cost
	HeaderRemaining = "Credits-Remaining" // what can still be spent
)

// refundWithin bounds a refund, which the end of the request does not.
const refundWithin = 30 * time.Second

// Cost is what a request costs, in credits. 0 is free. An error refuses the
// request.
type Cost func(r *http.Request) (int64, error)

// Fixed is the Cost of a route that always costs the same.
func Fixed(n int64) Cost { return func(*http.Request) (int64, error) { return n, nil } }

// Middleware charges the account that the request has entered: before the handler
// runs, so that two requests can't spend the same credits. A shortage answers 402
// and the handler does not run. When the handler fails – it answers with a status
// of 400 or above, or panics before it has answered – the credits go back to where
// they came from. Such an answer, up to 64 KiB, is held back until the handler has
// returned and let go of its transactions.
//
// It charges every request anew, repeats too: an Idempotency-Key is for the handler
// to honour, in its own transaction with Ledger.Deduct, where the work and its
// price commit together. A refusal writes nothing. If the process dies between
// charge and answer, the charge stays; a refund that fails is logged.
func (l *Ledger) Middleware(db *bun.DB, cost Cost) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := cost(r)
			if err != nil {
				l.cfg.OnError(w, r, err)
				return
			}
			if n == 0 {
				next.ServeHTTP(w, r)
				return
			}
			scope := tenancy.From(r.Context())
			entry, err := l.Deduct(r.Context(), db, Deduct{Account: scope.Account, Amount: n, Operation: r.Pattern, Actor: scope.Actor, OnBehalf: behind(scope)})
			if err != nil {
				l.cfg.OnError(w, r, err)
				return
			}
			c := &charged{ResponseWriter: w, entry: entry, refund: func() (Entry, error) {
				// The client may have gone: its credits come back all the same.
				ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), refundWithin)
				defer cancel()
				back, err := l.Refund(ctx, db, Refund{Account: entry.Account, Entry: entry.Number, Key: id.New("req"), Actor: scope.Actor})
				if err != nil {
					slog.ErrorContext(ctx, "quitrent: refund failed", "account", entry.Account, "entry", entry.Number, "err", err)
				}
				return back, err
			}}
			defer c.fail() // a panic; what has been decided stays
			next.ServeHTTP(c, r)
			if c.failing() {
				c.fail()
				return
			}
			c.keep() // a handler that writes nothing answers 200
		})
	}
}

// behind is the member on whose rights the credential acts.
func behind(scope tenancy.Scope) tenancy.Actor {
	if scope.Delegation == nil || scope.Delegation.User == "" {
		return tenancy.Actor{}
	}
	return tenancy.Actor{Kind: tenancy.ActorUser, ID: string(scope.Delegation.User)}
}

// mostHeld is how much of a failure's answer is held back, in bytes. What is longer
// goes out as it comes, without the headers of the refund that follows it.
const mostHeld = 64 << 10

// charged decides, at the first byte of the answer, whether the charge stays.
type charged struct {
	http.ResponseWriter

	entry   Entry
	refund  func() (Entry, error)
	decided bool

	status int         // of a failure, or 0
	header http.Header // and what its handler had set by then
	held   []byte
	sent   bool // it was too long to hold back
}

func (c *charged) failing() bool { return !c.decided && c.status != 0 }

// keep lets the charge stay.
func (c *charged) keep() {
	if !c.decided {
		c.decided = true
		c.headers(-c.entry.Amount, c.entry.Spendable)
	}
}

// fail gives the credits back, and then the answer that was held back.
func (c *charged) fail() {
	if c.decided {
		return
	}
	c.decided = true
	cost, left := int64(0), int64(0)
	if back, err := c.refund(); err == nil {
		left = back.Spendable
	} else {
		cost, left = -c.entry.Amount, c.entry.Spendable
	}
	if c.sent {
		return
	}
	if c.status != 0 {
		c.restore()
	}
	c.headers(cost, left)
	if c.status != 0 {
		c.send()
	}
}

// restore undoes what the handler set after it had written the header.
func (c *charged) restore() {
	h := c.Header()
	clear(h)
	maps.Copy(h, c.header)
}

func (c *charged) send() {
	c.ResponseWriter.WriteHeader(c.status)
	_, _ = c.ResponseWriter.Write(c.held)
	c.held = nil
}

func (c *charged) headers(cost, left int64) {
	h := c.Header()
	h.Set(HeaderCost, strconv.FormatInt(cost, 10))
	h.Set(HeaderRemaining, strconv.FormatInt(left, 10))
}

func (c *charged) WriteHeader(status int) {
	switch {
	case c.failing():
		return // as the first one said
	case c.decided:
	case status >= http.StatusBadRequest:
		c.status, c.header = status, c.Header().Clone()
		return
	case status >= http.StatusOK || status == http.StatusSwitchingProtocols:
		c.keep() // other 1xx come before the answer
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *charged) Write(b []byte) (int, error) {
	if c.failing() {
		if !c.sent && len(c.held)+len(b) <= mostHeld {
			c.held = append(c.held, b...)
			return len(b), nil
		}
		if !c.sent {
			c.restore()
			c.send()
			c.sent = true
		}
		return c.ResponseWriter.Write(b)
	}
	c.keep()
	return c.ResponseWriter.Write(b)
}

// Hijack is for what becomes of the connection afterwards: the charge stays.
func (c *charged) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(c.ResponseWriter).Hijack()
	if err == nil {
		c.keep()
	}
	return conn, rw, err
}

// Flush sends what has been written: the answer has begun, and the charge stays.
func (c *charged) Flush() { _ = c.FlushError() }

// FlushError is Flush for http.ResponseController. A failure is not sent before its
// handler has returned.
func (c *charged) FlushError() error {
	switch {
	case !c.failing():
		c.keep()
	case !c.sent:
		return nil
	}
	return http.NewResponseController(c.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach what else the connection can do.
func (c *charged) Unwrap() http.ResponseWriter { return c.ResponseWriter }
