package credits

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

const outcomeEntry = "entry"

// keyRow is what became of an idempotency key. It is kept for ever: a key that
// expires is a second charge for a late retry.
type keyRow struct {
	bun.BaseModel `bun:"table:credits_keys,alias:k"`

	Account   tenancy.AccountID `bun:"account_id,pk"`
	Key       string            `bun:"key,pk"`
	Hash      string            `bun:"hash"`
	Unit      string            `bun:"unit"`
	Outcome   string            `bun:"outcome"`
	Number    int64             `bun:"number,nullzero"`
	Need      int64             `bun:"need"`
	Have      int64             `bun:"have"`
	Replays   int64             `bun:"replays"`
	CreatedAt time.Time         `bun:"created_at"`
}

// outcome is what a key did when it was first used.
type outcome struct {
	entry   Entry
	refusal error
}

// replay finds what the key did before; nil means that it is new. It writes, so
// that with a synchronous standby its answer waits for the standby too: a read
// could acknowledge what a failover then loses.
func (p *posting) replay(ctx context.Context, hash string) (*outcome, error) {
	var row keyRow
	err := p.db.NewSelect().Model(&row).Where("account_id = ? AND key = ?", p.account, p.key).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if row.Hash != hash {
		return nil, ErrKeyReused
	}
	_, err = p.db.NewUpdate().Model((*keyRow)(nil)).Set("replays = replays + 1").
		Where("account_id = ? AND key = ?", p.account, p.key).Exec(ctx)
	if err != nil {
		return nil, err
	}
	switch row.Outcome {
	case outcomeEntry:
		entry, err := p.ledger.Entry(ctx, p.db, p.account, row.Number)
		if err != nil {
			return nil, fmt.Errorf("credits: the entry of key %q: %v", p.key, err)
		}
		entry.Replayed = true
		return &outcome{entry: entry}, nil
	case "insufficient":
		return &outcome{refusal: p.insufficient(row.Need, row.Have)}, nil
	default:
		refused, ok := refusals[row.Outcome]
		if !ok {
			return nil, fmt.Errorf("credits: key %q has the unknown outcome %q", p.key, row.Outcome)
		}
		return &outcome{refusal: refused}, nil
	}
}

func (p *posting) insufficient(need, have int64) error {
	return &InsufficientError{Need: need, Have: have, Pay: p.ledger.cfg.Pay}
}

// remember writes down what the key did.
func (p *posting) remember(ctx context.Context, hash string, entry Entry, refused error) error {
	row := keyRow{Account: p.account, Key: p.key, Hash: hash, Unit: unit, Outcome: outcomeEntry, Number: entry.Number, CreatedAt: p.now}
	if refused != nil {
		row.Outcome, row.Number = refusal(refused), 0
		var short *InsufficientError
		if errors.As(refused, &short) {
			row.Need, row.Have = short.Need, short.Have
		}
	}
	_, err := p.db.NewInsert().Model(&row).Exec(ctx)
	return err
}
