// Package prices is the price list: what an operation costs, in credits, from when on,
// and why an entry of the ledger says what it says. It is optional; its table,
// credits_prices, is part of credits.Migrate.
//
// # A price
//
// A Price is a fixed number of credits, or so many credits for so many of what is
// counted, for up to eight things at once, or both:
//
//	prices.Price{Fixed: 5}
//	prices.Price{Components: []prices.Component{
//		{Input: "input_tokens", Credits: 3, Per: 1000},
//		{Input: "output_tokens", Credits: 15, Per: 1000},
//	}, Minimum: 1}
//
// The sum is exact, in fractions and without floating point, and it is rounded once,
// at the end: by RoundUp unless the price names another rule. To round each component
// would take up to a credit for each. The minimum counts after rounding. What would
// pass int64 is ErrOverflow.
//
// # Versions
//
// Set appends a version, numbered 1, 2, 3 for each operation. A version holds from its
// date to the date of the next one; of several with one date, the one that was set last
// holds. No date lies in the past, and no version is changed or deleted, so what was
// once in effect stays so:
//
//	version 1  from 1 March   5 credits
//	version 2  from 1 June    6 credits
//	version 3  from 1 June    5 credits    calls off version 2, before 1 June
//
// End says that there is no price any more. An operation without a price is ErrNoPrice,
// never free: what is free says so.
//
// A price with an Account is that account's own and goes before the general one, until
// it ends. Its versions are counted by themselves.
//
// # Quote, deduct, explain
//
// Quote charges nothing. Its Basis goes onto the ledger's entry:
//
//	q, err := list.Quote(ctx, tx, prices.Quote{
//		Account: account, Operation: "chat", At: job.OrderedAt,
//		Inputs: map[string]int64{"input_tokens": in, "output_tokens": out},
//	})
//	if err != nil {
//		return err
//	}
//	if q.Amount > 0 {
//		_, err = ledger.Deduct(ctx, tx, credits.Deduct{
//			Account: account, Amount: q.Amount, Operation: "chat", Basis: q.Basis, Key: "chat:" + job.ID,
//		})
//	}
//
// Quote for the instant at which the work was ordered, and keep that: asked again after
// a price has changed, the amount would be another one, and the key would be
// credits.ErrKeyReused.
//
// The basis is one line of JSON in one form (members sorted, no spaces; inputs that the
// price does not name are left out):
//
//	{"amount":5,"inputs":{"input_tokens":1200,"output_tokens":70},"operation":"chat","version":2}
//
// "account" comes first where the price is the account's own. Explain reads it back,
// computes it again from the version as it is stored, puts it into words and says
// whether the two agree.
//
// # Append-only
//
// On SQLite triggers keep the list append-only; on PostgreSQL privileges do, when the
// role that serves is not the one that migrates. To package credits' it adds:
//
//	GRANT SELECT, INSERT ON credits_prices TO app;
package prices
