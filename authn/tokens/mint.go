package tokens

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Mint makes a token.
type Mint struct {
	// Credential is what it is made of: one that Config.From knows, but no password
	// and no token. It names the account if its user has several.
	Credential authn.Credential
	// May is what the token is good for: some of Use, Pay and Export, as far as the
	// credential and the account reach. Default: tenancy.Use.
	May tenancy.Capability
	// Scopes are the permissions that the token may use, some of the credential's.
	// Default: all of those.
	Scopes []tenancy.Permission
	// Lifetime, in whole seconds, is how long it lasts. Default: Config.Lifetime, which
	// is also the longest. It never outlives what it is made of.
	Lifetime time.Duration
}

// Minted is a new token. Formatting, logging and encoding/json leave its text out.
type Minted struct {
	// ID is its jti, and no secret.
	ID    string
	Token string `json:"-"`
	// Scopes are its permissions; nil: its actor holds none.
	Scopes    []tenancy.Permission
	ExpiresAt time.Time
}

// String names the token.
func (m Minted) String() string { return "access token " + m.ID }

// Format implements fmt.Formatter: no verb shows the token.
func (m Minted) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, m.String()) }

// LogValue implements slog.LogValuer.
func (m Minted) LogValue() slog.Value { return slog.StringValue(m.String()) }

// Mint makes a token of a credential. It reads the database and writes nothing that a
// check of the credential does not.
//
// The credential is checked a second time, once it is known which changes the token
// depends on: one that is revoked meanwhile makes no token that outlives it.
//
// It returns what authn.Guard.Check returns for the credential, tenancy.ErrForbidden for
// a token, for whoever is neither a user nor a key, and for what the credential does not
// have itself, and tenancy.ErrInvalid for what no token can have.
func (t *Tokens) Mint(ctx context.Context, db bun.IDB, m Mint) (Minted, error) {
	if t.ring.sign == nil {
		return Minted{}, errors.New("tokens: this process makes no tokens: Config.From is nil")
	}
	if err := m.check(t.cfg.Lifetime); err != nil {
		return Minted{}, err
	}
	if _, own := t.ring.find(m.Credential.Value); own {
		return Minted{}, fmt.Errorf("%w: no token is made of a token", tenancy.ErrForbidden)
	}
	if m.Credential.Scheme == "basic" { // no transaction waits for the hash of a password
		return Minted{}, fmt.Errorf("%w: sign in first, and ask for the token then", authn.ErrBadCredential)
	}
	if m.May == 0 {
		m.May = tenancy.Use
	}
	first, err := t.cfg.From.Check(ctx, db, m.Credential, m.May)
	if err != nil {
		return Minted{}, err
	}
	var (
		s  tenancy.Scope
		at epochs
	)
	err = tx.Join(ctx, db, func(db bun.IDB) (err error) { // where nothing is answered from memory
		if at, err = t.epochs(ctx, db, first.Account, first.Actor); err != nil {
			return err
		}
		s, err = t.cfg.From.Check(ctx, db, m.Credential, m.May)
		return err
	})
	if err == nil && (s.Account != first.Account || s.Actor != first.Actor || userOf(s) != userOf(first)) {
		err = authn.ErrBadCredential
	}
	if err != nil {
		return Minted{}, err
	}
	return t.mint(m, s, at)
}

// check refuses what no token can have.
func (m Mint) check(longest time.Duration) error {
	if m.May&^mayCarry != 0 {
		return fmt.Errorf("%w: a token is good for %v, no more", tenancy.ErrInvalid, mayCarry)
	}
	if m.Lifetime != 0 && (m.Lifetime < time.Second || m.Lifetime > longest) {
		return fmt.Errorf("%w: a token lasts 1 to %d seconds", tenancy.ErrInvalid, longest/time.Second)
	}
	for _, p := range m.Scopes {
		if _, err := tenancy.ParseAccountID(string(p)); err != nil && p != tenancy.AllScopes {
			return fmt.Errorf("%w: a scope is the name of a permission, or %s", tenancy.ErrInvalid, tenancy.AllScopes)
		}
	}
	return nil
}

// userOf is on whose rights the scope acts. "": on no user's.
func userOf(s tenancy.Scope) tenancy.UserID {
	switch {
	case s.Delegation != nil:
		return s.Delegation.User
	case s.Actor.Kind == tenancy.ActorUser:
		return tenancy.UserID(s.Actor.ID)
	}
	return ""
}

func (t *Tokens) mint(m Mint, s tenancy.Scope, at epochs) (Minted, error) {
	scopes, err := narrow(s, m.Scopes)
	if err != nil {
		return Minted{}, err
	}
	now := t.now().Truncate(time.Second) // as a token writes it
	lifetime := m.Lifetime
	if lifetime == 0 {
		lifetime = t.cfg.Lifetime
	}
	end := now.Add(lifetime.Truncate(time.Second))
	var bounds tenancy.Bounds
	if s.Bounds != nil {
		bounds = *s.Bounds
	}
	if own := bounds.ExpiresAt.UTC().Truncate(time.Second); !own.IsZero() && own.Before(end) {
		end = own
	}
	if !end.After(now) {
		return Minted{}, fmt.Errorf("%w: it is about to expire", authn.ErrBadCredential)
	}
	c := &claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: t.cfg.Issuer, Audience: jwt.ClaimStrings{t.cfg.Audience}, Subject: s.Actor.ID, ID: id.New("tok"),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(end),
		},
		Account: s.Account, Actor: actor{Kind: s.Actor.Kind, ID: s.Actor.ID}, May: m.May.String(), User: userOf(s),
		Env: s.Env, Addresses: bounds.Addresses, Epochs: at,
	}
	if c.User != "" {
		c.Subject = string(c.User)
	}
	if scopes != nil {
		text := scope(scopes)
		c.Scope = &text
	}
	if _, ok := c.principal(); !ok {
		return Minted{}, fmt.Errorf("%w: tokens are for users and keys", tenancy.ErrForbidden)
	}
	text, err := t.ring.sign(c)
	if err != nil {
		return Minted{}, err
	}
	if len(text) > MaxToken {
		return Minted{}, fmt.Errorf("%w: a token with so many scopes is too long", tenancy.ErrInvalid)
	}
	return Minted{ID: c.ID, Token: text, Scopes: scopes, ExpiresAt: end}, nil
}

// narrow is what a token holds that is made in s and wants these scopes: nil where s
// holds no permission by itself.
func narrow(s tenancy.Scope, wanted []tenancy.Permission) ([]tenancy.Permission, error) {
	var own []tenancy.Permission
	switch {
	case s.Delegation != nil:
		own = append([]tenancy.Permission{}, s.Delegation.Scopes...)
	case s.Actor.Kind == tenancy.ActorUser:
		own = []tenancy.Permission{tenancy.AllScopes}
	}
	if len(wanted) == 0 {
		return own, nil
	}
	for _, p := range wanted {
		if !slices.Contains(own, p) && !slices.Contains(own, tenancy.AllScopes) {
			return nil, fmt.Errorf("%w: the credential does not have the scope %s", tenancy.ErrForbidden, p)
		}
	}
	return slices.Clone(wanted), nil
}
