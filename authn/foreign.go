package authn

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// Foreign names the hashes of another framework that a sign-in verifies until it has
// replaced them, each kind with the most that one of them costs. 0: none of that kind.
//
// While a kind is named, every sign-in does the work of the dearest hash of it, whoever
// signs in, so that time does not tell who has come over from the old system and who is
// unknown. Name the cost that the old system really has, and none any more when the last
// one has been replaced, or is not worth waiting for.
type Foreign struct {
	// PBKDF2SHA256 are the iterations of pbkdf2_sha256$… (Django) and
	// $pbkdf2-sha256$… (PHC, passlib). Most: 10,000,000.
	PBKDF2SHA256 int
	// PBKDF2SHA512 are those of $pbkdf2-sha512$…
	PBKDF2SHA512 int
	// Bcrypt is the cost of $2a$…, $2b$…, $2y$… and of Django's bcrypt$… and
	// bcrypt_sha256$…, a power of two. Most: 16.
	Bcrypt int
}

// What a program can be made to do by its own configuration.
const (
	mostIterations = 10_000_000
	mostBcrypt     = 16
)

func (f Foreign) within() Foreign {
	f.PBKDF2SHA256 = min(max(f.PBKDF2SHA256, 0), mostIterations)
	f.PBKDF2SHA512 = min(max(f.PBKDF2SHA512, 0), mostIterations)
	if f.Bcrypt = min(max(f.Bcrypt, 0), mostBcrypt); f.Bcrypt > 0 {
		f.Bcrypt = max(f.Bcrypt, bcrypt.MinCost)
	}
	return f
}

// The kinds of foreign hashes.
const (
	kindSHA256 = "PBKDF2 with SHA-256"
	kindSHA512 = "PBKDF2 with SHA-512"
	kindBcrypt = "bcrypt"
)

func (f Foreign) most(kind string) int {
	switch kind {
	case kindSHA256:
		return f.PBKDF2SHA256
	case kindSHA512:
		return f.PBKDF2SHA512
	}
	return f.Bcrypt
}

// foreignHash is a hash that another framework has made. The zero value is none.
type foreignHash struct {
	kind      string
	cost      int
	salt, sum []byte // of PBKDF2
	text      string // of bcrypt, as that package reads it
	digest    bool   // what was hashed is the password's SHA-256 in hexadecimal
}

var errNoHash = errors.New("it is no hash of a kind that is known")

// parse reads a foreign hash and refuses one that costs more than f says: whoever could
// write to the database could stop the program with one string otherwise.
func (f Foreign) parse(s string) (h foreignHash, err error) {
	if len(s) > maxForeignHash || !quotable(s) { // the ends of lines among it, which base 64 overlooks
		return foreignHash{}, errNoHash
	}
	part := strings.Split(s, "$")
	ok := false
	switch {
	case len(part) == 4 && part[0] == "pbkdf2_sha256":
		h, ok = djangoPBKDF2(part)
	case len(part) == 5 && part[0] == "" && (part[1] == "pbkdf2-sha256" || part[1] == "pbkdf2-sha512"):
		h, ok = phcPBKDF2(part)
	case len(part) == 5 && (part[0] == "bcrypt" || part[0] == "bcrypt_sha256") && part[1] == "":
		h, ok = parseBcrypt(part[1:])
		h.digest = part[0] == "bcrypt_sha256"
	case len(part) == 4 && part[0] == "":
		h, ok = parseBcrypt(part)
	}
	if !ok {
		return foreignHash{}, errNoHash
	}
	if most := f.most(h.kind); h.cost > most {
		return foreignHash{}, fmt.Errorf("its cost is %d of %s, and PasswordConfig.Foreign allows %d", h.cost, h.kind, most)
	}
	return h, nil
}

// HashKind names the kind of a stored hash that SignIn verifies: "argon2id", "bcrypt". The
// error says why it does not verify this one, and has no part of it.
func (p *Passwords) HashKind(hash string) (string, error) {
	if _, ours := parseHash(hash); ours {
		return "argon2id", nil
	}
	h, err := p.cfg.Foreign.parse(hash)
	return h.kind, err
}

// maxForeignHash bounds the characters of a stored foreign hash.
const maxForeignHash = 512

// djangoPBKDF2 reads pbkdf2_sha256$iterations$salt$sum: the salt is the text itself, the
// sum is in base 64.
func djangoPBKDF2(part []string) (h foreignHash, ok bool) {
	h = foreignHash{kind: kindSHA256, salt: []byte(part[2])}
	if h.cost, ok = number(part[1]); !ok {
		return foreignHash{}, false
	}
	var err error
	h.sum, err = base64.StdEncoding.Strict().DecodeString(part[3])
	return h, err == nil && h.sound(sha256.Size)
}

