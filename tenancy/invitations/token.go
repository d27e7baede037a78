package invitations

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
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

// alphabet is base 62: nothing in it ends a link or a double click.
const (
	alphabet    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	tokenLength = 43 // 62^43 > 2^256
)

// newToken draws each character as likely as any other: bytes that would favour
// some are thrown away.
func newToken() Token {
	const fair = 256 - 256%len(alphabet)
	out := make([]byte, 0, tokenLength)
	var b [64]byte
	for {
		_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
		for _, c := range b {
			if int(c) >= fair {
				continue
			}
			if out = append(out, alphabet[int(c)%len(alphabet)]); len(out) == tokenLength {
				return Token(out)
			}
		}
	}
}

// hash is what the database keeps of a token. Guessing 256 bits is hopeless, so it
// needs no pepper and no slow function. It reports false for what is no token.
func (t Token) hash() (string, bool) {
	if len(t) != tokenLength || !alphanumeric(string(t)) {
		return "", false
	}
	sum := sha256.Sum256([]byte(t))
	return hex.EncodeToString(sum[:]), true
}

func alphanumeric(s string) bool {
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z') {
			return false
		}
	}
	return true
}
