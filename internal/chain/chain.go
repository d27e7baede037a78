// Package chain seals logs that only grow: a chain of hashes over each account's lines,
// made a page at a time by any number of processes, and verified from its first seal.
// What a line is, where it and its seal are kept, and which text is hashed is the
// caller's.
package chain

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// Page is how many lines are sealed, or verified, at a time.
const Page = 500

// Text is what a seal is the hash of: parts, each with its length before it, so that no
// text of one part can be read as the end of it.
type Text []byte

// Add appends parts: "3:abc," for "abc".
func (t Text) Add(parts ...string) Text {
	for _, part := range parts {
		t = strconv.AppendInt(t, int64(len(part)), 10)
		t = append(t, ':')
		t = append(t, part...)
		t = append(t, ',')
	}
	return t
}

// Hash is the SHA-256 of the text, in 64 lower-case hexadecimal digits.
func (t Text) Hash() string {
	sum := sha256.Sum256(t)
	return hex.EncodeToString(sum[:])
}
