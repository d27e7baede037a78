// Package seals makes tampering with the audit log evident. It is optional, and free
// where it is not used.
//
// The log is append-only to the application; whoever owns the database can still
// change it. Seals puts a chain of hashes over each account's log, in a table of its
// own (tenancy_audit_seals, part of tenancy.Migrate): each seal is over one line and
// the seal before, so that no sealed line can be changed or removed, and none put
// between two of them, without breaking the chain, or making all of it anew. A head
// that was noted elsewhere, a printout or a bucket that cannot be overwritten, shows
// even that.
//
//	s := seals.New(seals.Config{Note: toTheSafe})
//	go s.Run(ctx, db) // every minute; in any number of processes
//	…
//	report, err := s.Verify(ctx, db, "acc_1", noted)
//	if !report.Sound() { … report.Findings … }
//
// Sealing is no part of a request: a line is sealed by Run soon after its commit, and
// until then nothing speaks for it (Report.Unsealed). The chain is in the order of
// sealing. That is the order of the lines' ids but for lines whose transactions
// committed late. So a line that somebody adds later under an earlier time is sealed
// like any other, and stands in the log between older ones, but its seal's number says
// when it came: a number far above its neighbours' is a line to be looked into, as is
// one above a head that was noted after the time that it bears. The account "" is the
// installation's own log.
//
// Verify recomputes the whole chain. It needs no secret, and neither does anybody
// else: a seal proves order and content to who holds a head, and not who made it.
//
// # The sealed text
//
// A hash is the SHA-256, in lower-case hexadecimal, of twelve parts, each written as
// its length in bytes (decimal), ":", the part, ",":
//
//	1   quitrent.audit.seal.1
//	2   the hash of the seal before, or nothing for the first
//	3   the number of the seal, from 1, in decimal
//	4   account_id
//	5   audit_id
//	6   at, in microseconds since 1970-01-01T00:00:00Z, in decimal
//	7   actor_kind
//	8   actor_id
//	9   action
//	10  target
//	11  reason
//	12  data, byte by byte as it is stored
//
// So the first seal of an account, on a line without target, may be checked with
// sha256sum:
//
//	21:quitrent.audit.seal.1,0:,1:1,5:acc_1,5:aud_1,16:1772355600000000,8:operator,4:op_1,15:tenancy.suspend,0:,5:fraud,2:{},
//
// is 067df505219f2152a19a6cd65d534c0c34e119c6a38a6cac2c89e158fa9948a5. Hash does it for
// programs in Go.
package seals
