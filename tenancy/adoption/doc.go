// Package adoption takes over the customers of a running system: its accounts, its
// users, and who belongs where.
//
// The host reads its old tables and maps each row to an Account, a User or a Member.
// Nothing need be renamed: an account keeps its id where that can be one ("17", a
// UUID), and the old system's words are translated by Config. Rows refer to each
// other by what the old system calls them, their Foreign.
//
//	a, err := adoption.New(accounts, adoption.Config{
//		Statuses: map[string]tenancy.Status{"past due": tenancy.StatusPastDue},
//		Plans:    map[string]string{"Enterprise (old)": "enterprise"},
//		Roles:    map[string][]tenancy.Role{"ADMIN": {tenancy.RoleAdmin, tenancy.RoleDeveloper}},
//	})
//	…
//	report, err := a.Adopt(ctx, db, adoption.Adopt{
//		Accounts: rows.accounts, Users: rows.users, Members: rows.members,
//		DryRun: true, Actor: operator, Reason: "the move of 2026",
//	})
//
// # A dry run first
//
// A dry run checks every row and writes nothing. Report.Refused names everything that
// stands in the way, with the row, the field and what to do: an account without an
// owner, an owner who is no user, two users with one e-mail address (letter case and
// the way an accent is typed do not tell two people apart), a plan, a status, a role
// or a time zone that nothing is known of. Report.Notes names what to know: trials
// without a recorded end, accounts with more members than their plan allows, users
// who belong to no account, roles held in none. The counts, by kind, by status and by
// plan, are there to be held against the old system.
//
// # Then the real one
//
// It does the same, in one transaction: all of it or nothing, once more from the
// start. While anything is refused it writes nothing and returns ErrRefused. Rows go in
// by hundreds a statement: ten thousand accounts with their owners take seconds, and
// for as long nobody else writes to a SQLite database.
//
// Nobody is told: no hook of registration runs, so no credits are seeded, and no event
// is published, so nobody gets a letter of welcome. The audit log of each account
// says who adopted it, and why. Passwords, API keys and balances are taken over after
// that by the packages they belong to, by Report.UserIDs and Report.AccountIDs.
//
// # And again
//
// Adopt may run as often as one likes, while both systems run side by side too. What
// is there already is counted and left as it is, because the new system is the truth
// from the moment that it has a row: one that has changed since counts as different,
// and one that was removed since does not come back.
package adoption
