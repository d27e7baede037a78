package authn

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/clientaddr"
	"github.com/quitrent/quitrent/tenancy"
)

// Credential is what a caller shows to be let in, whatever it came in by. The zero
// value is none. Formatting, logging and encoding/json leave the secret out.
type Credential struct {
	// Scheme is the kind, in lower case: "bearer" for a key or a token, "basic" for
	// an address and a password, "session" for a session's token.
	Scheme string `json:"-"`
	// Value is what an Authorization header has after the scheme (RFC 9110, section
	// 11.4).
	Value string `json:"-"`
	// Account is the one wanted; "" names none. A user of several names one. A key
	// has one account: with another one named here, a Guard refuses it.
	Account tenancy.AccountID
	// Addr is the network address of the client. Without one, a key that is bound to
	// addresses opens nothing.
	Addr netip.Addr
}

// The schemes that this package knows.
const (
	schemeBearer = "bearer"
	schemeBasic  = "basic"
	schemeCookie = "session" // of package sessions
)

// String names the scheme if it is one of this package's. Any other may be a key
// that was sent without a scheme.
func (c Credential) String() string {
	switch c.Scheme {
	case schemeBearer, schemeBasic, schemeCookie:
		return c.Scheme + " credential"
	}
	return "credential"
}

// Format implements fmt.Formatter: no verb shows the secret.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue implements slog.LogValuer.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Principal is whom a credential belongs to and which account it acts for. That
// account has not been validated yet: a Guard does it.
type Principal = tenancy.Principal

// Authenticator knows credentials of one kind.
type Authenticator interface {
	// Authenticate finds whose c is. It returns ErrNoCredential when c is none of
	// its kind, so that the next one is asked; any other error is the answer.
	Authenticate(ctx context.Context, db bun.IDB, c Credential) (Principal, error)
}

// Challenger is an Authenticator that tells clients how to use it: its line of
// WWW-Authenticate (RFC 9110, section 11.6.1) on a 401.
type Challenger interface{ Challenge() string }

// Reader is an Authenticator whose credential comes in elsewhere than in a header of
// its own: a session, in a cookie.
type Reader interface {
	// Read finds the credential in r, and nothing else: the database is asked by
	// Authenticate. It returns ErrNoCredential where there is none. Of r only Header
	// and RemoteAddr are certain to be there: what else it needs and misses is a no.
	Read(r *http.Request) (Credential, error)
}

// FromRequest reads the one credential of r: Authorization, or a key in X-API-Key,
// which counts as a bearer token. The account wanted is the one in X-Account-ID, the
// address that of the peer.
//
// It returns ErrNoCredential, ErrBadCredential for one without the form of RFC 9110
// and for two that differ, since it would be a matter of chance who the caller is,
// and tenancy.ErrInvalid for an X-Account-ID that is not one account's id.
func FromRequest(r *http.Request) (Credential, error) {
	c, err := fromHeader(r.Header)
	if err != nil {
		return Credential{}, err
	}
	c.Addr = clientaddr.Of(r, nil)
	if c.Account, err = wanted(r.Header); err != nil {
		return Credential{}, err
	}
	return c, nil
}

// wanted is the account that a request names.
func wanted(h http.Header) (tenancy.AccountID, error) {
	switch ids := h["X-Account-Id"]; {
	case len(ids) > 1:
		return "", fmt.Errorf("%w: X-Account-ID names one account", tenancy.ErrInvalid)
	case len(ids) == 1:
		return tenancy.ParseAccountID(ids[0])
	}
	return "", nil
}

// fromHeader is FromRequest without the account and the address.
func fromHeader(h http.Header) (c Credential, err error) {
	auth, key := h["Authorization"], h["X-Api-Key"] // in canonical form, which Values makes anew each time
	if len(auth) > 1 || len(key) > 1 {
		return Credential{}, ErrBadCredential
	}
	if len(auth) == 1 && auth[0] != "" {
		scheme, value, _ := strings.Cut(auth[0], " ")
		switch {
		case scheme == "Bearer": // as most write it
			scheme = schemeBearer
		case !token(scheme):
			return Credential{}, ErrBadCredential
		default:
			scheme = strings.ToLower(scheme)
		}
		c = Credential{Scheme: scheme, Value: strings.TrimLeft(value, " ")}
	}
	if len(key) == 1 && key[0] != "" {
		bearer := Credential{Scheme: schemeBearer, Value: key[0]}
		if c.Scheme != "" && c != bearer {
			return Credential{}, ErrBadCredential
		}
		c = bearer
	}
	if c.Scheme == "" {
		return Credential{}, ErrNoCredential
	}
	return c, nil
}

// token reports that s is a token of RFC 9110, section 5.6.2, as a scheme is.
// Nothing but ASCII: other letters have lower cases that spell a scheme.
func token(s string) bool { return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~"+alphabet) == "" }
