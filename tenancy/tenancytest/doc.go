// Package tenancytest helps a host to test what it builds on package tenancy. It
// is for tests only: it opens SQLite files and ends the test when something fails.
//
// # A handler
//
// A handler that calls tenancy.From needs a context that has entered an account.
// Context makes one, and no database is needed:
//
//	func TestGreeting_NamesThePlan(t *testing.T) {
//		ctx := tenancytest.Context(t, tenancy.Scope{Account: "acc_1"})
//		r := httptest.NewRequestWithContext(ctx, "GET", "/greeting", nil)
//		w := httptest.NewRecorder()
//		greeting(w, r)
//		if got := w.Body.String(); got != "hello acc_1, you are on starter" {
//			t.Error(got)
//		}
//	}
//
// # The whole way
//
// To test with middleware, hooks and time, take a fresh database, register an
// account in it and move the clock:
//
//	clock := tenancytest.NewClock(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC))
//	db := tenancytest.SQLite(t, tenancy.Migrate, credits.Migrate)
//	accounts := tenancy.New(tenancy.Config{Now: clock.Now})
//	ada := tenancytest.Register(t, db, accounts, "ada@example.com")
//	clock.Advance(14 * 24 * time.Hour) // the trial is over
//
// RequireEvent and RequireAudit then look at what a call has written.
//
// The database is a SQLite file in the test's own folder, opened as a host is told
// to open its own; a test that depends on PostgreSQL opens that itself.
//
// # The leak kit
//
// Run proves that the host's own tables keep their accounts apart. It is one test, of
// the registry that the program serves with, on a migrated database of its own:
//
//	func TestNoLeaks(t *testing.T) {
//		db := tenancytest.SQLite(t, tenancy.Migrate, migrate)
//		tenancytest.Run(t, db, tables, (*Sector)(nil), &Site{Status: "live"})
//	}
//
// Two accounts with the same keys are made up in every registered table, and the one
// goes after the rows of the other with every verb of package owned, of plain bun and
// of SQL. A model or a table with an account's column that is not registered fails the
// test, so the one that is added next year is not forgotten; give Run all models, or
// none and leave it to the database's catalog. A line of the test names the model, the
// verb, where it was tried and what was seen:
//
//	Site (sites): an update with WhereOr, on the pool: rows of another account were changed:
//	- account_id=acc_leak_a id=k1 slug=k1
//	+ account_id=acc_leak_a id=k1 slug=c8
//
// Run makes rows up from the types of the columns and follows foreign keys. Where a
// CHECK or an enum wants something else, an example row says what; an example of a
// model that belongs to no account serves the tables that refer to it. A host that
// runs on PostgreSQL runs the kit there: run it on both where both are served.
package tenancytest
