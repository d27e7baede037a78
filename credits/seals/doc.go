// Package seals makes tampering with a credit ledger evident. It is optional, and free
// where it is not used.
//
// Entries are append-only to the application; whoever owns the database can still
// change them, and a ledger that was changed with care still adds up. Seals puts a chain
// of hashes over each account's entries, in a table of its own (credits_seals, part of
// credits.Migrate): each seal is over one entry, what it took from which grant, and the
// seal before, so that no sealed entry can be changed or removed, and none put between
// two of them, without breaking the chain, or making all of it anew. A head that was
// noted elsewhere, a printout or a bucket that cannot be overwritten, shows even that.
//
//	s := seals.New(seals.Config{Note: toTheSafe})
//	go s.Run(ctx, db) // every minute; in any number of processes
//	…
//	report, err := s.Verify(ctx, db, "acc_1", noted)
//	if !report.Sound() { … report.Findings … }
//
// Sealing is no part of a request: an entry is sealed by Run soon after its commit, and
// until then nothing speaks for it (Report.Unsealed). It takes no lock of the ledger's.
// An entry's seal has the entry's number.
//
// Verify recomputes the whole chain and says from which entry on the ledger is not as
// it was sealed; credits.Ledger.Verify says whether it adds up. It needs no secret, and
// neither does anybody else: a seal proves order and content to who holds a head, and
// not who made it. The chain says nothing that the entries don't: where seals are lost,
// sealing again gives the same ones, if the entries are still the same.
//
// VerifyAll verifies the next accounts in the order of their ids, and a later call goes on
// where it stopped:
//
//	next := seals.VerifyAll{After: kept, Noted: fromTheSafe}
//	for more := true; more; more = next.After != "" {
//		v, err := s.VerifyAll(ctx, db, next)
//		… v.Findings …
//		next.After = v.Next
//	}
//
// An account that was deleted together with its seals is on none of the database's lists:
// call Verify with the heads in the safe, too.
//
// On SQLite triggers keep the seals append-only; on PostgreSQL privileges do. Whoever runs
// it needs no more than
//
//	GRANT SELECT ON credits_accounts, credits_entries, credits_splits TO sealer;
//	GRANT SELECT, INSERT ON credits_seals TO sealer;
//
// and can be another than the role that serves.
//
// What the ledger derives from its entries – balances, what remains in grants – is not
// sealed, and neither are holds, budgets and remembered refusals.
//
// # The sealed text
//
// A hash is the SHA-256, in lower-case hexadecimal, of these parts, each written as its
// length in bytes (decimal), ":", the part, ",":
//
//	1       quitrent.credits.seal.1
//	2       the hash of the seal before, or nothing for the first
//	3-9     account_id, unit, number, kind, amount, balance, spendable
//	10      refund_of, or nothing
//	11-15   key, operation, note, actor_kind, actor_id
//	16      at, as RFC 3339 has it, in UTC, with no more decimals than it needs
//	17-22   basis, hold_id, grant_id, hash, on_behalf_kind, on_behalf_id
//	23      how many rows credits_splits has of the entry
//	then for each of them, by position: position, grant_id, amount
//
// Numbers are in decimal. So the first seal of an account may be checked with sha256sum:
//
//	23:quitrent.credits.seal.1,0:,5:acc_1,6:credit,1:1,5:grant,2:10,2:10,2:10,0:,2:g1,0:,0:,6:system,7:credits,20:2026-03-01T09:00:00Z,0:,0:,5:grt_1,4:00ff,0:,0:,1:0,
//
// is b4eddfd0f6b1ab5063717ca0f31b651f7f8d417bf206ad0b451db32a5329ff7e.
package seals
