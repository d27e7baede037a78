// Package mailed is what the packages share that send mails: how an address is hinted
// at, and what language may be asked for.
package mailed

import (
	"strings"
	"unicode/utf8"
)

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
