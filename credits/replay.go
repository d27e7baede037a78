package credits

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// What a key did, where it was not refused.
const (
	outcomeEntry = "entry"
	outcomeHold  = "hold"
)

// outcomeBudget is a refusal with numbers of its own.
const outcomeBudget = "budget"

// keyRow is what became of an idempotency key that an entry does not have itself. It is
// kept for ever: a key that expires is a second charge for a late retry.
type keyRow struct {
	bun.BaseModel `bun:"table:credits_keys,alias:k"`

	Account   tenancy.AccountID `bun:"account_id,pk"`
	Unit      string            `bun:"unit,pk"`
	Key       string            `bun:"key,pk"`
	Hash      string            `bun:"hash"`
	Outcome   string            `bun:"outcome"`
	Number    int64             `bun:"number,nullzero"`
	Need      int64             `bun:"need"`
	Have      int64             `bun:"have"`
	Detail    string            `bun:"detail"` // of a BudgetError, all of it
	Replays   int64             `bun:"replays"`
	Hold      string            `bun:"hold_id"`
	CreatedAt time.Time         `bun:"created_at"`

	made bool      // it was not there before
	line *entryRow // that has it, of one that was made
	out  outcome   // what it did
}

func (b *book) know(k *keyRow) {
	if b.keys == nil {
		b.keys = map[string]*keyRow{}
	}
	b.keys[k.Key] = k
}

// replay is what the key did before. It writes, so that with a synchronous standby its
// answer waits for the standby too: a read could acknowledge what a failover then loses.
func (b *book) replay(ctx context.Context, k *keyRow, hash string) (outcome, error) {
	if k.Hash != hash {
		return outcome{refusal: ErrKeyReused}, nil
	}
	if k.made { // by a request that shares the commit
		out := k.out
		if out.refusal == nil {
			out.entry.Replayed = true
			if out.hold != nil {
				held := *out.hold
				held.Replayed = true
				out.hold = &held
			}
		}
		return out, nil
	}
	b.row.replays++
	switch k.Outcome {
	case outcomeEntry:
		entry := k.out.entry
		if entry.Number == 0 {
			return outcome{}, lost("entry", k.Key)
		}
		entry.Replayed = true
		if k.Hold == "" {
			return outcome{entry: entry}, nil
		}
		held, err := b.heldBefore(ctx, k)
		return outcome{entry: entry, hold: &held}, err
	case outcomeHold:
		held, err := b.heldBefore(ctx, k)
		return outcome{hold: &held}, err
	case "insufficient":
		return outcome{refusal: b.ledger.insufficient(k.Need, k.Have)}, nil
	case outcomeBudget:
		over := &BudgetError{}
		if err := json.Unmarshal([]byte(k.Detail), over); err != nil {
			return outcome{}, fmt.Errorf("credits: key %q lost its refusal: %w", k.Key, err)
		}
		return outcome{refusal: over}, nil
	}
	refused, ok := refusals[k.Outcome]
	if !ok {
		return outcome{}, fmt.Errorf("credits: key %q has the unknown outcome %q", k.Key, k.Outcome)
	}
	return outcome{refusal: refused}, nil
}

// lost is no refusal: what a key did must be there.
func lost(what, key string) error {
	return fmt.Errorf("credits: the %s of key %q is not there: run Verify", what, key)
}

// heldBefore is the hold of a key, as it is by now.
func (b *book) heldBefore(ctx context.Context, k *keyRow) (Held, error) {
	var held Held
	if h := b.holds[k.Hold]; h != nil {
		held = b.held(h)
	} else {
		var err error
		held, err = b.ledger.readHeld(ctx, b.db, b.account, k.Hold)
		if errors.Is(err, ErrNoHold) {
			err = lost("hold", k.Key)
		}
		if err != nil {
			return Held{}, err
		}
	}
	held.Replayed = true
	return held, nil
}

func (l *Ledger) insufficient(need, have int64) error {
	return &InsufficientError{Need: need, Have: have, Pay: l.cfg.Pay}
}

// remember writes down what the key did.
func (b *book) remember(r request, out outcome) {
	k := &keyRow{
		Account: b.account, Key: r.key, Hash: r.hash, Unit: b.ledger.cfg.Unit, Outcome: outcomeEntry,
		Number: out.entry.Number, Hold: out.held().ID, CreatedAt: b.now, made: true, out: out,
	}
	switch {
	case out.refusal != nil:
		k.Outcome = refusal(out.refusal)
		var short *InsufficientError
		if errors.As(out.refusal, &short) {
			k.Need, k.Have = short.Need, short.Have
		}
		var over *BudgetError
		if errors.As(out.refusal, &over) {
			k.Need, k.Have, k.Detail = over.Need, over.left(), over.detail()
		}
	case k.Number == 0:
		k.Outcome = outcomeHold
	}
	if k.Number != 0 {
		k.line = b.line(k.Number)
		k.line.Key, k.line.Hash = r.key, r.hash
	}
	b.know(k)
}
