// Package tokens makes access tokens that last some minutes, and takes those of an
// identity provider: JSON Web Tokens (RFC 7519), signed, for a Guard of package authn.
//
// # What they are for
//
// A session or an API key opens an account for long, and so it stays where it is kept
// well. What calls often, or is trusted less, such as a page, a worker or another
// service, is given a token instead: for the same account, with less than its maker has,
// and soon over.
//
//	parents := authn.NewGuard(accounts, authn.GuardConfig{}, keys)
//	access, err := tokens.New(accounts, tokens.Config{
//		Issuer: "https://api.example.com", Audience: "https://api.example.com",
//		Keys: []tokens.Key{{ID: "2026-03", Private: private}},
//		From: parents,
//	})
//	guard := authn.NewGuard(accounts, authn.GuardConfig{}, keys, access)
//
//	mux.Handle("POST /token", access.Handler(db))
//	mux.Handle("GET /.well-known/jwks.json", access.JWKS())
//	mux.Handle("/v1/", guard.Middleware(db, tenancy.Use)(api))
//
// # What a token may do
//
// Never more than what it is made of. A token of a key is the key, as far as the token's
// scopes reach, and what it does is the key's doing; a token of a session is the user, as
// far as they reach. A demotion of the user shrinks both. Its capabilities are some of
// Use, Pay and Export: not SignIn and not MintKeys, so that with a token nobody puts
// people out, hands the account on or makes a key that outlasts it. It ends before the
// credential ends, and works from no address that the credential does not work from. No
// token is made of a token, and none of a password.
//
// # When it ends early
//
// A token names the epochs of its account and of its user, which count what was taken
// from either: a key revoked, a member demoted, a password reset, a session closed, a
// suspension (see tenancy.Accounts.Changed). It is refused as soon as one of them is
// another, at once in the process that makes the change and within
// tenancy.Config.RevocationBound in each other one. That is coarse on purpose: one
// revoked key ends all tokens of its account, and each client asks for a new one, which
// it gets if its own credential is still good.
//
// The account itself is validated with each request, as for every other credential.
//
// # What it looks like
//
// The header is {"alg":"EdDSA","kid":…,"typ":"at+jwt"}, byte for byte. The claims are
//
//	iss, aud, iat, nbf, exp, jti    those of RFC 7519, section 4.1
//	sub      the user on whose rights the token acts, or else the key
//	act      {"kind": "user" or "key", "sub": its id}: who acts
//	acct     the account
//	cap      the capabilities: "read+write+spend"
//	user     the user on whose rights the token acts, if there is one
//	scope    the permissions, with spaces between; "*" is all that the user has
//	env      the environment of the key
//	addrs    the networks it may be used from
//	epochs   {"acct": …, "user": …}
//
// A token is no secret of the program but of its holder: send it over TLS alone, and
// write it into no log. Tokens, private keys and credentials show in no error or log of
// this package, and not in its types when they are formatted.
//
// # Tokens of an identity provider
//
// External takes the tokens of Keycloak, Auth0, Zitadel and others that publish their
// keys as a JWK Set. It believes a token when the signature, the issuer, the audience
// and the time are right; whom it is for, ExternalConfig.Map says, such as
// VerifiedEmail, which takes users whose address is verified here too. The provider is
// asked for its keys when a token comes in and they are older than ExternalConfig.MaxAge, or the token names one that is not among them: 5
// times in a row at most and then every 30 seconds, whatever comes in. While the
// provider does not answer, the keys go on counting for ExternalConfig.Outage; after
// that, and for keys not seen before, the answer is 503 and not 401, which would tell
// clients to throw away what is good.
//
// A provider's scopes are not looked at: they are its own words. A Map that knows them
// puts them into Principal.Delegation.
//
// One Guard takes both, and keys beside them: each authenticator knows its own.
package tokens
