// Package invitations brings people into an account by mail: somebody who manages
// its members names an address and roles, and whoever reads that mailbox comes in.
//
// # An invitation
//
// Invitations.Invite makes one and returns its token, which the host mails, or
// Handler does through Config.Notify. The token is 256 bits of chance and shown this
// once: the database keeps its SHA-256 hash. It is bound to the account, the address
// and the roles. An address has one open invitation to an account; of two made at
// once one is refused with ErrInvited. Resend gives it a new token and a new end, and
// stops every token before; Revoke ends it, and so do the removal of a member who has
// not used it, tenancy's ForgetObject, where it is to nothing else, and tenancy's
// RevokeSentBy. It expires by
// the clock, Config.Lifetime after it was sent, and no job has to run for that.
//
// # Who may invite
//
// Whoever tenancy's MayGrant lets give the roles: a member with members.manage who
// holds everything that they do, on the account and on the objects named; an operator
// or the system; never an API key. That is asked again when the invitation is
// accepted. Where the inviter was demoted or has left meanwhile the answer is ErrVoid,
// and another one who may sends it again, under their own name.
//
// # Coming in
//
// Somebody with a user accepts with Accept, signed in under the address invited.
// Somebody without gets a user by AcceptNew, in the same transaction. Either way the
// address is verified (tenancy.User.VerifiedAt), since the token came by mail.
// Therefore a token must reach nobody but that mailbox: neither a log, nor the inviter.
//
//	mux.Handle("/invitations", entered(inv.Handler(db)))  // a middleware that enters
//	mux.Handle("/invitations/", entered(inv.Handler(db))) // for tenancy.SignIn
//	mux.Handle("POST /invitations/peek", inv.Public(db, passwords.Person(db)))
//	mux.Handle("POST /invitations/accept", inv.Public(db, passwords.Person(db)))
//	mux.Handle("POST /invitations/sign-up", inv.SignUp(db, passwords.Prepare)) // authn's
//
// The account must be able to write, its seats are counted under its lock,
// and two at once make one member; a refusal other than tenancy.ErrMemberThere leaves
// the invitation open. A token that does not fit, for whatever reason, gets
// ErrNoInvitation and nothing more, and so does a user with another address.
//
// Nothing is accepted by GET: mail scanners follow links. The link in the mail leads to
// a page of the host's that shows what Peek says, best with the token behind a #, which
// browsers send to no server, and has a button that posts.
//
// # What is written
//
// Every verb but Purge writes to the audit log and the outbox, by ids alone; the
// address is in the invitation, and nowhere else, until Purge deletes what is over. The
// audit log names the inviter as the one who added the member, and the user as the one
// who accepted. An invitation that ends with its member's removal or with its object,
// or makes room for a new one when its time is over, has no line of its own.
//
// The tables are tenancy's: tenancy.Migrate makes them. All verbs join the caller's
// transaction as those of tenancy do, lock the account first, and their refusals
// leave it usable.
package invitations
