// Package leaks takes reports of API keys that were found in the open, from secret
// scanners, and revokes the keys.
//
// # What a scanner sends
//
// The form is that of GitHub's secret scanning partner program
// (docs.github.com, "Secret scanning partner program"): a POST of a JSON array of what
// was found, signed with ECDSA over P-256 and SHA-256, and an answer that says which
// finds were keys. To join, give GitHub the regular expression of your brand and
// environments, as package authn documents it, and the address of the handler.
//
//	reports, err := leaks.New(keys, leaks.Config{Notify: tellTheOwner})
//	mux.Handle("POST /hooks/leaked-keys", reports.Handler(db))
//
// The signature is verified before anything in the body is read. Scanners of another
// kind have a Leaks of their own each: Config.Verify says how they show who they are
// (Bearer is for a static token), Config.Read what they write.
//
// # What comes of it
//
// A key whose whole text is right is revoked at once, with an audit line, the events
// authn.KeyRevoked and authn.KeyLeaked, and a call of Config.Notify. Config.NotifyOnly
// leaves it to the owner. The key's id alone does nothing: it is no secret, and whoever
// has seen it in a log could end the key otherwise. Finds with a wrong form or checksum
// are answered without the database. A report may come any number of times, and says the
// same each time: each leak is acted on and noted once.
//
// The handler needs no credential of ours and belongs in front of no middleware that
// asks for one. A limit by address (package throttle) does it no harm.
//
// # The scanner's public keys
//
// They are fetched when the first report comes, kept for an hour, and asked for again
// with the ETag they had. An identifier that is not among them has them fetched at
// once, so that a scanner may change its key at any time, but no more than once a
// minute, whatever anybody makes up. Where fetching fails, known keys serve for up to 24
// hours; then the answer is 503 with Retry-After, like that for an unknown identifier
// meanwhile. A public key that the scanner has withdrawn is so believed for up to an
// hour, or a day: what it could do until then is to end keys whose whole text it holds.
//
// # What is stored and shown
//
// Never the token: it is in no row, log, error or answer, and values of this package
// print without it. Where it was found is in the event alone, without user, query and
// fragment; the audit log, which names no person, says by whom and in what kind of place.
package leaks
