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
//	mux.Handle("/keys/{id}", passwords.Middleware(db, tenancy.SignIn)(keys.Handler(db)))
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
// ErrOrphaned, until somebody takes them over. A key without scopes can do what asks for
// a capability alone. Keys that an operator or a job makes act on nobody's rights and
// hold their scopes.
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
// Nobody rotates a key that reaches further than their own rights. The plan limit
// LimitKeyDays, or an account's own, says how old a secret may be.
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
// SignIn does the same work and says the same words whether the address is
// unknown, the user has no password, or the password is wrong. A sign-up says that
// an address is taken, since somebody who forgot an account must learn it.
// Limiting how often either is tried is for package throttle, in front.
package authn
