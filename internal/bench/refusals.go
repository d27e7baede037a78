package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/uptrace/bun"
	"golang.org/x/time/rate"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/throttle"
)

// refusals measures what it costs to say no: whoever is refused may come back a thousand
// times a second. Of a key that is none the baseline knows at once, and has no news to
// wait for.
func refusals(ctx context.Context, b *bench, c *callers) error {
	unknown, err := c.unknown(ctx)
	if err != nil {
		return err
	}
	unreached := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a request that is refused was served") })
	used := throttle.Limit{Rate: 1e-6, Burst: 1}
	plain, limiter := newPlain(c, used), throttle.New(throttle.Config{Default: used})
	for _, id := range c.ids {
		l := rate.NewLimiter(used.Rate, used.Burst)
		plain.limiters.Store(string(id), l)
		if !l.Allow() || !limiter.TakeAccount(tenancy.Scope{Account: id}, 1).Allowed {
			return errors.New("throttled before its time")
		}
	}
	guard := c.guard.Middleware(c.db, tenancy.Use)
	for _, f := range []struct {
		status         int
		name           string
		bar            float64
		shown          []string
		ours, baseline http.Handler
	}{
		{
			http.StatusUnauthorized, "guard: a 401 for a key that is remembered as none", 1, show(unknown),
			guard(unreached), plain.middleware(unreached),
		},
		{
			http.StatusTooManyRequests, "guard: a 429 of the account's limit", 1.5, c.shown,
			guard(limiter.Middleware(unreached)), plain.middleware(unreached),
		},
	} {
		status := func(h http.Handler) side[int] {
			return request(f.shown, h, func(w *answer) (int, error) { return w.status, nil })
		}
		err := compare(ctx, b, pair[int]{
			name: f.name, faster: true, alone: true, bar: f.bar, ours: status(f.ours), baseline: status(f.baseline),
			right: func(_, got int) error {
				if got != f.status {
					return fmt.Errorf("status %d", got)
				}
				return nil
			},
			same: func(a, b int) bool { return a == b },
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unknown are keys that are like others, and were never kept.
func (c *callers) unknown(ctx context.Context) (keys []string, err error) {
	undo := errors.New("undone")
	err = c.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for range min(1000, len(c.ids)) {
			key, err := c.issuer.Issue(ctx, tx, authn.Issue{
				Account: c.ids[0], Name: "a key", Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"},
			})
			if err != nil {
				return err
			}
			keys = append(keys, key.Secret)
		}
		return undo
	})
	if !errors.Is(err, undo) {
		return nil, err
	}
	return keys, nil
}
