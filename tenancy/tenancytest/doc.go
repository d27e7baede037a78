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
package tenancytest
