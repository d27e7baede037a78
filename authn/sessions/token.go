package sessions

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/quitrent/quitrent/internal/opaque"
)

// Token is the secret of a session: 43 characters of 0-9 A-Z a-z, 256 bits of chance.
// Formatting, logging and encoding/json leave it out; string(t) is what the cookie
// holds.
type Token string

const hidden = "[token]"

// String hides the token.
func (Token) String() string { return hidden }

// Format implements fmt.Formatter: no verb shows the token.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue implements slog.LogValuer.
func (Token) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText implements encoding.TextMarshaler.
func (Token) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// newToken is a token and its hash.
func newToken() (Token, string) {
	token := opaque.New()
	hash, _ := opaque.Hash(token)
	return Token(token), hash
}

// hash is what the database keeps of a token, and finds it by: where a comparison of two
// hashes stops tells nothing of the token. It reports false for what is no token.
func (t Token) hash() (string, bool) { return opaque.Hash(string(t)) }

// Package fmt does not ask a field that it reaches through a pointer in a slice, so
// whatever has a token in it is asked first.

// Format implements fmt.Formatter: no verb shows the token.
func (i Issued) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "session "+string(i.Session.ID))
}

// Format implements fmt.Formatter: no verb shows the token.
func (r Rotate) Format(f fmt.State, verb rune) { r.Token.Format(f, verb) }

// Format implements fmt.Formatter: no verb shows the token.
func (s SwitchAccount) Format(f fmt.State, verb rune) { s.Token.Format(f, verb) }

// Format implements fmt.Formatter: no verb shows the token.
func (e End) Format(f fmt.State, verb rune) { e.Token.Format(f, verb) }