// phcPBKDF2 reads $pbkdf2-sha256$iterations$salt$sum, salt and sum in base 64 without
// padding, and with "." for "+" as passlib writes them. The iterations may also be
// i=iterations,l=length.
func phcPBKDF2(part []string) (h foreignHash, ok bool) {
	size := sha256.Size
	if h.kind = kindSHA256; part[1] == "pbkdf2-sha512" {
		h.kind, size = kindSHA512, sha512.Size
	}
	cost, length, measured := strings.Cut(part[2], ",l=")
	if h.cost, ok = number(strings.TrimPrefix(cost, "i=")); !ok {
		return foreignHash{}, false
	}
	enc := base64.RawStdEncoding.Strict()
	var err1, err2 error
	h.salt, err1 = enc.DecodeString(strings.ReplaceAll(part[3], ".", "+"))
	h.sum, err2 = enc.DecodeString(strings.ReplaceAll(part[4], ".", "+"))
	if n, ok := number(length); measured && (!ok || n != len(h.sum)) {
		return foreignHash{}, false
	}
	return h, err1 == nil && err2 == nil && h.sound(size)
}

// sound reports that salt and sum have lengths that somebody uses. A sum that is longer
// than the digest would cost as many times more.
func (h foreignHash) sound(size int) bool {
	return len(h.salt) >= 1 && len(h.salt) <= 128 && len(h.sum) >= 16 && len(h.sum) <= size
}

// parseBcrypt reads "", "2b", cost, salt and sum. The version x is what a mistake in one
// program made, and no other can verify it.
func parseBcrypt(part []string) (h foreignHash, ok bool) {
	switch {
	case part[1] != "2a" && part[1] != "2b" && part[1] != "2y", len(part[2]) != 2, len(part[3]) != 53:
		return foreignHash{}, false
	case strings.Trim(part[3], "./"+alphabet) != "":
		return foreignHash{}, false
	}
	cost, ok := number(strings.TrimPrefix(part[2], "0"))
	return foreignHash{kind: kindBcrypt, cost: cost, text: strings.Join(part, "$")}, ok && cost >= bcrypt.MinCost
}

// number reads a number as it is written by a program: digits, no zero in front.
func number(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n > 0 && strconv.Itoa(n) == s
}

// stretch is the work of foreign hashes.
type stretch struct {
	pbkdf2 func(h func() hash.Hash, password string, salt []byte, iterations, length int) ([]byte, error)
	bcrypt func(hash, password []byte) error
}

var realStretch = stretch{pbkdf2: pbkdf2.Key[hash.Hash], bcrypt: bcrypt.CompareHashAndPassword}

// matchesForeign reports that h is the password's, as it was typed: other frameworks hash
// that. Whatever h is, also none, the work is that of the dearest hash of every kind in
// PasswordConfig.Foreign: what h leaves of it is done for nothing.
func (p *Passwords) matchesForeign(ctx context.Context, h foreignHash, password string) (bool, error) {
	most := p.cfg.Foreign
	if most == (Foreign{}) {
		return false, nil
	}
	done, err := p.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	in256, err256 := p.stretch.pbkdf2Matches(kindSHA256, sha256.New, h, most.PBKDF2SHA256, password)
	in512, err512 := p.stretch.pbkdf2Matches(kindSHA512, sha512.New, h, most.PBKDF2SHA512, password)
	inBcrypt := p.stretch.bcryptMatches(h, most.Bcrypt, password)
	if err := errors.Join(err256, err512); err != nil {
		return false, err
	}
	return in256 || in512 || inBcrypt, nil
}

// pbkdf2Matches does the iterations of h, if it is of the kind, and the rest of most.
func (s stretch) pbkdf2Matches(kind string, digest func() hash.Hash, h foreignHash, most int, password string) (matches bool, err error) {
	rest := most
	if h.kind == kind {
		sum, err := s.pbkdf2(digest, password, h.salt, h.cost, len(h.sum))
		if err != nil {
			return false, err
		}
		matches = subtle.ConstantTimeCompare(sum, h.sum) == 1
		rest -= h.cost
	}
	if rest > 0 {
		_, err = s.pbkdf2(digest, password, make([]byte, saltLength), rest, saltLength)
	}
	return matches, err
}

// bcryptMatches does the work of h, if it is of bcrypt, and the rest of most: 2^c is what
// a cost of c is, so that those from c to most-1 and c once more are as much as most.
func (s stretch) bcryptMatches(h foreignHash, most int, password string) (matches bool) {
	if most == 0 {
		return false
	}
	idle := func(cost int) {
		_ = s.bcrypt(fmt.Appendf(nil, "$2b$%02d$%053d", cost, 0), []byte(password))
	}
	if h.kind != kindBcrypt {
		idle(most)
		return false
	}
	secret := password
	if h.digest {
		sum := sha256.Sum256([]byte(password))
		secret = hex.EncodeToString(sum[:])
	}
	// Of more than 72 bytes it looks at the first 72, as it did in the old system.
	matches = s.bcrypt([]byte(h.text), []byte(secret)) == nil
	for cost := h.cost; cost < most; cost++ {
		idle(cost)
	}
	return matches
}
