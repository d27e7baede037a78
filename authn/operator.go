package authn

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"

	"github.com/quitrent/quitrent/tenancy"
)

// minOperatorToken is the least length of an operator's token, in bytes.
const minOperatorToken = 32

// OperatorToken is the check of an operator's endpoint by one static bearer token,
// at least 32 random characters. id names the operator in the audit log. A request
// without a credential gets ErrNoCredential (401), one with any other, such as a
// customer's key, tenancy.ErrForbidden (403). The error says that the token is too
// short or that id is missing.
func OperatorToken(token, id string) (tenancy.Authorizer, error) {
	if len(token) < minOperatorToken {
		return nil, fmt.Errorf("authn: the operator's token has %d characters: %d random ones are the least", len(token), minOperatorToken)
	}
	if id == "" {
		return nil, errors.New("authn: the operator's id is missing: the audit log names it")
	}
	want := sha256.Sum256([]byte(token)) // of one length, so that comparing does not tell it
	return func(r *http.Request) (tenancy.Actor, error) {
		c, err := fromHeader(r.Header)
		if errors.Is(err, ErrNoCredential) {
			return tenancy.Actor{}, err
		}
		sum := sha256.Sum256([]byte(c.Value))
		if !hmac.Equal(sum[:], want[:]) || c.Scheme != schemeBearer || err != nil {
			return tenancy.Actor{}, tenancy.ErrForbidden
		}
		return tenancy.Actor{Kind: tenancy.ActorOperator, ID: id}, nil
	}, nil
}
