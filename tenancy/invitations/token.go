package invitations

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/quitrent/quitrent/internal/opaque"
)

// Token is the secret of an invitation: 43 characters of 0-9 A-Z a-z, 256 bits of
// chance. Formatting, logging and encoding/json leave it out; string(t) is what goes
// into the link of the mail, best behind a #, which browsers keep to themselves.
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

// hash is what the database keeps of a token. It reports false for what is none.
func (t Token) hash() (string, bool) { return opaque.Hash(string(t)) }
