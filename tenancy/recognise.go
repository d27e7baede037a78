package tenancy

import (
	"context"
	"net/http"
	"sync/atomic"
)

type observerKey struct{}

// observer is told once of a recognised caller, and so is the one around it.
type observer struct {
	seen   atomic.Bool
	tell   func(account AccountID, admitted bool)
	around *observer
}

// Observe returns a context under which recognised is called, once, when a caller is
// recognised: an operator is authorised, who has no account and is admitted, or Enter
// is called for an account that exists, whether or not it is admitted. A limiter that
// stands before authentication uses it to count only strangers: a customer whose
// trial is over, and whose programs go on calling, can still sign in and pay.
func Observe(ctx context.Context, recognised func(account AccountID, admitted bool)) context.Context {
	around, _ := ctx.Value(observerKey{}).(*observer)
	return context.WithValue(ctx, observerKey{}, &observer{tell: recognised, around: around})
}

func recognise(ctx context.Context, account AccountID, admitted bool) {
	o, _ := ctx.Value(observerKey{}).(*observer)
	for ; o != nil; o = o.around {
		if !o.seen.Swap(true) {
			o.tell(account, admitted)
		}
	}
}

// Authorizer is the host's check of who may use an operator's endpoint. It names
// the operator, for the audit log, or returns the refusal: authn.ErrNoCredential
// (401) for nobody, ErrForbidden (403) for somebody else. An operator without a
// name is refused with ErrForbidden.
type Authorizer func(r *http.Request) (Actor, error)

// Authorize runs the check on r and tells an observer that the caller is known.
func (check Authorizer) Authorize(r *http.Request) (Actor, error) {
	actor, err := check(r)
	if err != nil {
		return Actor{}, err
	}
	if actor.validate() != nil {
		return Actor{}, ErrForbidden
	}
	recognise(r.Context(), "", true)
	return actor, nil
}
