package tenancy

import (
	"net/http"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/internal/tx"
)

// The refusals of Check and Enter. Over HTTP they answer with the status named,
// as problem details (RFC 9457).
var (
	// 402: paying fixes it.
	ErrTrialOver      = problem.New(http.StatusPaymentRequired, "trial_over", "the trial is over: choose a plan and pay to go on")
	ErrPastDue        = problem.New(http.StatusPaymentRequired, "past_due", "a payment is overdue: pay to go on")
	ErrPaymentPending = problem.New(http.StatusPaymentRequired, "payment_pending", "the account waits for its first payment")

	// 403: neither paying nor waiting fixes it.
	ErrPlanInactive  = problem.New(http.StatusForbidden, "plan_inactive", "the account's plan is no longer offered: choose another one")
	ErrSuspended     = problem.New(http.StatusForbidden, "account_suspended", "the account is suspended: ask support")
	ErrCancelled     = problem.New(http.StatusForbidden, "account_cancelled", "the account is cancelled: subscribe again to go on")
	ErrUnknownStatus = problem.New(http.StatusForbidden, "account_status_unknown", "the account has a status that nothing is known of: ask support")
	ErrForbidden     = problem.New(http.StatusForbidden, "forbidden", "this credential may not do that")

	// 404: also for what belongs to another account.
	ErrNoAccount = problem.New(http.StatusNotFound, "no_account", "there is no such account")
)

// What changing accounts, plans and people can answer.
var (
	ErrInvalid      = problem.New(http.StatusUnprocessableEntity, "invalid", "the input is not valid")
	ErrRefused      = problem.New(http.StatusForbidden, "registration_refused", "this sign-up is not accepted") // for Config.BeforeRegister
	ErrEmailTaken   = problem.New(http.StatusConflict, "email_taken", "a user with this e-mail address exists: sign in instead")
	ErrNoUser       = problem.New(http.StatusNotFound, "no_user", "there is no such user")
	ErrNoPlan       = problem.New(http.StatusUnprocessableEntity, "no_plan", "there is no such plan")
	ErrTransition   = problem.New(http.StatusConflict, "illegal_transition", "the account cannot go from its status to that one")
	ErrMemberThere  = problem.New(http.StatusConflict, "member_exists", "the user is a member of the account already")
	ErrLimit        = problem.New(http.StatusPaymentRequired, "plan_limit", "the plan allows no more of these: choose a larger plan")
	ErrWhichAccount = problem.New(http.StatusConflict, "which_account", "the user belongs to several accounts: say which one")
	ErrLastOwner    = problem.New(http.StatusConflict, "last_owner", "an account has one owner: transfer the ownership first")
	ErrNoOffer      = problem.New(http.StatusNotFound, "no_offer", "there is no open offer of this account's ownership: ask for a new one")
	ErrUnverified   = problem.New(http.StatusForbidden, "email_unverified", "the e-mail address is not verified: ask for a mail and follow the link in it")
)

// ErrOutcomeUnknown says that COMMIT failed in a way that leaves open whether the
// change took effect. Ask again with the same key.
var ErrOutcomeUnknown = tx.ErrOutcomeUnknown

// Refuse answers r with err as problem details (RFC 9457): a refusal of this library
// with its own status and code, anything else as 503 with the cause in the log and
// not in the answer. It is what Config.OnError is by default, and what a host's own
// handlers call with the errors they get.
func Refuse(w http.ResponseWriter, r *http.Request, err error) { problem.Write(w, r, err) }
