package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// pageSize is how many rows a list shows at once.
const pageSize = 20

// document is a host's model: eight columns of the usual sorts.
type document struct {
	bun.BaseModel `bun:"table:documents,alias:d"`
	owned.Row

	ID        string    `bun:"id,pk"`
	Title     string    `bun:"title"`
	Status    string    `bun:"status"`
	Author    string    `bun:"author"`
	Size      int64     `bun:"size"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
}

// documents is a table of them, the same number for each account, with the two
// databases of the two sides: on one pool, so that they differ in nothing else.
type documents struct {
	on             database
	accounts, each int
	bound, plain   *bun.DB
	tables         *owned.Tables
	entered        []context.Context // by account
	inputs         [][2]int
}

func newDocuments(ctx context.Context, on database, accounts, each int) (*documents, error) {
	d := &documents{on: on, accounts: accounts, each: each, bound: on.again(), plain: on.again(), tables: newTables(false)}
	if err := d.fill(ctx); err != nil {
		return nil, err
	}
	if err := d.tables.Bind(ctx, d.bound); err != nil {
		return nil, err
	}
	registry := tenancy.New(tenancy.Config{Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
		return tenancy.State{Status: tenancy.StatusActive}, tenancy.Plan{Slug: "bench", Active: true}, nil
	}})
	for a := range accounts {
		in, err := registry.Enter(ctx, d.plain, accountID(a), tenancy.Actor{Kind: tenancy.ActorSystem, ID: "bench"}, 0)
		if err != nil {
			return nil, err
		}
		d.entered = append(d.entered, in)
	}
	random := rand.New(rand.NewPCG(1, 2))
	d.inputs = make([][2]int, 1<<14)
	for i := range d.inputs {
		d.inputs[i] = [2]int{random.IntN(accounts), random.IntN(each)}
	}
	return d, nil
}

func newTables(rowSecurity bool) *owned.Tables {
	return owned.New(owned.Config{Tables: []owned.Table{{Model: (*document)(nil)}}, RowSecurity: rowSecurity})
}

// secured is d with row-level security on our side, which serves as a role that it
// holds. The baseline stays with the superuser, whom it does not.
func (d *documents) secured(ctx context.Context) (*documents, func(context.Context) error, error) {
	role := id.New("app")
	u, err := url.Parse(d.on.dsn)
	if err != nil {
		return nil, nil, err
	}
	u.User = url.UserPassword(role, role)
	served, err := dbtest.Open(u.String())
	if err != nil {
		return nil, nil, err
	}
	end := func(ctx context.Context) error {
		dbtest.Close(served)
		_, err := d.plain.NewRaw("DROP OWNED BY ?0; DROP ROLE ?0", bun.Ident(role)).Exec(ctx)
		return err
	}
	_, err = d.plain.NewRaw("CREATE ROLE ?0 LOGIN PASSWORD ?1 NOSUPERUSER NOBYPASSRLS; GRANT SELECT ON documents TO ?0", bun.Ident(role), role).Exec(ctx)
	if err != nil {
		dbtest.Close(served)
		return nil, nil, err
	}
	with := *d
	with.bound, with.tables = served, newTables(true)
	if err := with.tables.Secure(ctx, with.plain); err != nil {
		return nil, nil, errors.Join(err, end(ctx))
	}
	if err := with.tables.Bind(ctx, served); err != nil {
		return nil, nil, errors.Join(err, end(ctx))
	}
	return &with, end, nil
}

// The identifiers are as long as those of package id.
func accountID(a int) tenancy.AccountID {
	return tenancy.AccountID(fmt.Sprintf("acc_06h1qz7k3m9v8x2c4b5n%06d", a))
}

func documentID(n int) string { return fmt.Sprintf("doc_06h1qz7k3m9v8x2c4b5n%06d", n) }

const author = "usr_06h1qz7k3m9v8x2c4b5n000001"

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// written is the document that fill writes as the account's nth.
func written(account, n int) document {
	return document{
		Row:       owned.Row{AccountID: accountID(account)},
		ID:        documentID(n),
		Title:     fmt.Sprintf("Minutes of meeting %d of %d", n, account),
		Status:    "published",
		Author:    author,
		Size:      int64(account)*1000 + int64(n),
		CreatedAt: epoch,
		UpdatedAt: epoch,
	}
}

// fill writes them in one statement: a million rows in seconds.
func (d *documents) fill(ctx context.Context) error {
	timestamp, settle := "TIMESTAMPTZ", "VACUUM ANALYZE documents"
	if d.on.name == "sqlite" {
		timestamp, settle = "TIMESTAMP", "ANALYZE"
	}
	_, err := d.plain.NewRaw(`CREATE TABLE documents (account_id TEXT NOT NULL, id TEXT NOT NULL, title TEXT NOT NULL,
		status TEXT NOT NULL, author TEXT NOT NULL, size BIGINT NOT NULL, created_at ?0 NOT NULL, updated_at ?0 NOT NULL,
		PRIMARY KEY (account_id, id))`, bun.Safe(timestamp)).Exec(ctx)
	if err != nil {
		return err
	}
	_, err = d.plain.NewRaw(`WITH RECURSIVE a (a) AS (SELECT 0 UNION ALL SELECT a + 1 FROM a WHERE a < ?0),
			n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
		INSERT INTO documents (account_id, id, title, status, author, size, created_at, updated_at)
		SELECT 'acc_06h1qz7k3m9v8x2c4b5n' || substr(CAST(1000000 + a AS TEXT), 2),
			'doc_06h1qz7k3m9v8x2c4b5n' || substr(CAST(1000000 + n AS TEXT), 2),
			'Minutes of meeting ' || n || ' of ' || a, 'published', ?2, a * 1000 + n, ?3, ?3
		FROM a CROSS JOIN n ORDER BY a, n`, d.accounts-1, d.each-1, author, epoch).Exec(ctx)
	if err != nil {
		return err
	}
	// So that nothing does it in the middle of a figure.
	_, err = d.plain.NewRaw("?", bun.Safe(settle)).Exec(ctx)
	return err
}

// input is the account and the document of call i.
func (d *documents) input(i int) (account, n int) {
	in := d.inputs[i%len(d.inputs)]
	return in[0], in[1]
}

func (d *documents) rightPage(i int, rows []document) error {
	account, n := d.input(i)
	var want []document
	for k := n - 1; k >= max(0, n-pageSize); k-- {
		want = append(want, written(account, k))
	}
	return equal(rows, want)
}

func (d *documents) rightRow(i int, rows []document) error {
	account, n := d.input(i)
	return equal(rows, []document{written(account, n)})
}

func equal(got, want []document) error {
	if !slices.EqualFunc(got, want, document.equal) {
		return fmt.Errorf("%v instead of %v", got, want)
	}
	return nil
}

func (d document) equal(e document) bool {
	same := d.CreatedAt.Equal(e.CreatedAt) && d.UpdatedAt.Equal(e.UpdatedAt)
	d.CreatedAt, d.UpdatedAt, e.CreatedAt, e.UpdatedAt = epoch, epoch, epoch, epoch
	return same && d == e
}
