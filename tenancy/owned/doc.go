// Package owned keeps the rows of one account apart from those of every other, in
// the host's own tables.
//
// # Registered tables
//
// A model belongs to an account by embedding Row, or by naming the column of its
// account in Table.Account: of type text, uuid (in its canonical form) or bigint.
// New takes the list of them, and Bind makes a database keep to it:
//
//	tables := owned.New(owned.Config{Tables: []owned.Table{
//		{Model: (*Site)(nil)},
//		{Model: (*Sector)(nil)},
//		{Model: (*Invoice)(nil), Account: "org_id"},
//	}})
//	err := tables.Bind(ctx, db) // after the migrations, before the first request
//
// Bind refuses a table of which a key or a foreign key does not begin with the
// account: such a key reaches into other accounts, whatever the statements say. So
// sectors refer to (account_id, site_id) and not to the site alone.
//
// # Reading and writing
//
// For is the database as the account may see it that the context has entered, on the
// pool, on a connection or in the host's own transaction. Its queries are bun's:
//
//	rows := tables.For(ctx, db)
//	err := rows.NewSelect().Model(&sites).Relation("Sectors").Where("slug LIKE ?", "a%").Scan(ctx)
//	_, err = rows.NewInsert().Model(&Site{ID: id, Slug: "news"}).Exec(ctx)
//	_, err = rows.NewUpdate().Model(&site).Column("slug").WherePK().Exec(ctx)
//
// Reads are scoped where bun writes the table's name, so that Count, Exists, Rows,
// relations, sub-queries and any OR show the account's rows alone. A row to be
// inserted gets the account or is refused with ErrForeign; updates and deletes put
// the caller's conditions into parentheses beside the account's. SQL of the caller's
// own names a table as rows.Table((*Site)(nil)).
//
// Tables that are not registered belong to nobody: For reads them whole, and they are
// written through the plain database.
//
// # What is stopped
//
// Every other statement that names a registered table returns ErrUnscoped before it
// reaches the database: plain bun queries, TableExpr, ModelTableExpr, raw SQL, DDL, a
// query of one account run with the context of another. A context that has entered no
// account sees nothing. Work that goes across accounts says so, with a reason that is
// audited, through tenancy.Accounts.System.
//
// The guard reads the text of statements that go through bun. It does not see what
// runs on the *sql.DB beneath, prepared statements, another tool on the same
// transaction, or what a view or a function in the database reads: for those there is
// the second wall.
// On a bun.Conn it is the driver that stops a statement, by the end or the deadline of
// its context: pgx, pgdriver and modernc.org/sqlite do.
//
// # Row-level security
//
// With Config.RowSecurity PostgreSQL itself holds the accounts apart. Two roles are
// needed: the owner, who migrates, runs Secure and does what goes across accounts,
// and the one that serves:
//
//	CREATE ROLE app LOGIN NOSUPERUSER NOBYPASSRLS;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON sites, sectors, invoices TO app;
//
//	err := tables.Secure(ctx, owner)   // with the migrations
//	err = tables.Bind(ctx, db)         // refuses a superuser, BYPASSRLS, the owner
//	err = tables.BindOwner(ctx, owner) // where the program does such work itself
//
// The account is a setting of the transaction, which is what holds behind PgBouncer
// in transaction mode too. So every access is in one, one for a request, and For in
// it costs a round trip; one transaction serves one account at a time:
//
//	err := tables.For(ctx, db).RunInTx(ctx, func(ctx context.Context, rows *owned.DB) error { … })
//
// It is a wall against mistakes: SQL that sets quitrent.account itself, as an injected
// statement could, chooses its account. Views bypass the policies of their tables
// unless they are security_invoker (PostgreSQL 15). Table.SelfGuarded and lookup
// tables, by which an account is found from outside, have no policies.
//
// # Proof
//
// tenancytest.Run attacks every registered model with every verb from another account,
// and reports tables with an account's column that nobody registered.
package owned
