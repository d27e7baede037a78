// Package adoption takes over the credits of a running system: what each account has, and
// how it came about.
//
// Accounts come first, with tenancy/adoption: rows here name them by the ids that they
// have now (Report.AccountIDs there). The host reads its old tables and maps each account
// to an Account, with its ledger's rows as History. Each unit of credits is a Ledger, and
// so an Adoption, of its own.
//
//	a := adoption.New(accounts, credits.New(credits.Config{}), adoption.Config{Category: credits.CategoryPaid})
//	report, err := a.Adopt(ctx, db, adoption.Adopt{Accounts: rows, DryRun: true, Actor: operator, Reason: "the move of 2026"})
//
// # What becomes of a history
//
// Each row becomes an entry of the ledger, with its time, its amount and its words; so a
// statement goes back to before the move, and a balance as of a day of that time is the
// old system's. Numbers, balances and the grants behind them are this ledger's own, and
// Ledger.Verify finds nothing wrong with them. An entry's key is "quitrent:adopted:", the
// unit, ":" and the row's Reference.
//
// Old ledgers rarely say which credits a deduction took. It is taken to be those that came
// in first: what is left is what came in last, in the Lots that the old system knows, each
// with its category, its priority and its end. A deduction of the old system can be
// refunded like any other: into what never expires, of Config.Category. Where the old
// system refunded it already and says so (Row.RefundOf), only the rest can be.
//
// An end that has passed is the old system's affair: if it took credits away, that is a
// row, of KindExpire, and if it did not, they are still there.
//
// # What does not add up
//
// Rows may say what the account had after them, and the account's Balance is what it has
// in the end. What it had before the first row is brought forward where a row's Balance
// says so. Every other difference is refused, with the two numbers, or with Config.Adjust
// is entered where it shows first as an entry of its own: a grant, or a revocation that
// nobody can refund. A history that goes below zero and comes back is taken as it is: as a
// debt, which the next credits repaid.
//
// # A dry run, then the real one, and again
//
// A dry run checks every row and writes nothing: Report.Refused names all that stands in
// the way, such as an account that there is not or that has entries already, rows out of
// order or twice, a balance below zero; Report.Notes what to know. The counts and
// Report.Credits are there to be held against the old system.
//
// The real run checks the same and returns ErrRefused while anything is refused. Then it
// writes account by account, each in a transaction: an account is adopted whole or not at
// all, and who was interrupted runs it again. Many accounts may be given in parts, too. What
// is there is counted and left as it is: an account whose rows have changed in the old
// system since is Different and is not touched, since the new system is the truth from
// the moment that it has one. Adopt therefore when the old system has stopped to count,
// and before anything is granted here.
//
// Nobody is told: no event is published but those of an account's thresholds, which are
// held against what is left. Each account's audit log has a line with what it
// has and the lots, the installation's one with the counts.
package adoption
