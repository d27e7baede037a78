// Package retention gives an account's data back, keeps it as long as it must be
// kept, and forgets it when it must be forgotten.
//
// It works on the registry of package owned: every table that holds rows of accounts
// or of persons is named there once, with what is personal and what is secret in it.
// This package adds the tables of package tenancy, and the others bring theirs:
//
//	tables := owned.New(owned.Config{Tables: slices.Concat(
//		retention.Tables(), credits.Tables(), authn.Tables(), billing.Tables(),
//		[]owned.Table{
//			{Model: (*Site)(nil)},
//			{Model: (*Invoice)(nil), Keep: true, Personal: []string{"name", "address"}},
//		},
//	)})
//	keeper := retention.New(accounts, tables, retention.Config{
//		Lookups: slices.Concat(authn.Lookups(), billing.Lookups()),
//	})
//
// # A table that is added later
//
// Keeper.Complete compares the registry with the database's own catalog: a table with
// a column account_id or user_id, or any other by which registered rows are found,
// that is not registered, is an error. Call it in a test. Export and Erase call it
// too, and rather do nothing than a part: what was forgotten is not left behind.
//
// # Export
//
// Keeper.Export streams a zip archive: a file of JSON lines for each table, and a
// manifest. Over HTTP it is GET /account/export of Keeper.Handler.
//
// # Erasure
//
// An account ends in two steps. tenancy.Accounts.Close closes it, and until PurgeAt it
// can be restored. Then Keeper.Erase deletes what it owned, and Keeper.Run does so by
// itself for every account whose time is over. What happens to a row:
//
//	registered with       the row is
//	nothing               deleted
//	Keep                  kept, its Personal columns blanked
//	User                  deleted with its person
//	User and Keep         kept without its Personal columns
//	Lookup                deleted; kept with Keep
//
// A personal column becomes NULL where it may, and otherwise empty, zero or the
// beginning of 1970; JSON becomes null. One that is part of a key, or of a type that
// has nothing neutral, is refused by Complete.
//
// What stays of package tenancy and the ledger holds ids, and nobody's name: the
// person behind an id is blanked. Append-only tables are not changed by an erasure
// either, and SQLite's triggers would refuse it: so no name belongs into the reason of
// an audit line, which every reason becomes that is given to a verb of this library, or
// into the note of a ledger's entry.
//
// A person goes with the last account that the person is a member of, and with it the
// address in the invitations that the person accepted, in accounts that live on too.
// Who was removed from an account before, and is in no other, is not found by way of an
// account; nor is an address that was invited and never came: invitations.Purge deletes
// those that are over.
//
// The events of the outbox go, those too that were not delivered; the one that says
// that the account was erased is delivered, for what else knows of it.
//
// # Legal holds
//
// Keeper.PlaceLegalHold keeps an account, and what was soft-deleted in it, from being
// erased until it is lifted. Any number may be on one account.
//
// # Soft delete
//
// Rows of a registered model with a soft_delete column are restored through the
// account's own view, owned.DB.NewUpdate with WhereDeleted; a name that is to be free
// meanwhile is unique by an index on the rows that live:
//
//	CREATE UNIQUE INDEX sites_slug ON sites (account_id, slug) WHERE deleted_at IS NULL
//
// Keeper.Purge removes them after Config.RowRetention.
//
// # What the database keeps underneath
//
// A deleted row is gone for every statement, and not yet from the disk. On SQLite its
// bytes stay in the file until they are written over: connect with
// _pragma=secure_delete(1), or run VACUUM after an erasure. On PostgreSQL vacuuming
// frees them, and the log that is archived has them for as long as it is kept, like
// every backup.
//
// # Backups
//
// A restored backup brings back what was erased since. So keep the tombstones
// elsewhere: after each erasure, or from time to time, read all of Keeper.Tombstones,
// which hold ids alone. After a restore, and before anybody is served, give them to
// Keeper.Replay.
//
// # Who runs it
//
// Erase, Purge and Replay delete from tables that the serving role of the README must
// not delete from: on PostgreSQL they connect as the owner of the tables, like the
// migrations. Export reads only, apart from its line in the audit log. With a
// tenancy.Config.Loader, for accounts in the host's own tables, Export works and
// Erase does not.
package retention
