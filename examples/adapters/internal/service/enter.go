package service

import (
	"context"
	"net/http"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/throttle"
)

// strangers is the pace of one address that shows no credential or a wrong one.
var strangers = throttle.Limit{Rate: 1, Burst: 20}

// Enter is the whole way in for a call that does not come through net/http: the pace
// of strangers, whose the credential is, whether that account may do this now, its own
// pace. h holds what the caller sent as headers or metadata, under names in canonical
// form and in memory of its own; peer is the other end's address and port.
//
// Behind net/http the same is Limiter.ByAddress, Guard.Middleware and
// Limiter.Middleware. ByAddress also bounds what one address tries at the same moment,
// and the calls of an account that is refused.
func (s *Service) Enter(ctx context.Context, h http.Header, peer string) (context.Context, error) {
	r := &http.Request{Header: h, RemoteAddr: peer}
	from := subscriber(r)
	if d := s.Limiter.Take(from, strangers, 0); !d.Allowed {
		return nil, &throttle.LimitedError{Policy: "address", Decision: d}
	}
	c, err := s.Guard.FromRequest(r)
	if err == nil {
		ctx, err = s.Guard.Enter(ctx, s.DB, c, tenancy.Use)
	}
	if err != nil {
		if tenancy.ProblemOf(err).Status == http.StatusUnauthorized {
			s.Limiter.Take(from, strangers, 1) // only now: whoever is known costs the address nothing
		}
		return nil, err
	}
	if d := s.Limiter.TakeAccount(tenancy.From(ctx), 1); !d.Allowed {
		return nil, &throttle.LimitedError{Policy: "account", Decision: d}
	}
	return ctx, nil
}

// subscriber is where r comes from as a key of the Limiter. IPv6 counts by /64, the
// least that one subscriber has.
func subscriber(r *http.Request) string {
	addr := throttle.ClientAddr(r, nil)
	if net, err := addr.Prefix(64); err == nil && addr.Is6() {
		return net.String()
	}
	return addr.String()
}
