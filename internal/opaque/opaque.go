// Package opaque makes tokens that say nothing: of sessions, invitations and mails. It
// says what the database keeps of one.
package opaque

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
)

// alphabet is base 62: nothing in it ends a link or a double click.
const (
	alphabet    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	tokenLength = 43 // 62^43 > 2^256
)

// New is a token: 43 characters of 0-9 A-Z a-z, 256 bits of chance.
func New() string { return Random(tokenLength) }

// Random is n characters of 0-9 A-Z a-z, each as likely as any other: bytes that would
// favour some are thrown away.
func Random(n int) string {
	const fair = 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	var b [64]byte
	for {
		_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
		for _, c := range b {
			if int(c) >= fair {
				continue
			}
			if out = append(out, alphabet[int(c)%len(alphabet)]); len(out) == n {
				return string(out)
			}
		}
	}
}

// Hash is what the database keeps of a token: SHA-256 in hexadecimal. Guessing 256
// bits is hopeless, so it needs no pepper and no slow function. It reports false for
// what is no token.
func Hash(token string) (string, bool) {
	if len(token) != tokenLength || !alphanumeric(token) {
		return "", false
	}
	sum := sha256.Sum256([]byte(token))
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
