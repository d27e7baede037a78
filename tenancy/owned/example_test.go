package owned_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// Note is a row of the host's.
type Note struct {
	bun.BaseModel `bun:"table:notes"`
	owned.Row

	ID   int64  `bun:"id,pk"`
	Text string `bun:"text"`
}

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "owned-")
	check(err)
	defer func() { check(os.RemoveAll(dir)) }()
	db, err := sqlite.Open(filepath.Join(dir, "notes.db"))
	check(err)
	defer func() { check(db.Close()) }()
	db.SetMaxOpenConns(1)
	_, err = db.Exec("CREATE TABLE notes (account_id TEXT, id BIGINT, text TEXT, PRIMARY KEY (account_id, id))")
	check(err)

	tables := owned.New(owned.Config{Tables: []owned.Table{{Model: (*Note)(nil)}}})
	check(tables.Bind(ctx, db))

	worker := tenancy.Actor{Kind: tenancy.ActorSystem, ID: "worker"}
	for _, account := range []tenancy.AccountID{"17", "18"} {
		ctx, err := newAccounts().Enter(ctx, db, account, worker, tenancy.Write)
		check(err)
		rows := tables.For(ctx, db)
		_, err = rows.NewInsert().Model(&Note{ID: 1, Text: "of " + string(account)}).Exec(ctx)
		check(err)

		var notes []Note
		check(rows.NewSelect().Model(&notes).Where("id = 2").WhereOr("1 = 1").Scan(ctx))
		fmt.Println(account, "reads", len(notes), "note", notes[0].Text)
	}
	_, err = db.ExecContext(ctx, "DELETE FROM notes")
	fmt.Println(errors.Is(err, owned.ErrUnscoped))
	// Output:
	// 17 reads 1 note of 17
	// 18 reads 1 note of 18
	// true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
