// Package id makes prefixed identifiers that sort by the time they were made.
package id

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
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
func New(prefix string) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], tick(uint64(time.Now().UnixMilli())<<16))
	_, _ = rand.Read(b[8:]) // never fails: crypto/rand ends the program instead
	return prefix + "_" + encoding.EncodeToString(b[:])
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
