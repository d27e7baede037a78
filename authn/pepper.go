package authn

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
)

// Pepper is a secret of the program, kept out of the database, without which the
// hashes in the database verify nothing. Formatting and logging show its ID alone.
type Pepper struct {
	// ID is stored with each hash: 1 to 32 of a-z 0-9 _ -.
	ID string
	// Secret is 32 random bytes or more.
	Secret []byte `json:"-"`
}

// String is the ID.
func (p Pepper) String() string { return "pepper " + p.ID }

// Format implements fmt.Formatter: no verb shows the secret.
func (p Pepper) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// LogValue implements slog.LogValuer.
func (p Pepper) LogValue() slog.Value { return slog.StringValue(p.String()) }

// minPepper is the least length of a pepper in bytes: what HMAC-SHA256 can use.
const minPepper = sha256.Size

var pepperForm = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// ring hashes with the first of its peppers and verifies with any. It keeps the
// secrets in closures, where no formatting of a value that holds it can reach.
type ring struct {
	current string
	sums    map[string]func(text string) string
}

func newRing(peppers []Pepper) (*ring, error) {
	if len(peppers) == 0 {
		return nil, errors.New("authn: Config.Peppers is empty: give one, from the same place as the program's other secrets")
	}
	r := &ring{current: peppers[0].ID, sums: map[string]func(string) string{}}
	for _, p := range peppers {
		switch {
		case !pepperForm.MatchString(p.ID):
			return nil, fmt.Errorf("authn: the pepper id %q is not made of 1 to 32 of a-z 0-9 _ -", p.ID)
		case r.sums[p.ID] != nil:
			return nil, fmt.Errorf("authn: two peppers have the id %q", p.ID)
		case len(p.Secret) < minPepper:
			return nil, fmt.Errorf("authn: the pepper %q has %d bytes: %d is the least", p.ID, len(p.Secret), minPepper)
		}
		secret := slices.Clone(p.Secret)
		r.sums[p.ID] = func(text string) string {
			// A fast hash is right here: the text has 178 bits of chance, so
			// there is nothing to guess. Passwords are another matter.
			h := hmac.New(sha256.New, secret)
			_, _ = io.WriteString(h, text)
			return base64.RawStdEncoding.EncodeToString(h.Sum(nil))
		}
	}
	return r, nil
}

// sum hashes with the current pepper.
func (r *ring) sum(text string) (pepper, hash string) {
	return r.current, r.sums[r.current](text)
}

// verify reports that hash is text's under the pepper, in the same time for any
// text and hash. A pepper that has left the ring costs as much as one in it.
func (r *ring) verify(pepper, text, hash string) bool {
	sum, known := r.sums[pepper]
	if !known {
		sum = r.sums[r.current]
	}
	return hmac.Equal([]byte(sum(text)), []byte(hash)) && known
}
