// Package sessions keeps people signed in: a cookie in the browser, a row in the
// database, and an end to each.
//
//	people, err := sessions.New(accounts, sessions.Config{})
//	guard := authn.NewGuard(accounts, authn.GuardConfig{}, keys, people)
//
//	for _, path := range []string{"/session", "/session/", "/sessions", "/sessions/"} {
//		mux.Handle(path, people.Handler(db, passwords))
//	}
//	mux.Handle("/accounts", accounts.Person(db, people.Person(db)))
//	mux.Handle("/v1/", guard.Middleware(db, tenancy.Use)(api))
//	mux.Handle("/billing/", guard.Middleware(db, tenancy.SignIn|tenancy.Pay)(billing))
//	go people.Run(ctx, db)
//
// # What a session opens
//
// A session says who somebody is and nothing more: the account is entered through
// tenancy like that of a key, for what the route names, so that a person whose trial is
// over signs in and pays. The account is the one that the request names in
// X-Account-ID, else the one that the session acts for, else the only one that the
// person belongs to; that the person belongs to it is asked with every request, and
// what its roles hold with every permission. So a member who is removed or demoted needs
// no sign-out: the next request is refused (404, 403). Somebody who belongs to several
// accounts and has chosen none gets tenancy.ErrWhichAccount (409), and chooses by PUT
// /session/account.
//
// # How long
//
// A session ends when it was not used for Config.Idle (24 hours), and Config.Lifetime
// (30 days) after it began, which no use puts off. Its use is noted once a minute, so
// that a session may end up to a minute early and most requests write nothing. It ends
// at once when it is revoked: by its person, one by one (Revoke, End) or all others
// (RevokeOthers), and by an operator (RevokeAll). Each of these is written to the
// installation's audit log, with ids alone, and recorded by tenancy.Accounts.Changed for
// the user, in one transaction, which may be the host's. While Run
// of accounts runs, sessions are remembered like keys: a revocation counts at once in the
// process that makes it, and within tenancy's Config.RevocationBound in every other.
//
// In a host's transaction these come after whatever locks accounts, as all that is a
// user's does.
//
// # A new token
//
// Signing in makes a new session with a new token, whatever cookie the browser had; the
// session of that one is ended. Whatever makes a session worth more gives it a new token
// too, and the old one opens nothing from then on: SwitchAccount does, and PUT
// /session/password of Handler, which signs the other devices out with the same stroke.
// Rotate is for the host that asks for a password in pages of its own:
//
//	c, err := people.Read(r)
//	token := sessions.Token(c.Value)
//	user, err := passwords.Change(ctx, db, authn.ChangePassword{User: me.User, Current: old, Password: new, Addr: addr,
//		Then: func(ctx context.Context, db bun.IDB, user tenancy.User) (err error) {
//			if issued, err = people.Rotate(ctx, db, sessions.Rotate{Token: token}); err == nil {
//				_, err = people.RevokeOthers(ctx, db, sessions.RevokeOthers{User: user.ID, Keep: me.ID, Actor: actor})
//			}
//			return err
//		},
//	})
//	people.SetCookie(w, r, issued)
//
// A role that somebody else gives or takes needs none: roles are in no session. A
// password that is reset by mail ends all sessions: AfterReset is for the hook of that.
//
// # The cookie
//
// It is named __Host-session: browsers take a cookie of that prefix from this very host
// over TLS alone, so that no sibling host can plant one. It is HttpOnly, Secure,
// SameSite=Lax and for Path=/, and none of that can be turned off. Without TLS, on the
// developer's own machine, Config.PlainHTTPOnLoopback has requests from it to it served
// a cookie "session" without Secure. Two cookies of the name are refused.
//
// The token is 256 random bits. It is a credential of a scheme of its own: as a bearer
// or as an API key it opens nothing, and a key in the cookie opens nothing. A program
// that is no browser may send it as "Authorization: Session <token>"; over another
// transport it is authn.Credential{Scheme: sessions.Scheme, Value: string(token)}.
//
// # Pages of other sites
//
// A browser sends the cookie along with what another page makes it send. Read refuses
// that with ErrCrossOrigin, by http.CrossOriginProtection of the standard library: every
// method but GET, HEAD and OPTIONS from another origin, a sibling host's and another
// port's too, unless it is among Config.TrustedOrigins; and the handshake of a
// WebSocket, which is a GET. So a handler of the host must change nothing on a GET. What
// comes with a header of its own, a key or a token, is not asked where it comes from: no
// page can set one for a stranger.
//
// # What is stored
//
// Of a token, SHA-256. Of the person, the network address and the User-Agent that the
// session began with, cleaned and cut to 256 bytes: personal data, by which people tell
// their sessions apart; an account's export leaves them out. What is over is deleted
// Config.Keep (7 days) later, while Run runs; an erasure of the person (package retention) deletes the rest. The serving role
// needs DELETE on authn_sessions for Run. The table is one of package authn, whose
// Migrate makes it.
//
// How often a password is tried is not bounded here: SignIn and Change of
// authn.Passwords, and a limiter in front, do that.
package sessions
