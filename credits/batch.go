package credits

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// single serves a caller who is alone, as far as its lane goes.
func (l *Ledger) single(ctx context.Context, me *caller) (outcome, error) {
	if me.at.way == bySwift {
		left, err := l.swift(ctx, me.db, []*caller{me}, false)
		if len(left) > 0 {
			return outcome{refusal: errUnread}, nil
		}
		return me.out, err
	}
	outs, err := l.shared(ctx, me.db, []request{me.request}, me.at.way == byWaiting)
	if err != nil {
		return outcome{}, err
	}
	return outs[0], nil
}

// shared is posted in the transaction that db is, or in one of its own, after which the
// accounts are remembered.
func (l *Ledger) shared(ctx context.Context, db bun.IDB, requests []request, wait bool) ([]outcome, error) {
	var outs []outcome
	var books []*book
	err := tx.Join(ctx, db, func(db bun.IDB) (err error) {
		outs, books, err = l.posted(ctx, db, requests, wait)
		return err
	})
	if pool, ok := db.(*bun.DB); ok && err == nil {
		l.remember(pool, books)
	}
	return outs, err
}

// serve finds the outcomes of callers that share a commit. Where it fails nobody is
// told of a success: each is asked for again alone. What is unknown is so resolved by
// its key, and stays unknown where there is none.
func (l *Ledger) serve(callers []*caller) {
	ctx, cancel := context.WithTimeout(context.Background(), combineWithin)
	defer cancel()
	if m := callers[0]; m.alone {
		m.err = guarded(func() (err error) {
			m.out, err = l.single(m.ctx, m)
			return err
		})
		return
	}
	db, wait := callers[0].db, callers[0].at.way == byWaiting
	left := callers
	err := guarded(func() (err error) {
		if isPostgres(db) {
			left, err = l.swift(ctx, db, callers, wait)
		}
		return err
	})
	if err != nil {
		l.again(ctx, slices.DeleteFunc(slices.Clone(callers), func(m *caller) bool { return m.err == nil }), err)
	}
	if callers[0].at.way == bySwift {
		for _, m := range left {
			m.out.refusal = errUnread
		}
		return
	}
	if len(left) == 0 {
		return
	}
	var outs []outcome
	err = guarded(func() (err error) {
		outs, err = l.shared(ctx, db, requestsOf(left), wait)
		return err
	})
	if err != nil {
		l.again(ctx, left, err)
		return
	}
	for i, m := range left {
		m.out = outs[i]
	}
}

// lockTimeout is what PostgreSQL says when its lock_timeout is over: whoever asks again
// waits as long again.
const lockTimeout = "55P03"

// mostApart is how many accounts are asked for at once after a batch has failed, each on a
// connection of its own.
const mostApart = 8

// again asks for each of the callers' requests alone, after an error for all of them. An
// account that is locked elsewhere is not waited for here either: hand goes on with it.
func (l *Ledger) again(ctx context.Context, callers []*caller, err error) {
	unknown := errors.Is(err, ErrOutcomeUnknown)
	vain := !unknown && (len(callers) == 1 || tx.State(err) == lockTimeout && callers[0].at.way == byWaiting)
	slots := make(chan struct{}, mostApart)
	var apart sync.WaitGroup
	for _, group := range byAccount(callers) {
		slots <- struct{}{}
		apart.Go(func() {
			defer func() { <-slots }()
			locked, waited := false, error(nil)
			for _, m := range group {
				if m.err = err; vain || unknown && m.request.key == "" {
					continue
				}
				m.unsure = m.unsure || unknown
				if locked { // who came later does not overtake
					m.out, m.err = outcome{refusal: errLocked}, nil
					continue
				}
				if waited != nil { // as long as the others of the account would
					m.err = waited
					continue
				}
				var outs []outcome
				again := guarded(func() (err error) {
					outs, err = l.shared(ctx, m.db, []request{m.request}, m.at.way == byWaiting)
					return err
				})
				switch {
				case again == nil:
					m.out, m.err = outs[0], nil
					locked = errors.Is(m.out.refusal, errLocked)
				case tx.State(again) == lockTimeout:
					m.err, waited = again, again
				case !unknown:
					m.err = again
				}
			}
		})
	}
	apart.Wait()
}

// guarded turns a panic into an error: no caller's goroutine would report it.
func guarded(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("credits: panic: %v", p)
		}
	}()
	return fn()
}

func requestsOf(callers []*caller) []request {
	requests := make([]request, len(callers))
	for i, m := range callers {
		requests[i] = m.request
	}
	return requests
}

// byAccount are the callers of each account, in their order.
func byAccount(callers []*caller) map[tenancy.AccountID][]*caller {
	groups := map[tenancy.AccountID][]*caller{}
	for _, m := range callers {
		groups[m.request.account] = append(groups[m.request.account], m)
	}
	return groups
}
