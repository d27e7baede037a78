package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// What the service sells: an idea costs five credits.
const (
	costOfIdea = 5
	mostIdeas  = 300
)

// migrateIdeas makes the host's own table.
func migrateIdeas(ctx context.Context, db *bun.DB) error {
	_, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS orders (
		account_id TEXT NOT NULL, entry BIGINT NOT NULL, count BIGINT NOT NULL, PRIMARY KEY (account_id, entry))`)
	return err
}

// order is the host's own row: what was made for which ledger entry.
type order struct {
	bun.BaseModel `bun:"table:orders"`
	owned.Row

	Entry int64 `bun:"entry,pk"`
	Count int64 `bun:"count"`
}

// ideas sells ideas. The order and its price commit together or not at all, and a
// client that sends its Idempotency-Key again gets the same ideas and pays once.
func ideas(db *bun.DB, tables *owned.Tables, ledger *credits.Ledger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ask struct {
			Count int64 `json:"count"`
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<10))
		if err == nil {
			err = json.Unmarshal(body, &ask)
		}
		if err != nil || ask.Count < 1 || ask.Count > mostIdeas {
			tenancy.Refuse(w, r, fmt.Errorf(`%w: send {"count": n}, n from 1 to %d`, credits.ErrInvalid, mostIdeas))
			return
		}
		scope := tenancy.From(r.Context())
		what := credits.Deduct{
			Account: scope.Account, Amount: ask.Count * costOfIdea, Operation: "ideas", Actor: scope.Actor,
		}
		if key := r.Header.Get("Idempotency-Key"); key != "" {
			what.Key = "ideas:" + key // a prefix, so that clients' keys meet no others
		}
		var entry credits.Entry
		var refused error
		err = db.RunInTx(r.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
			entry, err = ledger.Deduct(ctx, tx, what)
			if errors.Is(err, credits.ErrInsufficient) {
				refused = err // and commit, so that the key is remembered with its refusal
				return nil
			}
			if err != nil || entry.Replayed {
				return err
			}
			_, err = tables.For(ctx, tx).NewInsert().Model(&order{Entry: entry.Number, Count: ask.Count}).Exec(ctx)
			return err
		})
		if err = cmp.Or(err, refused); err != nil {
			tenancy.Refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set(credits.HeaderCost, strconv.FormatInt(-entry.Amount, 10))
		w.Header().Set(credits.HeaderRemaining, strconv.FormatInt(entry.Spendable, 10))
		_ = json.NewEncoder(w).Encode(map[string]any{
			"ideas": think(entry.Number, ask.Count), "cost": -entry.Amount, "balance": entry.Spendable,
		})
	})
}

// think stands for the work that costs money.
func think(seed, count int64) []string {
	subjects := []string{"A field guide", "Three mistakes", "A checklist", "An interview", "The arithmetic", "A short history"}
	objects := []string{"of quiet launches", "for first invoices", "about trial users", "on night shifts", "of small teams"}
	out := make([]string, count)
	for i := range out {
		n := seed*7 + int64(i)
		out[i] = subjects[n%int64(len(subjects))] + " " + objects[n/int64(len(subjects))%int64(len(objects))]
	}
	return out
}
