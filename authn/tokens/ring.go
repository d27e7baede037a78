package tokens

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// Key signs tokens with Ed25519 (RFC 8037). Formatting, logging and encoding/json show
// its ID alone.
type Key struct {
	// ID is the kid of the tokens: 1 to 32 of a-z 0-9 _ -. One that was used is never
	// given to another key.
	ID string
	// Private signs. A key that signs no more may leave it out.
	Private ed25519.PrivateKey `json:"-"`
	// Public verifies. Default: that of Private.
	Public ed25519.PublicKey `json:"-"`
}

// String is the ID.
func (k Key) String() string { return "token key " + k.ID }

// Format implements fmt.Formatter: no verb shows the key.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue implements slog.LogValuer.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

var keyForm = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// ring signs with the first of its keys and verifies with each. The private one is in a
// closure, where no formatting of a value that holds the ring can reach.
type ring struct {
	sign func(claims jwt.Claims) (string, error) // nil: nothing signs
	// byHeader finds the key by the first part of a token, which is the same in each
	// token of a key. So an algorithm, an extension that must be understood or a key
	// that a token brings along are in no token of ours.
	byHeader map[string]ed25519.PublicKey
	jwks     []byte
}

func newRing(keys []Key, signs bool) (*ring, error) {
	if len(keys) == 0 {
		return nil, errors.New("tokens: Config.Keys is empty: give one, from the same place as the program's other secrets")
	}
	r := &ring{byHeader: map[string]ed25519.PublicKey{}}
	var set struct {
		Keys []jwk `json:"keys"`
	}
	for i, k := range keys {
		public, err := k.check()
		if err != nil {
			return nil, err
		}
		head := header(k.ID)
		if r.byHeader[head] != nil {
			return nil, fmt.Errorf("tokens: two keys have the id %q", k.ID)
		}
		r.byHeader[head] = public
		set.Keys = append(set.Keys, jwk{
			Type: "OKP", ID: k.ID, Use: "sig", Algorithm: jwt.SigningMethodEdDSA.Alg(), Curve: "Ed25519",
			X: base64.RawURLEncoding.EncodeToString(public),
		})
		if i > 0 || !signs {
			continue
		}
		if k.Private == nil {
			return nil, fmt.Errorf("tokens: the key %q comes first and has no private part to sign with", k.ID)
		}
		id, private := k.ID, slices.Clone(k.Private)
		r.sign = func(claims jwt.Claims) (string, error) {
			return unsigned(id, claims).SignedString(private)
		}
	}
	var err error
	r.jwks, err = json.Marshal(set)
	return r, err
}

// check returns the public part.
func (k Key) check() (ed25519.PublicKey, error) {
	if !keyForm.MatchString(k.ID) {
		return nil, fmt.Errorf("tokens: the key id %q is not made of 1 to 32 of a-z 0-9 _ -", k.ID)
	}
	public := slices.Clone(k.Public)
	if k.Private != nil {
		// What is no pair would sign what nobody can verify, and give the key away.
		if len(k.Private) != ed25519.PrivateKeySize || !ed25519.NewKeyFromSeed(k.Private.Seed()).Equal(k.Private) {
			return nil, fmt.Errorf("tokens: the private part of the key %q is no Ed25519 key", k.ID)
		}
		own := k.Private.Public().(ed25519.PublicKey)
		if public != nil && !own.Equal(public) {
			return nil, fmt.Errorf("tokens: the parts of the key %q are of two keys", k.ID)
		}
		public = own
	}
	if len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("tokens: the key %q has no public part of %d bytes", k.ID, ed25519.PublicKeySize)
	}
	return public, nil
}

func unsigned(kid string, claims jwt.Claims) *jwt.Token {
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	t.Header["typ"] = "at+jwt" // RFC 9068, section 2.1: taken for no other kind of token
	t.Header["kid"] = kid
	return t
}

// header is the first part of the tokens of a key.
func header(kid string) string {
	text, err := unsigned(kid, jwt.MapClaims{}).SigningString()
	if err != nil {
		panic(err) // three strings are JSON
	}
	head, _, _ := strings.Cut(text, ".")
	return head
}

// find is the key that value is a token of, if it is one of ours.
func (r *ring) find(value string) (ed25519.PublicKey, bool) {
	head, _, _ := strings.Cut(value, ".")
	key, ok := r.byHeader[head]
	return key, ok
}
