package authn

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// cost is the work that a hash is: KiB of memory, passes over it, lanes.
type cost struct {
	memory, passes uint32
	lanes          uint8
}

var (
	// leastCost is the least that OWASP recommends for Argon2id.
	leastCost = cost{memory: 19456, passes: 2, lanes: 1}
	// mostCost bounds what a string in the database can make the program do.
	mostCost = cost{memory: 256 << 10, passes: 16, lanes: 16}
)

// Lengths in bytes.
const (
	saltLength    = 16
	hashLength    = 32
	maxHashString = 256 // characters of a stored hash
)

// passwordHash is an Argon2id hash as it is stored: a PHC string with all that is
// needed to compute it again.
type passwordHash struct {
	cost
	salt, sum []byte
}

// String is the PHC string.
func (h passwordHash) String() string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, h.memory, h.passes, h.lanes, enc.EncodeToString(h.salt), enc.EncodeToString(h.sum))
}

// parseHash reads what String writes, in no other spelling, and refuses a cost
// beyond mostCost: whoever could write to the database could stop the program with
// one string otherwise.
func parseHash(s string) (h passwordHash, ok bool) {
	if len(s) > maxHashString {
		return passwordHash{}, false
	}
	part := strings.Split(s, "$")
	if len(part) != 6 {
		return passwordHash{}, false
	}
	if n, err := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.lanes); err != nil || n != 3 {
		return passwordHash{}, false
	}
	enc := base64.RawStdEncoding.Strict()
	var err1, err2 error
	h.salt, err1 = enc.DecodeString(part[4])
	h.sum, err2 = enc.DecodeString(part[5])
	switch {
	case err1 != nil || err2 != nil,
		h.lanes < 1 || h.lanes > mostCost.lanes,
		h.memory < 8*uint32(h.lanes) || h.memory > mostCost.memory,
		h.passes < 1 || h.passes > mostCost.passes,
		len(h.salt) < 8 || len(h.salt) > 48 || len(h.sum) < 16 || len(h.sum) > 64,
		h.String() != s: // also another algorithm or version
		return passwordHash{}, false
	}
	return h, true
}

func (c cost) work() uint64 { return uint64(c.memory) * uint64(c.passes) }

// rest is a cost that makes with c what most is, to a few KiB. It reports false when
// c is no less.
func (c cost) rest(most cost) (cost, bool) {
	if c.work() >= most.work() {
		return cost{}, false
	}
	left := most.work() - c.work()
	passes := (left + uint64(most.memory) - 1) / uint64(most.memory)
	return cost{memory: uint32(left / passes), passes: uint32(passes), lanes: 1}, true
}

// weaker reports that h is less work than hashes made now.
func (h passwordHash) weaker(than cost) bool {
	return h.memory < than.memory || h.work() < than.work() || len(h.sum) < hashLength || len(h.salt) < saltLength
}

// hash hashes with a new salt.
func (p *Passwords) hash(ctx context.Context, password string) (passwordHash, error) {
	h := passwordHash{cost: p.cost, salt: make([]byte, saltLength)}
	_, _ = rand.Read(h.salt) // never fails: crypto/rand ends the program instead
	var err error
	h.sum, err = p.compute(ctx, password, h, hashLength)
	return h, err
}

// matches reports that h is the password's, comparing in constant time.
func (p *Passwords) matches(ctx context.Context, h passwordHash, password string) (bool, error) {
	sum, err := p.compute(ctx, password, h, uint32(len(h.sum)))
	return err == nil && subtle.ConstantTimeCompare(sum, h.sum) == 1, err
}

// compute is the only place that works on a password by Argon2id. What h costs less
// than hashes made now is done for nothing, or time would tell the users whose hash was
// made when a lower cost was set from everybody else.
func (p *Passwords) compute(ctx context.Context, password string, h passwordHash, length uint32) ([]byte, error) {
	done, err := p.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	sum := p.derive([]byte(password), h.salt, h.passes, h.memory, h.lanes, length)
	if rest, some := h.rest(p.cost); some {
		p.derive([]byte(password), h.salt, rest.passes, rest.memory, rest.lanes, length)
	}
	return sum, nil
}

// turn waits until one of so many at once may work on a password, unless as many wait
// as may: then it is ErrTooManyAttempts.
func (p *Passwords) turn(ctx context.Context) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	done = func() { <-p.turns }
	select {
	case p.turns <- struct{}{}:
		return done, nil
	default:
	}
	defer p.waiting.Add(-1)
	if p.waiting.Add(1) > int64(p.cfg.Waiting) {
		return nil, tooMany{queueFull}
	}
	select {
	case p.turns <- struct{}{}:
		return done, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
