package tokens

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// claims are what a token of ours says.
type claims struct {
	jwt.RegisteredClaims
	Account tenancy.AccountID `json:"acct"`
	Actor   actor             `json:"act"`
	May     string            `json:"cap"`
	// User and Scope are a tenancy.Delegation; no Scope is none.
	User  tenancy.UserID `json:"user,omitempty"`
	Scope *string        `json:"scope,omitempty"`

	Env       string         `json:"env,omitempty"`
	Addresses []netip.Prefix `json:"addrs,omitempty"`
	Epochs    epochs         `json:"epochs"`
}

// actor is tenancy.Actor in the manner of RFC 8693, section 4.1.
type actor struct {
	Kind tenancy.ActorKind `json:"kind"`
	ID   string            `json:"sub"`
}

// mayCarry is what a token can be good for. To manage keys and people, and what is the
// owner's alone, needs the person.
const mayCarry = tenancy.Use | tenancy.Pay | tenancy.Export

// principal is whom the claims speak of. ok is false for what we do not write.
func (c *claims) principal() (who tenancy.Principal, ok bool) {
	may, ok := tenancy.ParseCapability(c.May)
	if !ok || may&^mayCarry != 0 || c.ExpiresAt == nil || c.Account == "" {
		return who, false
	}
	who = tenancy.Principal{
		Account: c.Account, Actor: tenancy.Actor{Kind: c.Actor.Kind, ID: c.Actor.ID}, May: may, Env: c.Env,
		Bounds: &tenancy.Bounds{ExpiresAt: c.ExpiresAt.UTC(), Addresses: c.Addresses},
	}
	switch who.Actor.Kind {
	case tenancy.ActorUser:
		ok = c.Scope != nil && string(c.User) == who.Actor.ID
	case tenancy.ActorKey:
		ok = c.Scope != nil || c.User == ""
	default:
		ok = false
	}
	if c.Scope != nil {
		who.Delegation = &tenancy.Delegation{User: c.User, Scopes: permissions(*c.Scope)}
	}
	return who, ok
}

// permissions reads a scope of RFC 6749, section 3.3.
func permissions(scope string) []tenancy.Permission {
	var p []tenancy.Permission
	for s := range strings.FieldsSeq(scope) {
		p = append(p, tenancy.Permission(s))
	}
	return p
}

// scope writes what permissions reads.
func scope(p []tenancy.Permission) string {
	words := make([]string, len(p))
	for i, s := range p {
		words[i] = string(s)
	}
	return strings.Join(words, " ")
}

// epochs are those of what a token depends on.
type epochs struct {
	Account int64 `json:"acct"`
	User    int64 `json:"user,omitempty"`
}

// epochs asks how often the account has changed, and the user, if it is one who acts: a
// key goes on when its maker signs out.
func (t *Tokens) epochs(ctx context.Context, db bun.IDB, account tenancy.AccountID, by tenancy.Actor) (e epochs, err error) {
	e.Account, err = t.accounts.Epoch(ctx, db, account.Subject())
	if err != nil || by.Kind != tenancy.ActorUser {
		return e, err
	}
	e.User, err = t.accounts.Epoch(ctx, db, tenancy.UserID(by.ID).Subject())
	return e, err
}

// errNotOurs is why a token is refused, for nobody to read.
var errNotOurs = errors.New("not a token of ours")

// read verifies the signature and the claims of a token that find has found the key of.
func (t *Tokens) read(value string, key any) (*claims, tenancy.Principal, error) {
	if !compact(value) {
		return nil, tenancy.Principal{}, errNotOurs
	}
	c := &claims{}
	_, err := t.parser.ParseWithClaims(value, c, func(*jwt.Token) (any, error) { return key, nil })
	if err != nil {
		return nil, tenancy.Principal{}, err
	}
	who, ok := c.principal()
	if !ok {
		return nil, tenancy.Principal{}, errNotOurs
	}
	return c, who, nil
}
