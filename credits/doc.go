// Package credits says how much an account may still spend: an append-only ledger
// of credits, on the host's own database and inside the host's own transactions.
//
// # Entries, grants, splits
//
// Credits come in by a Grant and go out by a Deduct. Each is an Entry of the
// account's ledger: numbered 1, 2, 3 without gaps, with the balance after it, never
// changed and never deleted. A grant has a category, a priority, a date from which
// it is in effect and a date at which it expires; every deduction writes down how
// much it took from which grant, and a Refund gives it back there. Each unit
// (Config.Unit) of an account is a ledger of its own; events, audit data, answers and
// files say which.
//
// # Burn order
//
// A deduction takes from the grants that are in effect, in this order:
//
//  1. the lower priority
//  2. the sooner expiry; never is the latest
//  3. allowance, promo, adjustment, paid: what was given before what was bought
//  4. the earlier effective date
//  5. the lower id
//
// Expired credit is unspendable at the instant: that is computed from timestamps
// and waits for no job. What happens by itself – a grant expires, a hold ends, a period
// begins – is booked as of its moment before anything that comes after it, by whoever
// asks next; Sweep does it for accounts that nobody asks for. The ledger is the same
// either way. Grant.Operations says what a grant is for, if not for everything; Revoke
// takes back what is left of one.
//
// # Holds
//
// For work whose cost is known afterwards, Hold sets credits aside, and Settle charges
// what the work cost:
//
//	held, err := ledger.Hold(ctx, db, credits.Hold{Account: account, Amount: 50, Operation: "render"})
//	// … the work …
//	done, err := ledger.Settle(ctx, db, credits.Settle{Account: account, Hold: held.ID, Amount: 37})
//
// A hold keeps credits of the grants that it would have taken from, even past their end.
// Settle takes more than is held from what can be spent, and beyond that, up to
// Config.Overdraft, as a debt that the next grant repays; with More it settles in parts.
// A hold that nobody settles or releases ends by itself at Hold.For: it goes back, is
// charged, or waits for a decision, as Hold.AtEnd says.
//
// # Statements
//
// Statement reads the entries of a period, oldest first, with the balances at both ends;
// its pages are of one moment, whatever is written meanwhile. BalanceAsOf says what was
// booked at a moment. WriteCSV writes a whole period as a file whose last line is the
// closing balance: a file without it was cut short.
//
// # Budgets and thresholds
//
// SetBudget limits what a key or a member may spend a day, a week, a month or ever; a key
// counts against its own budget and that of the member who made it. Want of budget is
// ErrBudget, not ErrInsufficient. SetThreshold publishes Low once when what can be spent
// falls to a level, in the transaction that moved it, and Recovered when it is back. What
// an account has none of costs nothing.
//
// # Allotments
//
// SetAllotment grants an account credits period by period: a plan's monthly ones, whether
// it is paid for or free. Periods are so many months or days, counted from an anchor on
// the calendar of the account's time zone: from 31 January on they begin on 28 February
// and on 31 March, at the same time of day there. Each is granted exactly once, as of
// its beginning and without a job: whatever asks for the account first grants what is
// due, and what was missed for a year is granted period by period, in the order in which
// it would have happened. At one moment grants expire first, then periods begin, by
// name, then holds end.
//
// What is left at a period's end expires, or rolls over as Rollover says:
//
//	_, err := ledger.SetAllotment(ctx, db, credits.SetAllotment{
//		Account: account, Name: "plan", Amount: 1000, Zone: "Europe/Vienna",
//		Rollover: credits.Rollover{Cap: 500},
//	})
//
// A change takes effect with the next period. EndAllotment grants no more; set again, the
// allotment goes on with the period that is then, and no period is granted twice. A period
// that an account has no room for is left out, with an AllotmentSkipped in the outbox.
// Nothing here asks whether an account is suspended or closed: end its allotments then,
// as billing.Allotments does with those of plans.
//
// # Prices
//
// Package prices has what operations cost, from when on, and writes down why an entry
// says what it says: Deduct.Basis.
//
// # Many at once
//
// Deductions and holds that come while a commit is under way share the next one, each
// with an outcome of its own, in the order they came: Config.Combine. A call in a
// transaction of yours commits with it. On PostgreSQL a Ledger remembers how up to 30,000
// accounts stood, in less than 300 bytes each, and answers a deduction by that in one
// statement. It takes from the grant that is spent first, whose remainder is in the
// account's row, and deductions of any number of processes take turns at that row and
// nothing else. Where more has happened to the account, or that grant has too little, the
// statement does nothing, and the account is read under its lock: also where it has a
// budget, a threshold, a debt, or credits for some operations only.
//
// # Once and only once
//
// A key makes an operation happen once, whatever is retried. The same key with the
// same content gives the first outcome back, a refusal too; with other content, or in
// another verb, it is ErrKeyReused. What the content is, each verb says; notes, actors
// and bases are no part of it. Keys are unique per account and unit, and kept for ever.
// A refusal without a key writes nothing.
//
// A COMMIT whose outcome nobody knows – the connection was lost – is
// ErrOutcomeUnknown: ask again with the same key.
//
// # One transaction
//
// Every method takes a bun.IDB. Given a bun.Tx it joins it, so that the host's row
// and its price commit together or not at all:
//
//	err := db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
//		if _, err := tx.NewInsert().Model(image).Exec(ctx); err != nil {
//			return err
//		}
//		_, err := ledger.Deduct(ctx, tx, credits.Deduct{Account: account, Amount: 5, Key: "image:" + image.ID})
//		return err
//	})
//
// The refusals leave a joined transaction usable; any other error means: roll back.
// On SQLite begin transactions with BEGIN IMMEDIATE (_txlock=immediate).
//
// # Correctness
//
// The account's row is the lock, taken first. Where it names a grant as head, what is in
// that one is head_free and what is held of it; its own row may say more. Amounts are
// int64, overflow is checked, and the database itself refuses a grant below zero. Verify
// checks that a ledger adds up; package seals shows whether it is the one that was
// written. On SQLite triggers keep entries and splits append-only; on PostgreSQL
// privileges do, when the role that serves is not the one that migrates and has no more
// than it needs:
//
//	GRANT SELECT, INSERT ON credits_entries, credits_splits, credits_keys, tenancy_events, tenancy_deliveries, tenancy_audit TO app;
//	GRANT SELECT, INSERT, UPDATE ON credits_accounts, credits_grants, credits_holds, credits_allotments TO app;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON credits_budgets, credits_thresholds TO app;
package credits
