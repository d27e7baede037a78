// Package host is a program outside this library's module, with a table of its own.
package host

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy/owned"
)

type Note struct {
	bun.BaseModel `bun:"table:notes"`
	owned.Row

	ID   string `bun:"id,pk"`
	Body string `bun:"body"`
}

// Memo is the second table, which somebody forgets to register under the build tag
// "forgotten".
type Memo struct {
	bun.BaseModel `bun:"table:memos"`
	owned.Row

	ID   string `bun:"id,pk"`
	Note string `bun:"note_id"`
}

func migrate(ctx context.Context, db *bun.DB) error {
	for _, q := range []string{
		`CREATE TABLE notes (account_id TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account_id, id))`,
		`CREATE TABLE memos (account_id TEXT NOT NULL, id TEXT NOT NULL, note_id TEXT NOT NULL, PRIMARY KEY (account_id, id),
			FOREIGN KEY (account_id, note_id) REFERENCES notes (account_id, id))`,
	} {
		if _, err := db.NewRaw(q).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}
