// Package tenancy says for which account a request is made, and whether that
// account may do this now.
//
// # Accounts, users, members
//
// An account is one customer: the unit that is limited, billed and kept apart. A
// user is a person, found by e-mail address; a member is a user's place in an
// account, with one or more roles. Accounts.Register makes an account with its
// owner in one transaction, and runs Config.OnRegister in it: a ledger seeds its
// credits there, so that no account is ever born without.
//
// # The one validation
//
// Check is the only place that decides what an account may do. It is pure: status
// and timestamps in, nil or a refusal out, right at every instant without a job
// that keeps it so. Whatever is not known is refused.
//
// # The one way in
//
// Accounts.Enter loads an account, runs Check and returns a context that From
// reads. Nothing else puts an account into a context, so no handler, job or queue
// worker ever sees one that was not validated:
//
//	actor := tenancy.Actor{Kind: tenancy.ActorSystem, ID: "mailer"}
//	ctx, err := accounts.Enter(ctx, db, job.Account, actor, tenancy.Write)
//	if err != nil {
//		return err // ErrSuspended, ErrTrialOver, …: the job has no business now
//	}
//
// Over HTTP the middleware of package authn does it for a credential, and
// Accounts.Middleware for hosts that authenticate by other means. A host that keeps
// accounts in its own tables brings a Config.Loader.
//
// # People and rights
//
// A user belongs to any number of accounts, or to none. AccountOf says which one a
// request acts for: the only one, or the one that is named; AccountsOf lists them to
// choose from. Roles hold permissions, on the account or on one object of it such as
// a site, and Config.Roles adds the host's own of both. Can is the one question, read
// anew each time, so that a demotion counts at once; Require asks it for a route, and
// Visible is the same answer as a condition on a list:
//
//	err := accounts.Can(ctx, db, "sites.publish", tenancy.Object{Kind: "site", ID: id})
//
// Nobody gives or takes away more than they hold, and rights are read under the
// account's lock. An account has one owner, who hands it on by OfferOwnership and the
// other's AcceptOwnership. Package invitations brings people in by mail.
//
// # Plans, limits and flags
//
// Accounts.Ensure makes the catalogue say what the program says, as often as it is
// called. Plans are read on every Enter, so a change counts at once. The plan that
// Enter returns has the account's Overrides in it; Plan.Limit and Plan.Has read it.
// Admit, called in the transaction that inserts, keeps a limit when two try at once.
//
// # The life of an account
//
// Change, Suspend, Resume, Close, Restore and MarkErased go through one function that
// knows the legal moves, lock the account's row, and append to the audit log and to
// the outbox in the same transaction. A closed account is gone for Enter at once and
// can be restored until Account.PurgeAt; package retention exports and erases.
//
// # Data
//
// Package owned keeps the host's own rows of one account apart from every other's,
// and tenancytest.Run proves it. System makes a context for work across accounts; in it
// List goes through them by plan and status.
//
// # Events and audit
//
// Publish appends a typed Fact to the account's outbox in the caller's transaction;
// Run hands it to Config.Deliver at least once, if that commits. Record appends to
// the audit log. Hosts may use both for facts of their own.
//
// A fact that follows from another of the same account is delivered after it: its
// transaction saw the other's, as that of Resume saw that of Suspend, on whatever
// machine each of them ran. Facts of transactions that ran at the same time come in
// either order, and nobody waits for anybody: one whose transaction commits late is
// delivered late, after facts that are younger than it, and is never lost. There is
// no order between accounts.
//
// A row of either log is never changed, and none of the audit log is deleted. On
// SQLite triggers refuse it; on PostgreSQL the database does where the application
// connects as the serving role that the README makes. An event may be deleted by
// whoever erases an account, the owner of the tables, and is then not delivered.
// Package seals makes it evident where that owner rewrites the audit log.
//
// # Transactions
//
// Every method takes a bun.IDB. Given a bun.Tx, or another tool's transaction
// through WrapTx, it joins it and its owner commits; given a *bun.DB or a bun.Conn
// it opens its own. The refusals of this package leave a joined transaction usable;
// any other error means: roll back.
package tenancy
