package authn

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
	"golang.org/x/crypto/bcrypt"

	"github.com/quitrent/quitrent/internal/changes"
	"github.com/quitrent/quitrent/internal/opaque"
)

// Quick makes p hash in no time, with something that depends on all that Argon2id
// depends on, and returns how many hashes it has computed.
func Quick(p *Passwords) (computed func() int64) {
	var n atomic.Int64
	p.derive = func(password, salt []byte, passes, memory uint32, lanes uint8, length uint32) []byte {
		n.Add(1)
		b := binary.BigEndian.AppendUint32(nil, passes)
		b = binary.BigEndian.AppendUint32(b, memory)
		b = append(append(append(b, lanes), salt...), password...)
		sum := sha256.Sum256(b)
		return append(sum[:], make([]byte, length)...)[:length]
	}
	return n.Load
}

// CountWork adds up the KiB that Argon2id goes over in p from now on.
func CountWork(p *Passwords) *uint64 {
	n, derive := new(uint64), p.derive
	p.derive = func(password, salt []byte, passes, memory uint32, lanes uint8, length uint32) []byte {
		*n += uint64(passes) * uint64(memory)
		return derive(password, salt, passes, memory, lanes, length)
	}
	return n
}

// During calls do while the next hash of p is computed, as what comes while a sign-in
// waits for its turn.
func During(p *Passwords, do func()) {
	derive := p.derive
	p.derive = func(password, salt []byte, passes, memory uint32, lanes uint8, length uint32) []byte {
		p.derive = derive
		do()
		return derive(password, salt, passes, memory, lanes, length)
	}
}

// Waiting is how many wait for a turn.
func Waiting(p *Passwords) int64 { return p.waiting.Load() }

// Gate makes every hash of p wait until release hands it something or is closed.
// running counts those that wait.
func Gate(p *Passwords) (running func() int64, release chan struct{}) {
	var n atomic.Int64
	release = make(chan struct{})
	p.derive = func([]byte, []byte, uint32, uint32, uint8, uint32) []byte {
		n.Add(1)
		defer n.Add(-1)
		<-release
		return make([]byte, hashLength)
	}
	return n.Load, release
}

// CountSums counts the HMACs that k computes from now on.
func CountSums(k *Keys) (computed func() int64) {
	var n atomic.Int64
	for id, sum := range k.ring.sums {
		k.ring.sums[id] = func(text string) string {
			n.Add(1)
			return sum(text)
		}
	}
	return n.Load
}

// Gather makes k gather uses as Run does, and Flush writes down what was gathered.
func Gather(k *Keys) { k.uses.take(k.clock(), true) }

func Flush(ctx context.Context, k *Keys, db bun.IDB) { k.write(ctx, db, k.uses.take(k.clock(), true)) }

// Gathered is how many uses k has gathered.
func Gathered(k *Keys) int {
	k.uses.mu.Lock()
	defer k.uses.mu.Unlock()
	return len(k.uses.last)
}

// Unknown is how many texts k remembers as no key.
func Unknown(k *Keys) int { return k.memory.unknown.Len() }

// Opened is how many keys k remembers.
func Opened(k *Keys) int { return k.memory.opened.Len() }

// FillUnknown makes k remember n texts that are no keys.
func FillUnknown(k *Keys, n int) {
	until := time.Now().Add(unknownFor)
	for i := range n {
		k.memory.unknown.Put(digestOf(0, strconv.Itoa(i)), until)
	}
}

// MaxUnknown and UnknownFor bound what is remembered as no key.
const (
	MaxUnknown = maxUnknown
	UnknownFor = unknownFor
)

// Refused reports that a text is remembered as no key at an instant.
func Refused(k *Keys, db bun.IDB, at time.Time, text string) bool {
	env := k.form.env(text)
	return k.memory.refused(db, changes.Instant{Time: at}, digestOf(env, text[len(k.form.prefixes[env]):]))
}

// Rekey is another secret of a key, and what is stored of it.
func Rekey(k *Keys, id KeyID) (key, pepper, hash string) {
	key = k.form.write(0, id, opaque.Random(secretLength))
	_, text, _ := k.form.parse(key)
	pepper, hash = k.ring.sum(text)
	return key, pepper, hash
}

// Sum appends the right checksum to text, which makes a key of it.
func Sum(text string) string { return text + checksum(text) }

// Explode makes every hash of p panic.
func Explode(p *Passwords) {
	p.derive = func([]byte, []byte, uint32, uint32, uint8, uint32) []byte { panic("out of memory") }
}

// Stretched is the work of foreign hashes: iterations by the length of the digest, and
// what bcrypt has done in rounds.
type Stretched struct{ SHA256, SHA512, Bcrypt int }

// CountStretches adds up the work of foreign hashes that p does from now on.
func CountStretches(p *Passwords) *Stretched {
	n, real := &Stretched{}, p.stretch
	p.stretch.pbkdf2 = func(h func() hash.Hash, password string, salt []byte, iterations, length int) ([]byte, error) {
		if h().Size() == sha256.Size {
			n.SHA256 += iterations
		} else {
			n.SHA512 += iterations
		}
		return real.pbkdf2(h, password, salt, iterations, length)
	}
	p.stretch.bcrypt = func(hash, password []byte) error {
		err := real.bcrypt(hash, password)
		if err == nil || errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) { // otherwise nothing was computed
			cost, _ := bcrypt.Cost(hash)
			n.Bcrypt += 1 << cost
		}
		return err
	}
	return n
}
