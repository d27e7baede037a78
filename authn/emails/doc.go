// Package emails finds out by mail that an address is its user's own, and gives a user
// who has forgotten the password a new one.
//
// # A token
//
// A token is 256 bits of chance, sent to the user's address and shown this once: the
// database keeps its SHA-256 hash. It is for one user, one address and one of two
// things, a verification (Config.VerificationLifetime) or a reset
// (Config.ResetLifetime), works once, also where two try at once, and expires by the
// clock. A new one ends the one before; another address ends it, and a new password
// ends those for a reset. Whatever is wrong with a token, the answer is ErrNoToken.
//
//	mails := emails.New(accounts, passwords, emails.Config{
//		Notify:     sendMail, // the host's: the text, the link, the mail server
//		Keys:       keys,
//		AfterReset: []emails.Hook{people.AfterReset}, // of package sessions
//	})
//	mux.Handle("POST /emails/", mails.Handler(db, people.Person(db)))
//
// The link in the mail leads to a page of the host's that shows what Peek says, best
// with the token behind a #, which browsers send to no server, and has a button that
// posts. Nothing is done by GET: mail scanners follow links.
//
// # Verification
//
// Who is signed in asks for a mail, and shows the token signed in: whoever gets one
// because a stranger signed up with their address would else hand it to the stranger
// with a click. tenancy.User.VerifiedAt says since when an address is verified. An
// invitation that is accepted verifies it too, and so does a reset. Require is for
// routes that want it, tenancy's RequireVerified for everything else.
//
// To send the first mail after a sign-up, take the event, in the Config of accounts,
// which are made before mails are:
//
//	var mails *emails.Emails
//	…
//	Deliver: func(ctx context.Context, e tenancy.Event) error {
//		if who, err := tenancy.Decode[tenancy.AccountRegistered](e); err == nil {
//			err = mails.SendVerification(ctx, db, emails.SendVerification{User: who.User})
//			if !errors.Is(err, emails.ErrVerified) && !errors.Is(err, emails.ErrTooMany) {
//				return err // it is delivered again
//			}
//		}
//		return nil
//	}
//
// # Reset
//
// Anybody may ask for a reset, and learns nothing: the answer is given before the
// address is looked up. The mail goes out behind it, Config.Parallel at once; a program
// that ends waits for them with Wait, and a mail that is lost, or dropped because too
// many wait, is asked for again. A
// user gets Config.MostPerHour mails of a kind in an hour; the last of them works for as
// long as its lifetime says, so that nobody can keep the owner of an address out by
// asking in their name.
//
// Reset checks the password before it uses the token, so that one that is refused can
// be followed by a better one. Everything else is one transaction: the hash, the
// address verified, Config.AfterReset, and tenancy's Changed for the user.
//
// # Somebody else's address
//
// Anybody can sign up with an address that is not theirs, and be there first: their
// password, their sessions and their API keys are then the user's. A reset that shows
// for the first time who reads that mailbox ends them: the password is another one,
// Config.AfterReset ends the sessions, the keys that the user made or took over are
// revoked in all accounts (Config.Keys), and the invitations and offers of an ownership
// that the user sent and nobody has taken up are taken back. Config.FirstProof is for
// the rest, and for what only the host knows of. The accounts themselves stay, and so do
// their other members, those too whom the stranger let in, with keys of their own: they
// are for a FirstProof to remove, or for the owner to look at.
//
// After a verification nothing of the kind happens, since that takes the password too,
// and the stranger has no mail. It holds as long as nothing else signs in a user whose
// address is not verified: somebody whom an identity provider lets in for the address
// would be in the stranger's user, and would confirm it, password and keys and all, by
// following the link. So tokens.VerifiedEmail refuses that user with
// tenancy.ErrUnverified; a host that finds users by addresses in ways of its own does
// too. Who is refused so comes in by a reset.
//
// # What is written
//
// A verification and a reset are lines of the installation's audit log
// ("tenancy.verify_email", "authn.reset_password"), by ids alone: a user belongs to no
// one account. A request for a mail writes none.
//
// The table is authn's: authn.Migrate makes it. It has a row for each user and kind,
// which is erased with the person.
package emails
