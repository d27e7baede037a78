package sessions

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
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

// alphabet is base 62: nothing in it must be quoted in a cookie or a header.
const (
	alphabet    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	tokenLength = 43 // 62^43 > 2^256
)

// newToken draws each character as likely as any other: bytes that would favour
// some are thrown away.
func newToken() (Token, string) {
	const fair = 256 - 256%len(alphabet)
	out := make([]byte, 0, tokenLength)
	for {
		var b [64]byte
		_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
		for _, c := range b {
			if int(c) >= fair {
				continue
			}
			if out = append(out, alphabet[int(c)%len(alphabet)]); len(out) == tokenLength {
				hash, _ := Token(out).hash()
				return Token(out), hash
			}
		}
	}
}

// hash is what the database keeps of a token, and finds it by. Guessing 256 bits is
// hopeless, so it needs no pepper and no slow function, and where a comparison of two
// hashes stops tells nothing of the token. It reports false for what is no token.
func (t Token) hash() (string, bool) {
	if len(t) != tokenLength {
		return "", false
	}
	for _, c := range []byte(t) {
		if !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z') {
			return "", false
		}
	}
	sum := sha256.Sum256([]byte(t))
	return hex.EncodeToString(sum[:]), true
}

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
