// Package authn says who is calling: by an API key, or by an e-mail address and a
// password; and, in packages below it, by a session or a token.
//
// # Who, and then for which account
//
// A credential is worth nothing by itself: whichever one came in, the request
// enters an account only through tenancy.Accounts.Enter, which validates the
// account for what the route needs. So the keys of a suspended account stop with
// the suspension, like everything else of it.
//
//	keys, err := authn.New(accounts, authn.Config{Peppers: []authn.Pepper{{ID: "2026", Secret: secret}}})
//	passwords := authn.NewPasswords(accounts, authn.PasswordConfig{})
//
//	mux.Handle("POST /signup", passwords.SignUp(db, keys))
//	mux.Handle("/v1/", keys.Middleware(db, tenancy.Use)(api))
//	mux.Handle("/keys", passwords.Middleware(db, tenancy.SignIn)(keys.Handler(db)))
//	mux.Handle("/keys/", passwords.Middleware(db, tenancy.SignIn)(keys.Handler(db)))
//
// A Guard takes any number of Authenticators, asked in order. A request carries
// one credential: in Authorization, or a key in X-API-Key; two that differ are
// refused. An authenticator that does not know its kind says ErrNoCredential, and
// the next one is asked; any other error is final.
//
// Its Middleware is a thin face: FromRequest makes a Credential of a request, and
// Enter does the rest. Where calls come in by gRPC, a socket or a queue, make the
// Credential of what they carry and call Check or Enter, or Keys.Verify with a key.
//
// Somebody who belongs to several accounts names one, in X-Account-ID or in
// Credential.Account: without it the answer is tenancy.ErrWhichAccount (409), and
// tenancy.ErrNoAccount (404) where there is none to enter. Passwords.SignIn alone
// asks for no account.
//
// # The form of a key
//
// A key can be told from other text, and a mistyped one from a right one, without
// a database:
//
//	<brand>_<env>_<id><secret><crc>
//
//	brand   a letter, then 1 to 15 of a-z 0-9
//	env     2 to 8 of a-z: "live", "test"
//	id      12 of 0-9 A-Z a-z: names the key, is no secret
//	secret  30 of 0-9 A-Z a-z: 178 bits from the system's generator
//	crc     6 of 0-9 A-Z a-z: the CRC-32 (IEEE 802.3) of all characters before it,
//	        in base 62 with the digits 0-9 A-Z a-z, most significant first, padded
//	        with 0
//
// The regular expression is
//
//	^[a-z][a-z0-9]{1,15}_[a-z]{2,8}_[0-9A-Za-z]{48}$
//
// and these are keys of that form, which open nothing:
//
//	qr_live_0000000000000000000000000000000000000000003ZaMtS
//	qr_test_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef0Mk1yL
//	acme2_live_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz31cmaS
//
// Keys.Verify refuses all else before it asks the database. testdata/key_format.json
// has these and more, valid and not, each of the latter with its reason, for tests of a
// validator in another language: match the expression to the whole text (in some
// languages $ also matches before a last line end), compare brand and environment with
// your own, read the last 6 characters as a number in base 62 and compare it with the
// CRC-32 of all bytes before them. Package leaks takes the reports of scanners that find
// keys by this form.
//
// # What a key may do
//
// A key enters its account for what its May says, tenancy.Use at most. What takes a
// permission it may do as far as its Maker may do it now and its Scopes name it: a
// demotion shrinks the keys of who is demoted, and a removal stops them with
// ErrOrphaned, until somebody takes them over; in accounts that a host keeps, where
// tenancy's Config.MemberLoader can say who was removed. A key without scopes can do
// what asks for a capability alone. Keys that an operator or a job makes act on nobody's
// rights and hold their scopes.
//
//	keys.Issue(ctx, db, authn.Issue{
//		Account: account, Name: "build server", Actor: actor,
//		Scopes:    []tenancy.Permission{"sites.publish"},
//		May:       tenancy.Read | tenancy.Write,
//		Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
//	})
//
// Keys.Handler serves members who hold tenancy.PermKeysManage: the owner, admins and
// developers, and whom Config.Roles of tenancy gives it to. Issue and Revoke ask for no
// permission: a program that calls them decides for whom.
//
// # Rotation
//
// A key has up to five secrets at once, each of which opens it. Rotate makes another
// and lets the others go on for a while, so that programs get theirs one by one; the
// key keeps its id, its limits and its history. Key.LastUsedAt, and that of each of its
// Secrets, show whether an old one is still in use: to the minute, while Keys.Run runs.
// Nobody rotates a key that reaches further than their own rights, and who rotates
// somebody else's takes it over. The plan limit LimitKeyDays, or an account's own, says
// how old a secret may be.
//
// # What is remembered, and for how long
//
// While tenancy's Accounts.Run runs, a process remembers which keys it has seen, and
// their accounts: a check then asks no database. A revocation, a rotation, a demotion, a
// suspension and a change of plan count at once in the process that makes them, and in
// every other one within Config.RevocationBound of tenancy (1 s) of their commit, by its
// own monotonic clock, whatever the clocks of others say. A process that cannot read the
// changes within that bound uses nothing it remembers, and asks the database; where that
// is away too the answer is 503. Until Run runs every check asks the database, in one
// statement.
//
// Behind a proxy every place where a client's address counts is told of it: ByAddress of
// package throttle, and the TrustedProxies of GuardConfig, Config, PasswordConfig and of
// package sessions' Config.
//
// Texts that are no key are remembered apart and in bounded number. What limits how
// often an address may try is package throttle's ByAddress, in front.
//
// # What is stored
//
// Of a key, HMAC-SHA256 of everything before its checksum, under a Pepper that is
// not in the database: a copy of the database opens nothing, and no id or
// environment can be put in front of another's secret. Of a password, Argon2id
// with a salt, computed outside of transactions and a bounded number at a time.
// Peppers, keys, credentials and passwords show in no error or log of this package,
// and not in its types when they are formatted. Package fmt does not ask a value in
// an unexported field of yours: give such a struct a String of its own.
//
// In memory a key is its SHA-256. A secret is hashed anew with the first pepper when it
// is used, so an old pepper can go once those who use their keys have done so.
//
// # Passwords
//
// A password has 10 to 128 characters and may have any of them but control
// characters. It is refused when it is among the common ones, runs along the
// keyboard, repeats itself, has neither a letter nor 20 characters, or is the
// user's name or address. It is never changed but for Unicode's composed form
// (NFC), and never cut.
//
// Its person changes it with Change, which asks for the current one and counts it as an
// attempt to sign in; package sessions has the endpoint. Set is for operators and scripts.
//
// SignIn does the same work and says the same words whether the address is
// unknown, the user has no password, or the password is wrong. A sign-up says that
// an address is taken, since somebody who forgot an account must learn it.
//
// # How often a password is tried
//
// Every attempt is counted before anything is hashed (PasswordLimits), and refused with
// ErrTooManyAttempts (429, Retry-After) in the same words whether the address exists. A
// wrong password counts against the e-mail address from that network address, against the
// e-mail address from everywhere, and against the network address. A right one is given
// back and counts against its person, so that a script may go on sending its password, at
// 2 requests a second, and keeps no CPU busy with it; a key is the better way. Right
// passwords also cost their network address, and when too many wait for a hash
// (PasswordConfig.Waiting) the answer is the same 429.
//
// Where somebody has signed in from, only what is tried from there counts: a stranger
// elsewhere who uses up the attempts for an address keeps its owner out of places where
// that person has never been, and of none other. That is remembered by the process: after
// a restart, as from a new place, a person waits with everybody else until the attack
// slows down. A stranger behind the same network address is no stranger.
//
// Counts are in memory, bounded (some 65,000 of each kind), and each process has its own.
// Behind a proxy, name it in TrustedProxies: otherwise all the world is one address.
//
// # Passwords of another framework
//
// While PasswordConfig.Foreign names a kind of hash, sign-in also verifies what package
// adoption has taken over, and replaces it by Argon2id at the first right password,
// whether or not the policy would take that one today. The password is hashed as it was
// typed, up to 1,024 bytes; of one that bcrypt was given the first 72 bytes count, as they
// did before, and all of it from then on. A hash that cannot be read, or costs more than
// Foreign says, opens nothing and is logged.
//
// Everybody pays the work of the dearest hash of each kind that is named: iterations add
// up, and so do the rounds of bcrypt. What time still tells are the microseconds of a call
// more, the hashes of Argon2id that are dearer or cheaper than today's, and who signs in
// rightly for the first time.
//
// # Keys of another system
//
// Keys.Import takes over a key by the hash that another system kept of it, and an
// Imported, last in the guard, verifies it: it is a key like any other, acts on its
// maker's rights, and its old text is one of its secrets, which ends when it is said to, or
// is rotated or revoked before. That hash has no pepper: what a copy of the database is
// worth to whoever has one depends on how much chance the old system's keys had.
package authn
