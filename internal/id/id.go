// Package id makes prefixed identifiers that sort by the time they were made.
package id

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"sync/atomic"
	"time"
)

// The alphabet keeps the order of the bytes and reads well aloud: digits before
// letters, lower case, without i, l, o and u.
var encoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

var last atomic.Uint64

// New is prefix, an underscore and 26 characters: 64 bits of time (milliseconds
// and a counter, so that one process's identifiers ascend strictly) and 64 bits
// of chance. It reads the machine's clock and never the host's: an identifier is
// no business time.
func New(prefix string) string { return write(prefix, now()) }

// After is New, later than last, an identifier with the same prefix that may come
// from a machine whose clock is ahead. What is no such identifier, "" too, comes
// before everything. A clock that is wrong is followed where it was met and not in
// what New makes.
func After(prefix, last string) string { return write(prefix, max(now(), later(prefix, last))) }

// Derived is an identifier that looks like those of New and is the same whenever it
// is made from the same text. It tells no time.
func Derived(prefix, from string) string {
	sum := sha256.Sum256([]byte(prefix + "\x00" + from))
	return prefix + "_" + encoding.EncodeToString(sum[:16])
}

func now() uint64 { return tick(uint64(time.Now().UnixMilli()) << 16) }

func write(prefix string, time uint64) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], time)
	_, _ = rand.Read(b[8:]) // never fails: crypto/rand ends the program instead
	return prefix + "_" + encoding.EncodeToString(b[:])
}

// endOfTime is far from what any clock shows: a time beyond it is made up, and to
// follow it could use up the rest.
const endOfTime = 1 << 63

// later is the least time of an identifier that is later than last, or 0.
func later(prefix, last string) uint64 {
	text, ok := strings.CutPrefix(last, prefix+"_")
	b, err := encoding.DecodeString(text)
	if !ok || err != nil || len(b) != 16 {
		return 0
	}
	at := binary.BigEndian.Uint64(b)
	if at >= endOfTime {
		return 0
	}
	return at + 1
}

func tick(now uint64) uint64 {
	for {
		old := last.Load()
		next := max(now, old+1)
		if last.CompareAndSwap(old, next) {
			return next
		}
	}
}
