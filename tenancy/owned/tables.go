package owned

import (
	"slices"
	"sync"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/tenancy"
)

// DefaultColumn is the column that names a row's account unless Table says otherwise.
const DefaultColumn = "account_id"

// Row is embedded first in a model that belongs to an account:
//
//	type Site struct {
//		bun.BaseModel `bun:"table:sites"`
//		owned.Row
//		ID   string `bun:"id,pk"`
//		Slug string `bun:"slug"`
//	}
type Row struct {
	AccountID tenancy.AccountID `bun:"account_id,pk"`
}

// Table is one table whose rows belong to accounts.
type Table struct {
	// Model is a nil pointer to the bun model: (*Site)(nil). Its primary key, and
	// every other key of it, begins with the account.
	Model any
	// Account is the column that names the account, of type text, uuid or bigint.
	// Default: DefaultColumn.
	Account string

	// SelfGuarded is for a package that keeps accounts apart in its own statements,
	// as those of this library do: they are let through, and the table is exported
	// and erased with the others.
	SelfGuarded bool
	// User is the column that names a person, of a table that belongs to persons and
	// not to accounts: it is exported and erased with the person. Account is then
	// not used, and the table is SelfGuarded.
	User string

	// Keep says that the rows survive the erasure of the account, because the law
	// wants them kept: ledgers, invoices, audit logs. What is personal in them goes.
	Keep bool
	// Personal are the columns that erasure blanks in rows that it keeps.
	Personal []string
	// Secret are the columns that an export leaves out: hashes, tokens.
	Secret []string
}

// Config is the policy of Tables.
type Config struct {
	// Tables are those that belong to accounts, parents before their children.
	Tables []Table
	// RowSecurity asks for PostgreSQL's row-level security as a second wall: Bind
	// then refuses to serve without it, and every access goes through a transaction.
	RowSecurity bool
}

// Tables is the registry of the tables whose rows belong to accounts. One value
// serves any number of databases and goroutines.
type Tables struct {
	cfg   Config
	mu    sync.RWMutex
	bound map[schema.Dialect]*binding
}

// New makes Tables from cfg. Bind says what is wrong with it.
func New(cfg Config) *Tables {
	cfg.Tables = slices.Clone(cfg.Tables)
	for i := range cfg.Tables {
		if cfg.Tables[i].Account == "" {
			cfg.Tables[i].Account = DefaultColumn
		}
	}
	return &Tables{cfg: cfg, bound: map[schema.Dialect]*binding{}}
}

// Registered are the tables, in the order they were given.
func (t *Tables) Registered() []Table { return slices.Clone(t.cfg.Tables) }

// of is what is known of the databases that share db's dialect, and whether db's own
// pool was bound.
func (t *Tables) of(db *bun.DB) (b *binding, bound bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	b = t.bound[db.Dialect()]
	return b, b != nil && slices.ContainsFunc(b.dbs, func(known *bun.DB) bool { return known.DB == db.DB })
}
