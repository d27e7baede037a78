package tenancy

import (
	"context"
	"net/http"
	"sync/atomic"
)

type recogniseKey struct{}

// Observe returns a context under which recognised reports whether a caller has
// been recognised since: an account was entered or an operator authorised. A
// limiter that stands before authentication uses it to count only strangers.
func Observe(ctx context.Context) (_ context.Context, recognised func() bool) {
	flag := new(atomic.Bool)
	return context.WithValue(ctx, recogniseKey{}, flag), flag.Load
}

func recognise(ctx context.Context) {
	if flag, ok := ctx.Value(recogniseKey{}).(*atomic.Bool); ok {
		flag.Store(true)
	}
}

// Authorizer is the host's check of who may use an operator's endpoint. It names
// the operator, for the audit log, or returns the refusal: authn.ErrNoCredential
// (401) for nobody, ErrForbidden (403) for somebody else.
type Authorizer func(r *http.Request) (Actor, error)

// Authorize runs the check on r and tells an observer that the caller is known.
func (check Authorizer) Authorize(r *http.Request) (Actor, error) {
	actor, err := check(r)
	if err != nil {
		return Actor{}, err
	}
	recognise(r.Context())
	return actor, nil
}
