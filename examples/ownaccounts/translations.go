package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
)

// translation is the agency's own row: what was done for which ledger entry.
type translation struct {
	bun.BaseModel `bun:"table:translations"`

	Customer int64  `bun:"customer_id,pk" json:"-"`
	Name     string `bun:"name,pk" json:"name"`
	Words    int64  `bun:"words" json:"words"`
	Result   string `bun:"result" json:"result"`
	Entry    int64  `bun:"entry" json:"entry"`
}

// translate sells translations at a credit a word. The row and its price commit
// together or not at all; the same name again is the same translation and free.
func translate(db *bun.DB, ledger *credits.Ledger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var ask struct{ Name, Text string }
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&ask)
		words := int64(len(strings.Fields(ask.Text)))
		if err != nil || words == 0 || ask.Name == "" || len(ask.Name) > 100 {
			tenancy.Refuse(w, r, fmt.Errorf(`%w: send {"name": "…", "text": "…"}, a name of at most 100 bytes`, tenancy.ErrInvalid))
			return
		}
		account := tenancy.From(r.Context()).Account
		customer, err := customerOf(account)
		if err != nil {
			tenancy.Refuse(w, r, err)
			return
		}
		var row translation
		err = db.RunInTx(r.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			entry, err := ledger.Deduct(ctx, tx, credits.Deduct{
				Account: account, Amount: words, Key: "translation:" + ask.Name, Operation: "translation",
			})
			if err != nil {
				return err
			}
			row = translation{Customer: customer, Name: ask.Name, Words: words, Result: strings.ToUpper(ask.Text), Entry: entry.Number}
			if entry.Replayed {
				return tx.NewSelect().Model(&row).WherePK().Scan(ctx)
			}
			_, err = tx.NewInsert().Model(&row).Exec(ctx)
			return err
		})
		if err != nil {
			tenancy.Refuse(w, r, err)
			return
		}
		answer(w, row)
	}
}

// translations lists the customer's own.
func translations(db *bun.DB) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		customer, err := customerOf(tenancy.From(r.Context()).Account)
		rows := []translation{}
		if err == nil {
			err = db.NewSelect().Model(&rows).Where("customer_id = ?", customer).Order("entry DESC").Limit(100).Scan(r.Context())
		}
		if err != nil {
			tenancy.Refuse(w, r, err)
			return
		}
		answer(w, rows)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
