package authn

import (
	"hash/crc32"
	"regexp"
	"strings"
)

// The parts of a key behind its prefix, in characters.
const (
	idLength     = 12 // 71 bits: names the key, may be shown and logged
	secretLength = 30 // 178 bits
	crcLength    = 6  // holds any CRC-32: 62^6 > 2^32
)

// alphabet is base 62 in the order of the bytes. A word of it is selected whole by
// a double click, which a hyphen or a dot would end.
const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

var (
	brandForm = regexp.MustCompile(`^[a-z][a-z0-9]{1,15}$`)
	envForm   = regexp.MustCompile(`^[a-z]{2,8}$`)
)

// maxKeyLength is the longest that a key can be.
const maxKeyLength = 16 + 1 + 8 + 1 + idLength + secretLength + crcLength

// form is what keys of one brand look like, in each of its environments.
type form struct {
	envs     []string
	prefixes []string // of each environment
}

func newForm(brand string, envs []string) form {
	f := form{envs: envs}
	for _, env := range envs {
		f.prefixes = append(f.prefixes, brand+"_"+env+"_")
	}
	return f
}

// env is the environment that a text names if it begins like a key, or -1.
func (f form) env(text string) int {
	for i, prefix := range f.prefixes {
		if strings.HasPrefix(text, prefix) {
			return i
		}
	}
	return -1
}

// write is the key with this id and secret.
func (f form) write(env int, id KeyID, secret string) string {
	text := f.prefixes[env] + string(id) + secret
	return text + checksum(text)
}

// parse reads a key by position. text is the key without its checksum: what is
// hashed, so that neither the id nor the environment can be exchanged.
func (f form) parse(key string) (id KeyID, text string, ok bool) {
	env := f.env(key)
	if env < 0 {
		return "", "", false
	}
	rest := key[len(f.prefixes[env]):]
	if len(rest) != idLength+secretLength+crcLength || !alphanumeric(rest) {
		return "", "", false
	}
	text = key[:len(key)-crcLength]
	return KeyID(rest[:idLength]), text, checksum(text) == key[len(text):]
}

func alphanumeric(s string) bool {
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z') {
			return false
		}
	}
	return true
}

// possible reports that id may name a key. What may not, as it comes out of a URL,
// is not for the database.
func (id KeyID) possible() bool { return len(id) == idLength && alphanumeric(string(id)) }

// checksum is the CRC-32 (IEEE) of text in base 62, most significant digit first.
func checksum(text string) string {
	n := crc32.ChecksumIEEE([]byte(text))
	var b [crcLength]byte
	for i := range b {
		b[len(b)-1-i] = alphabet[n%62]
		n /= 62
	}
	return string(b[:])
}
