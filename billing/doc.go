// Package billing turns money into time and credits.
//
// # Subscriptions
//
// A subscription is what an account pays for, period by period. An account has one
// at a time, or none and stays as it is. The subscription's status drives the
// account's: active makes it active, past_due past due with Config.Grace, cancelled
// ends it. Periods are counted from an anchor in the account's time zone, so that
// one that began on the 31st ends on the last day of a short month and on the 31st
// again after it.
//
// # Bank transfers
//
// A customer asks for a plan and gets an amount, a bank account and a reference
// (RequestTransfer). When the money has come, an operator confirms the transfer by
// its reference (ConfirmTransfer): in one transaction the subscription starts or
// goes on, the account is active, and the plan's credits are granted: a month's at once,
// a year's month by month (see below). Confirming
// twice, from two windows, or again after a lost answer, grants once. RejectTransfer
// ends one without effect. Both leave a trail in tenancy's audit log: who, when, why.
//
// In a transaction of the host's all of it commits with the host's own rows, or not at
// all. The refusals are made before the first write and leave the transaction usable;
// any other error, and credits.ErrOverflow, means: roll back. Call these methods before
// those of credits in it: the account's row is locked first, its credits after it.
//
// An account whose trial is over may sign in and pay: give the handlers of this
// package tenancy.Pay, not the default.
//
// References are creditor references (ISO 11649): the check digits catch a typing
// error before it finds somebody else's transfer. They are random, so that they say
// nothing of whom they are for.
//
// # Credits month by month
//
// Give tenancy the hook Allotments, and a plan's credits come when they are due, by
// allotments of package credits and so without a job:
//
//		accounts := tenancy.New(tenancy.Config{
//			OnRegister: []tenancy.Hook{ledger.OnRegister},
//			OnChange:   []tenancy.ChangeHook{billing.Allotments(ledger)},
//		})
//
//	  - A month that is paid grants its credits when it is confirmed, also in advance. They
//	    never expire.
//	  - A year that is paid grants the months that have begun when it is confirmed, that is
//	    the first one, and none where it is paid in advance; each other one as it begins, on
//	    the anchor's day. They can be spent for ten years after their month. Of years paid in
//	    advance each grants what it was sold with.
//	  - A plan that costs nothing – it has a price, and none above zero – grants each month's
//	    credits as it begins, for as long as the account is active, on the day on which the
//	    account was registered. The first month is the seed of credits.Ledger.OnRegister.
//	    What is left of a month expires with it. Another such plan counts from the next
//	    month on, so that going to and fro gains nothing.
//
// An account that is not active is granted nothing. What began before it was suspended,
// cancelled, past due or closed it keeps; a month that begins and ends while it may not
// spend is never granted; and one that is under way when the account is active again is
// granted then. A month is granted once, however often the account goes to and fro.
//
// A payment for another plan, and the end of the subscription, end what was still to come
// of a year, also of one paid in advance, as they end its time.
//
// All this is worked out in the transaction that changes the account, in whatever process;
// so every process that changes accounts has the hook. Allot does the same for what no hook
// has seen: accounts that were adopted or are older than the hook. AllotAll does it for
// every account on a plan, after Ensure has changed the plan's credits, price or activity;
// it says where it stopped and who failed, and may be called again at any time.
//
// # Money
//
// Amounts are int64 in minor units of an ISO 4217 currency: 8900 is $89.00.
// FormatAmount writes them for people.
//
// # Lapsing
//
// An account that paid is open as far as it paid and Config.Grace beyond: tenancy's
// Check knows that from a timestamp, and waits for no job. Run, or LapseDue from a
// scheduler of the host's, then writes it down: the subscription is past due, or
// cancelled if it was to end with its period.
package billing
