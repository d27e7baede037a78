package owned

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// What is wrong with a program that uses row-level security.
var (
	// ErrNeedsTransaction says that the setting which opens an account's rows lives
	// as long as a transaction: queries go through DB.RunInTx or a transaction of the
	// host's own.
	ErrNeedsTransaction = errors.New("owned: row-level security needs a transaction: use DB.RunInTx")
	// ErrNeedsOwner says that the serving role never sees more than one account: work
	// across accounts runs as the tables' owner, on a database that BindOwner bound.
	ErrNeedsOwner = errors.New("owned: work across accounts needs the database of the tables' owner: see Tables.BindOwner")
)

// The two policies of every guarded table, by the setting quitrent.account. The first
// opens the rows of the account that the transaction has set, to anybody; the second
// opens all of them, to the owner who has set everybody. The setting is cut off at the
// end of the transaction, so a pooler hands nobody's on; what is left then is empty,
// which no account is.
const (
	policyAccount = "quitrent_account"
	policyAcross  = "quitrent_across"
	everybody     = "*"
)

// Secure turns row-level security on for every guarded table and its partitions, with
// FORCE, so that it holds for the owner too. It runs as the owner, after the
// migrations and again after any that adds a table. It makes the policies anew each
// time, in one transaction that locks the tables.
func (t *Tables) Secure(ctx context.Context, owner *bun.DB) error {
	return t.policies(ctx, owner, func(ctx context.Context, db bun.IDB, tab *table) error {
		var typ string
		err := db.NewRaw(`SELECT format_type(atttypid, NULL) FROM pg_attribute
			WHERE attrelid = to_regclass(?) AND attname = ?`, string(tab.schema.SQLName), tab.Account).Scan(ctx, &typ)
		if err != nil {
			return fmt.Errorf("owned: %s: %w", tab.name, err)
		}
		name, column := bun.Safe(tab.schema.SQLName), bun.Ident(tab.Account)
		if err := rowSecurity(ctx, db, tab, true); err != nil {
			return err
		}
		for _, q := range []*bun.RawQuery{
			db.NewRaw(`CREATE POLICY quitrent_account ON ?0
				USING (?1 = (SELECT NULLIF(NULLIF(current_setting('quitrent.account', TRUE), ''), '*')::?2))
				WITH CHECK (?1 = (SELECT NULLIF(NULLIF(current_setting('quitrent.account', TRUE), ''), '*')::?2))`, name, column, bun.Safe(typ)),
			db.NewRaw(`CREATE POLICY quitrent_across ON ? TO CURRENT_USER
				USING ((SELECT current_setting('quitrent.account', TRUE)) = '*')
				WITH CHECK ((SELECT current_setting('quitrent.account', TRUE)) = '*')`, name),
		} {
			if _, err := q.Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// Unsecure is the way back from Secure.
func (t *Tables) Unsecure(ctx context.Context, owner *bun.DB) error {
	return t.policies(ctx, owner, func(ctx context.Context, db bun.IDB, tab *table) error {
		return rowSecurity(ctx, db, tab, false)
	})
}

// rowSecurity turns row-level security on or off for a table and its partitions. Those
// get no policy, so that nobody reads them past the table, whose policies are the ones
// that count when they are read through it.
func rowSecurity(ctx context.Context, db bun.IDB, tab *table, on bool) error {
	var names []string
	err := db.NewRaw(withParts+"SELECT oid::regclass::text FROM part", string(tab.schema.SQLName)).Scan(ctx, &names)
	if err != nil {
		return fmt.Errorf("owned: %s: %w", tab.name, err)
	}
	enable, force := "ALTER TABLE ? ENABLE ROW LEVEL SECURITY", "ALTER TABLE ? FORCE ROW LEVEL SECURITY"
	if !on {
		enable, force = "ALTER TABLE ? DISABLE ROW LEVEL SECURITY", "ALTER TABLE ? NO FORCE ROW LEVEL SECURITY"
	}
	for _, name := range names {
		for _, q := range []string{enable, force} {
			if _, err := db.NewRaw(q, bun.Safe(name)).Exec(ctx); err != nil { // sqltext: one of the four above
				return err
			}
		}
	}
	return nil
}

// withParts are a table and its partitions, and theirs.
const withParts = `WITH RECURSIVE part (oid) AS (SELECT to_regclass(?)::oid
	UNION ALL SELECT i.inhrelid FROM pg_inherits AS i JOIN part ON i.inhparent = part.oid) `

// policies drops our policies of every guarded table and runs fn, in one
// transaction. It needs no binding: it runs with the migrations.
func (t *Tables) policies(ctx context.Context, owner *bun.DB, fn func(ctx context.Context, db bun.IDB, tab *table) error) error {
	b, err := t.bind(owner)
	if err != nil {
		return err
	}
	if !b.postgres {
		return errors.New("owned: row-level security is PostgreSQL's")
	}
	ctx = context.WithValue(ctx, passKey{}, probing) // the owner's database may be bound
	return tx.Join(ctx, owner, func(db bun.IDB) error {
		for _, tab := range b.tables {
			if tab.SelfGuarded {
				continue
			}
			for _, policy := range []string{policyAccount, policyAcross} {
				if _, err := db.NewRaw("DROP POLICY IF EXISTS ? ON ?", bun.Ident(policy), bun.Safe(tab.schema.SQLName)).Exec(ctx); err != nil {
					return err
				}
			}
			if err := fn(ctx, db, tab); err != nil {
				return err
			}
		}
		return nil
	})
}

// enterRows tells the transaction whose rows it may see; "" is everybody's.
func (b *binding) enterRows(ctx context.Context, db bun.IDB, account tenancy.AccountID) error {
	setting := string(account)
	switch {
	case tx.Owns(db):
		return ErrNeedsTransaction
	case account == "" && !b.owner:
		return ErrNeedsOwner
	case account == "":
		setting = everybody
	}
	_, err := db.NewRaw("SET LOCAL quitrent.account = ?", setting).Exec(ctx)
	return err
}

// verifyRows refuses to serve as a role that row-level security does not hold, and
// with a table on which it is not what Secure made it. What a role may become by SET
// ROLE counts, and by RESET ROLE.
func (b *binding) verifyRows(ctx context.Context, db *bun.DB) error {
	var role struct {
		Name      string
		Super     bool
		BypassRLS bool `bun:"bypass_rls"`
	}
	err := db.NewRaw(`SELECT current_user AS name, bool_or(rolsuper) AS super, bool_or(rolbypassrls) AS bypass_rls
		FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER') OR pg_has_role(current_user, oid, 'MEMBER')`).Scan(ctx, &role)
	if err != nil {
		return err
	}
	if !b.owner {
		switch {
		case role.Super:
			return fmt.Errorf("owned: the role %s is a superuser, or may become one, whom row-level security does not hold: serve as another role", role.Name)
		case role.BypassRLS:
			return fmt.Errorf("owned: the role %s has BYPASSRLS, or may become a role that has: serve as another role", role.Name)
		}
	}
	var errs []error
	for _, tab := range b.tables {
		if tab.SelfGuarded {
			continue
		}
		err := b.verifyTable(ctx, db, tab, role.Name)
		if err == nil && !b.owner {
			err = probe(ctx, db, tab)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (b *binding) verifyTable(ctx context.Context, db *bun.DB, tab *table, role string) error {
	var is struct{ On, Forced, Owner, Truncates bool }
	err := db.NewRaw(withParts+`SELECT bool_and(relrowsecurity) AS on, bool_and(relforcerowsecurity) AS forced,
		bool_or(pg_has_role(current_user, relowner, 'MEMBER') OR pg_has_role(session_user, relowner, 'MEMBER')) AS owner,
		bool_or(has_table_privilege(oid, 'TRUNCATE')) AS truncates
		FROM pg_class JOIN part USING (oid)`, string(tab.schema.SQLName)).Scan(ctx, &is)
	if err != nil {
		return fmt.Errorf("owned: %s: %w", tab.name, err)
	}
	switch {
	case !is.On || !is.Forced:
		return fmt.Errorf("owned: %s has no row-level security, or not by force, or not on a partition: run Tables.Secure as its owner", tab.name)
	case is.Owner && !b.owner:
		return fmt.Errorf("owned: the role %s owns %s, or may become its owner: serve as another role", role, tab.name)
	case is.Truncates && !b.owner:
		return fmt.Errorf("owned: the role %s may TRUNCATE %s, which row-level security does not hold: REVOKE it", role, tab.name)
	case !is.Owner && b.owner:
		return fmt.Errorf("owned: the role %s does not own %s", role, tab.name)
	}
	var policies []string
	err = db.NewRaw(`SELECT polname FROM pg_policy WHERE polrelid = to_regclass(?) AND polpermissive ORDER BY polname`,
		string(tab.schema.SQLName)).Scan(ctx, &policies)
	if err != nil {
		return err
	}
	if !slices.Equal(policies, []string{policyAccount, policyAcross}) {
		return fmt.Errorf("owned: %s has the permissive policies %v, where %s and %s belong: run Tables.Secure as its owner, and make others restrictive",
			tab.name, policies, policyAccount, policyAcross)
	}
	return nil
}

// probe looks at a table as the serving role does that has entered no account.
func probe(ctx context.Context, db *bun.DB, tab *table) error {
	var leaks bool
	err := db.NewRaw("SELECT EXISTS (SELECT 1 FROM ?)", bun.Safe(tab.schema.SQLName)).Scan(context.WithValue(ctx, passKey{}, probing), &leaks)
	if err != nil {
		return fmt.Errorf("owned: %s: %w", tab.name, err)
	}
	if leaks {
		return fmt.Errorf("owned: %s shows rows though no account was entered: look at its policies", tab.name)
	}
	return nil
}
