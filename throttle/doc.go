// Package throttle says how fast an account may go, and how fast a stranger may.
//
// Every key has a token bucket: it holds Limit.Burst tokens at first, gets
// Limit.Rate more a second up to that many, and a call takes some. There are no
// windows, so nobody gets twice the limit around a window's edge.
//
// # In front of a handler
//
// Two middlewares stand around authentication, each with its own buckets:
//
//	ByAddress → authentication → Middleware → handler
//
// ByAddress limits what comes from one network address and cannot be told from an
// attack: requests without a credential, and requests whose credential was not
// recognised. A request that enters an account costs its address nothing, so an
// office behind one address is not held back by its size, as long as no more than
// five bursts of Config.Address are at the same moment on their way to being
// recognised.
//
// Middleware limits the account that the context has entered, by the rate and the
// burst of its plan. There is no way around it: users, API keys, operators and
// jobs that come through it all take from the account's one bucket.
//
// Both answer 429 (RFC 6585) with Retry-After and a problem of the code
// "rate_limited", and describe their limit in the fields RateLimit-Policy and
// RateLimit (draft-ietf-httpapi-ratelimit-headers-11):
//
//	RateLimit-Policy: "account";q=50;w=5
//	RateLimit: "account";r=49;t=1
//
// q is the burst and w the seconds in which an empty bucket fills; r is what is
// left and t the seconds until there is more. Times are rounded up.
//
// # Without HTTP
//
// Take is the same decision for any key and any cost, TakeAccount for an account;
// with n = 0 they look and spend nothing.
//
// # Plans
//
// A plan with a Rate of 0 has Config.Default. So has a limit that is not one: a
// Rate that is negative, infinite or not a number, or a Burst below 1. Such a
// mistake neither frees an account of its limit nor locks it out.
//
// When a plan changes, the next call applies the new limit to the tokens that are
// left, at most the new burst. A bucket that was full is full under the new limit
// too. A key has one limit at a time: who asks for the same key with a small and
// a large limit in turn gets neither.
//
// # Memory
//
// Accounts, addresses, the keys of Take, and the credentials and the accounts that
// are refused have tables of their own, each of at most Config.MaxKeys buckets of
// roughly 250 bytes. A full bucket is the same as none, so those of idle keys are
// dropped, a few whenever a new key comes; there is no goroutine. Only when a table
// is at its bound and the few looked at are all in use does the one that would be
// full soonest go: its key starts full again, which gives it back the least.
// Requests from any number of addresses so push out other addresses at worst, and
// never an account's bucket. A look at a key without a bucket makes none.
//
// Buckets are in memory and belong to one process: an account gets its limit from
// each instance of the service, and a full bucket after a restart.
package throttle
