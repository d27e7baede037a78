// Package mailed is what the packages share that send tokens by mail: the token, what
// the database keeps of it, and how an address is hinted at.
package mailed

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// alphabet is base 62: nothing in it ends a link or a double click.
const (
	alphabet    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	tokenLength = 43 // 62^43 > 2^256
)

// NewToken is 43 characters of 0-9 A-Z a-z, 256 bits of chance. Each character is as
// likely as any other: bytes that would favour some are thrown away.
func NewToken() string {
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

// IsLocale reports that s is "" or can be a tag of BCP 47.
func IsLocale(s string) bool {
	const longest = 35 // RFC 5646, section 4.4.1
	return len(s) <= longest && alphanumeric(strings.ReplaceAll(s, "-", ""))
}

// Mask leaves of an address what its owner recognises it by, and not its length.
func Mask(email string) string {
	local, domain, _ := strings.Cut(email, "@")
	first, size := utf8.DecodeRuneInString(local)
	if size == len(local) {
		return "•••@" + domain
	}
	return string(first) + "•••@" + domain
}

func alphanumeric(s string) bool {
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z') {
			return false
		}
	}
	return true
}
