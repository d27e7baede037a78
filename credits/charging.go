package credits

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
)

// chargeWithin bounds a hold and what follows it, which the end of the request does not:
// the client may have gone, and is charged or gets its credits back all the same.
const chargeWithin = 30 * time.Second

// charging is the hold of one request and what becomes of it.
type charging struct {
	ledger *Ledger
	db     *bun.DB
	charge *Charge
	ctx    context.Context
	price  Priced
	hold   Held
	meter  Meter

	cost, left int64 // as the headers say
}

// holdFor holds the price of a request, unless its client goes before that is done: what
// became of a hold must be known, or nobody would let go of it.
func (l *Ledger) holdFor(db *bun.DB, c *Charge, r *http.Request, price Priced) (*charging, error) {
	if price.Amount < 0 {
		return nil, fmt.Errorf("credits: %s costs %d credits, which is no price", r.URL.Path, price.Amount)
	}
	scope := tenancy.From(r.Context())
	h := &charging{ledger: l, db: db, charge: c, ctx: context.WithoutCancel(r.Context()), price: price}
	ctx, cancel := context.WithTimeout(h.ctx, chargeWithin)
	defer cancel()
	var err error
	h.hold, err = l.Hold(ctx, db, Hold{
		Account: scope.Account, Amount: price.Amount, For: c.For,
		Operation: cmp.Or(c.Operation, r.Pattern), Actor: scope.Actor, OnBehalf: behind(scope),
	})
	if err != nil {
		return nil, err
	}
	if err := r.Context().Err(); err != nil {
		h.release()
		return nil, err
	}
	h.cost, h.left = h.hold.Amount, h.hold.Spendable
	return h, nil
}

// headers says what the request cost so far.
func (c *charging) headers(h http.Header) {
	h.Set(HeaderCost, strconv.FormatInt(c.cost, 10))
	h.Set(HeaderRemaining, strconv.FormatInt(c.left, 10))
}

// begin makes it certain, before the answer goes out, that it will be paid for.
func (c *charging) begin() error {
	if !c.charge.Metered {
		return c.settle()
	}
	return c.do(func(ctx context.Context) (err error) {
		hold, err := c.ledger.Extend(ctx, c.db, Extend{Account: c.hold.Account, Hold: c.hold.ID, For: c.charge.For, AtEnd: AtEndCharge})
		if err == nil {
			c.left = hold.Spendable
		}
		return err
	})
}

// settle charges what was used.
func (c *charging) settle() error {
	used := c.meter.close(c.price)
	return c.settleFor(Settle{Account: c.hold.Account, Hold: c.hold.ID, Amount: used.Amount, Basis: used.Basis})
}

func (c *charging) settleFor(s Settle) error {
	return c.do(func(ctx context.Context) error {
		done, err := c.ledger.Settle(ctx, c.db, s)
		if err == nil {
			c.cost, c.left = s.Amount, done.Hold.Spendable
		}
		return err
	})
}

// end charges what was used for an answer that has gone out: what the account has, where
// that is less. Where even that fails the hold is charged at its end.
func (c *charging) end() {
	if !c.charge.Metered {
		return // it is settled
	}
	used := c.meter.close(c.price)
	s := Settle{Account: c.hold.Account, Hold: c.hold.ID, Amount: used.Amount, Basis: used.Basis}
	err := c.settleFor(s)
	var short *InsufficientError
	for i := 0; i < 3 && errors.As(err, &short); i++ {
		c.log("an answer used more than the account has", fmt.Errorf("it used %d: %w", used.Amount, err))
		s.Amount, s.Key = short.Have, id.New("req") // the hold's own key was refused
		err = c.settleFor(s)
	}
	if err != nil {
		c.log("settlement failed", err)
	}
}

// release gives the credits back. Where that fails they go back at the end of the hold.
func (c *charging) release() {
	c.meter.close(c.price)
	err := c.do(func(ctx context.Context) error {
		hold, err := c.ledger.Release(ctx, c.db, Release{Account: c.hold.Account, Hold: c.hold.ID})
		if err == nil {
			c.cost, c.left = 0, hold.Spendable
		}
		return err
	})
	if err != nil {
		c.log("release failed", err)
	}
}

// do asks again, once, where the outcome is unknown: everything here has the same outcome
// twice.
func (c *charging) do(fn func(ctx context.Context) error) error {
	once := func() error {
		ctx, cancel := context.WithTimeout(c.ctx, chargeWithin)
		defer cancel()
		return fn(ctx)
	}
	err := once()
	if errors.Is(err, ErrOutcomeUnknown) {
		err = once()
	}
	return err
}

func (c *charging) log(what string, err error) {
	slog.ErrorContext(c.ctx, "quitrent: "+what, "account", c.hold.Account, "hold", c.hold.ID, "err", err)
}
