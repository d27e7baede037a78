package owned

import (
	"context"
	"errors"
	"fmt"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
)

// Verify looks into the database's own catalog for what Bind refuses, for a program
// that wants to know again: after a migration, in a test.
func (t *Tables) Verify(ctx context.Context, db *bun.DB) error {
	b, ok := t.of(db)
	if !ok {
		return ErrUnbound
	}
	return t.verify(ctx, db, b)
}

// key is a unique key of a table with its first column, "" for an expression.
type key struct {
	Name  string
	First string
}

// reference is one pair of columns of a foreign key.
type reference struct {
	Name   string
	Parent string // the table referred to
	From   string
	To     string
}

func (t *Tables) verify(ctx context.Context, db *bun.DB, b *binding) error {
	var errs []error
	for _, tab := range b.tables {
		if tab.User != "" {
			continue
		}
		keys, refs, err := catalog(ctx, db, tab)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			errs = append(errs, fmt.Errorf("owned: %s is not there, or has no primary key: migrate first", tab.name))
		}
		for _, k := range keys {
			if k.First != tab.Account {
				errs = append(errs, fmt.Errorf("owned: %s: the key %s must begin with the account's column %s, so that it does not reach into another account", tab.name, k.Name, tab.Account))
			}
		}
		errs = append(errs, b.references(tab, refs)...)
	}
	if b.rowSecurity {
		errs = append(errs, b.verifyRows(ctx, db))
	}
	return errors.Join(errs...)
}

// references refuses a foreign key to a registered table that does not carry the
// account along: the database would accept another account's parent.
func (b *binding) references(tab *table, refs []reference) []error {
	var (
		errs  []error
		order []string
		safe  = map[string]bool{}
		to    = map[string]*table{}
	)
	for _, r := range refs {
		parent := b.registered(r.Parent)
		if parent == nil || parent.User != "" {
			continue
		}
		if _, seen := to[r.Name]; !seen {
			order = append(order, r.Name)
		}
		to[r.Name] = parent
		// SQLite leaves out the columns of a reference to the primary key.
		safe[r.Name] = safe[r.Name] || r.From == tab.Account && (r.To == parent.Account || r.To == "")
	}
	for _, name := range order {
		if !safe[name] {
			errs = append(errs, fmt.Errorf("owned: %s: the foreign key %s to %s must carry the account: (%s, …) REFERENCES %s (%s, …)",
				tab.name, name, to[name].name, tab.Account, to[name].name, to[name].Account))
		}
	}
	return errs
}

func (b *binding) registered(name string) *table {
	for _, t := range b.tables {
		if bare(t.name) == bare(name) {
			return t
		}
	}
	return nil
}

func catalog(ctx context.Context, db *bun.DB, tab *table) (keys []key, refs []reference, err error) {
	if db.Dialect().Name() == dialect.PG {
		name := string(tab.schema.SQLName)
		err = db.NewRaw(`SELECT c.relname AS name, COALESCE(a.attname, '') AS first
			FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
			LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] AND a.attnum > 0
			WHERE i.indrelid = to_regclass(?) AND i.indisunique ORDER BY c.relname`, name).Scan(ctx, &keys)
		if err != nil {
			return nil, nil, err
		}
		err = db.NewRaw(`SELECT k.conname AS name, p.relname AS parent, fa.attname AS "from", ta.attname AS "to"
			FROM pg_constraint AS k JOIN pg_class AS p ON p.oid = k.confrelid
			CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS u (f, t)
			JOIN pg_attribute AS fa ON fa.attrelid = k.conrelid AND fa.attnum = u.f
			JOIN pg_attribute AS ta ON ta.attrelid = k.confrelid AND ta.attnum = u.t
			WHERE k.conrelid = to_regclass(?) AND k.contype = 'f' ORDER BY k.conname, u.f`, name).Scan(ctx, &refs)
		return keys, refs, err
	}
	err = db.NewRaw(`SELECT 'primary key' AS name, name AS first FROM pragma_table_info(?) WHERE pk = 1
		UNION ALL
		SELECT l.name, COALESCE(i.name, '') FROM pragma_index_list(?) AS l JOIN pragma_index_info(l.name) AS i ON i.seqno = 0
		WHERE l."unique" = 1 ORDER BY 1`, tab.name, tab.name).Scan(ctx, &keys)
	if err != nil {
		return nil, nil, err
	}
	err = db.NewRaw(`SELECT CAST(id AS TEXT) AS name, "table" AS parent, "from", COALESCE("to", '') AS "to"
		FROM pragma_foreign_key_list(?) ORDER BY id, seq`, tab.name).Scan(ctx, &refs)
	return keys, refs, err
}
