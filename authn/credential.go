package authn

import (
	"context"
	"net/http"
	"strings"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Principal is whom a credential belongs to and which account it acts for. That
// account has not been validated yet: tenancy.Enter does it.
type Principal struct {
	Account tenancy.AccountID
	Actor   tenancy.Actor
}

// Authenticator finds a credential of its kind on a request and whose it is.
type Authenticator interface {
	// Authenticate returns ErrNoCredential when the request carries none of its
	// kind, so that the next one is asked; any other error is the answer.
	Authenticate(ctx context.Context, db bun.IDB, r *http.Request) (Principal, error)
}

// Challenger is an Authenticator that tells clients how to use it: its line of
// WWW-Authenticate (RFC 9110, section 11.6.1) on a 401.
type Challenger interface{ Challenge() string }

// The schemes of the Authorization header that this package knows.
const (
	schemeBearer = "bearer"
	schemeBasic  = "basic"
)

// credential is the one credential in the header of r: the scheme in lower case
// and what follows it. A key in X-API-Key counts as a bearer token. Two that differ
// are refused, since it would be a matter of chance who the caller is.
func credential(r *http.Request) (scheme, value string, err error) {
	auth, key := r.Header.Values("Authorization"), r.Header.Values("X-API-Key")
	if len(auth) > 1 || len(key) > 1 {
		return "", "", ErrBadCredential
	}
	if len(auth) == 1 && auth[0] != "" {
		scheme, value, _ = strings.Cut(auth[0], " ")
		scheme, value = strings.ToLower(scheme), strings.TrimLeft(value, " ")
	}
	if len(key) == 1 && key[0] != "" {
		if scheme == "" {
			return schemeBearer, key[0], nil
		}
		if scheme != schemeBearer || value != key[0] {
			return "", "", ErrBadCredential
		}
	}
	if scheme == "" {
		return "", "", ErrNoCredential
	}
	return scheme, value, nil
}
