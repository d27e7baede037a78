// Package adoption takes over what the customers of a running system sign in with: the
// hashes of their passwords, and their API keys by the hashes that the old system kept.
//
// Accounts, users and members come first, with tenancy/adoption: rows here name them by
// the ids that they have now (Report.AccountIDs and Report.UserIDs there).
//
//	passwords := authn.NewPasswords(accounts, authn.PasswordConfig{Foreign: authn.Foreign{PBKDF2SHA256: 600_000}})
//	a := adoption.New(accounts, passwords, keys, adoption.Config{KeyHash: authn.SHA256Hex, KeysEndAt: inAYear})
//	report, err := a.Adopt(ctx, db, adoption.Adopt{Passwords: rows.passwords, Keys: rows.keys, DryRun: true, Actor: operator})
//
// # Passwords
//
// A hash is stored as it is, if sign-in verifies it (authn.PasswordConfig.Foreign), and
// replaced at the first right sign-in of its person. Those of Django, passlib and what
// writes PHC strings or bcrypt's are known; argon2$argon2id$… of Django too. Nobody's
// password that is here already is overwritten: who has set one since has it. A user who
// had none ("", or Django's "!…") is counted and gets none.
//
// # API keys
//
// A key becomes one of authn's: listed, named, revoked and rotated like every other, and
// its old text is one of its secrets, until its end. An authn.Imported behind the Keys of
// the guard verifies it, with the same hash:
//
//	imported, err := authn.NewImported(keys, authn.ImportedConfig{Hash: authn.SHA256Hex})
//	guard := authn.NewGuard(accounts, authn.GuardConfig{}, keys, passwords, imported)
//
// Tell the customers when their keys end, and take the last ones from Keys.Secrets, which
// knows when each was used. After the end, Imported goes.
//
// # A dry run, then the real one, and again
//
// A dry run checks every row and writes nothing: Report.Refused names all that stands in
// the way, Report.Notes what to know. The real run does the same in one transaction, all
// of it or nothing, and returns ErrRefused while anything is refused. It may run as often
// as one likes: what is there is counted and left as it is. No event is published. The
// installation's audit log has a line with the counts, and each account one for each key.
package adoption
