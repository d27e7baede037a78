package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/id"
)

const operation = "bench"

// newKey is time-ordered.
func newKey() string { return "req:" + id.New("r") }

// tally is what the callers of one side were told. Its sums must be those of the
// ledger, and each sampled outcome must be the entry that is there.
type tally struct {
	taken, numbers atomic.Int64 // of deductions that were new, and of their entries' numbers

	mu     sync.Mutex
	seen   int
	sample []credits.Entry
}

// kept is how many outcomes a sample has.
const kept = 1500

// told notes an outcome. A sample is as likely to hold one as any other.
func (t *tally) told(e credits.Entry) {
	t.taken.Add(1)
	t.numbers.Add(e.Number)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen++
	if len(t.sample) < kept {
		t.sample = append(t.sample, e)
	} else if i := rand.IntN(t.seen); i < kept {
		t.sample[i] = e
	}
}

// deduct is a call of ours that takes a credit out of one of the first accounts.
func (k *books) deduct(l *credits.Ledger, accounts int) func(ctx context.Context, caller int) error {
	return func(ctx context.Context, _ int) error {
		_, err := k.take(ctx, l, rand.IntN(accounts))
		return err
	}
}

func (k *books) take(ctx context.Context, l *credits.Ledger, account int) (credits.Entry, error) {
	d := credits.Deduct{Account: accountID(account), Amount: 1, Key: newKey(), Operation: operation}
	e, err := l.Deduct(ctx, k.db, d)
	if err != nil {
		return e, err
	}
	if e.Account != d.Account || e.Key != d.Key || e.Kind != credits.KindDeduct || e.Amount != -1 || e.Operation != operation || e.Replayed {
		return e, fmt.Errorf("%+v got the outcome %+v", d, e)
	}
	k.told.told(e)
	return e, nil
}

// repeating is deduct on the hot account, but that a caller asks again, one time in so
// many, for what it was told before, and must be told the same.
func (k *books) repeating(callers, oneIn int) func(ctx context.Context, caller int) error {
	last := make([][]credits.Entry, callers)
	return func(ctx context.Context, caller int) error {
		mine := last[caller]
		if len(mine) == 0 || rand.IntN(oneIn) > 0 {
			e, err := k.take(ctx, k.ledger, 0)
			if len(mine) < 64 {
				last[caller] = append(mine, e)
			} else {
				mine[rand.IntN(len(mine))] = e
			}
			return err
		}
		was := mine[rand.IntN(len(mine))]
		e, err := k.ledger.Deduct(ctx, k.db, credits.Deduct{Account: was.Account, Amount: 1, Key: was.Key, Operation: operation})
		if err != nil {
			return err
		}
		if !e.Replayed || !same(e, was) {
			return fmt.Errorf("asked again, %+v became %+v", was, e)
		}
		return nil
	}
}

// same reports that two outcomes are of one entry.
func same(a, b credits.Entry) bool {
	at := a.At.Equal(b.At)
	a.At, b.At, a.Replayed, b.Replayed = epoch, epoch, false, false
	return at && a == b
}
