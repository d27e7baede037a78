package main

import (
	"hash/crc32"
	"regexp"
	"slices"
	"strings"
)

// No secret may show in what a program prints, so none may in what its tests print. A
// secret is known by its shape, and the shapes are those of this library; is decides
// where the shape alone does not.
var shapes = []struct {
	what string
	like *regexp.Regexp
	is   func(match string) bool
}{
	{"API key", regexp.MustCompile(`[a-z][a-z0-9]{1,15}_[a-z]{2,8}_[0-9A-Za-z]{48}`), isKey},
	// An escape sequence is none of the token's: "\n" in a quoted text.
	{"token", regexp.MustCompile(`\\[nrt]|[0-9A-Za-z+_-]+=*`), isToken},
	{"password hash", regexp.MustCompile(`(\$argon2[a-z]*\$v=|\$2[abxy]\$[0-9]{2}\$|\bpbkdf2_sha[0-9]+\$[0-9])[^\s"]*`), nil},
	{"JWT", regexp.MustCompile(`eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}`), nil},
	{"private key", regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END|$)`), nil},
	{"pepper", regexp.MustCompile(`(?:PEPPER-|PEPPERPEPPER|only for this example only)[^\s"]*`), nil},
}

// published are keys that open nothing and may be printed: those in the documentation of
// package authn.
var published = []string{
	"qr_live_0000000000000000000000000000000000000000003ZaMtS",
	"qr_test_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef0Mk1yL",
	"acme2_live_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz31cmaS",
}

// isKey reports that text, or what of it begins later, ends in the checksum of the rest
// (package authn documents it): something may stand right in front of a key.
func isKey(text string) bool {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var sum int64
	for _, c := range text[len(text)-6:] {
		sum = sum*62 + int64(strings.IndexRune(digits, c))
	}
	for brand := strings.IndexByte(text, '_'); brand >= 2; brand-- {
		if int64(crc32.ChecksumIEEE([]byte(text[:len(text)-6]))) == sum {
			return !slices.Contains(published, text)
		}
		text = text[1:]
	}
	return false
}

// isToken reports that text is as long as the token of a session, an invitation or a
// mail, and as mixed as one: a name of that length has hardly a digit.
func isToken(text string) bool {
	if len(text) != 43 || strings.ContainsAny(text, "+_-=") {
		return false
	}
	var digits, upper, lower int
	seen := map[rune]bool{}
	for _, c := range text {
		seen[c] = true
		switch {
		case c <= '9':
			digits++
		case c <= 'Z':
			upper++
		default:
			lower++
		}
	}
	return digits >= 2 && upper >= 4 && lower >= 4 && len(seen) >= 18
}

// canary finds the secrets in what a test has printed. safe is the text with each of
// them masked, found the lines of safe where that was done.
func canary(text string) (found []string, safe string) {
	const end = ", masked]"
	hit := false
	for _, s := range shapes {
		text = s.like.ReplaceAllStringFunc(text, func(match string) string {
			if s.is != nil && !s.is(match) {
				return match
			}
			hit = true
			return match[:min(8, len(match)/4)] + "[" + s.what + end
		})
	}
	if hit {
		for line := range strings.Lines(text) {
			if strings.Contains(line, end) {
				found = append(found, strings.TrimSpace(line))
			}
		}
	}
	return found, text
}
