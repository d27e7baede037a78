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
// goes on, the account is active, and the plan's credits are granted. Confirming
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
