package tokens

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
)

// jwk is a public key of a JWK Set (RFC 7517; RFC 7518, section 6; RFC 8037).
type jwk struct {
	Type       string   `json:"kty"`
	ID         string   `json:"kid"`
	Use        string   `json:"use,omitempty"`
	Operations []string `json:"key_ops,omitempty"`
	Algorithm  string   `json:"alg,omitempty"`
	Curve      string   `json:"crv,omitempty"`
	N          string   `json:"n,omitempty"`
	E          string   `json:"e,omitempty"`
	X          string   `json:"x,omitempty"`
	Y          string   `json:"y,omitempty"`
}

// verifier is a key and the algorithms that it verifies: no other, so that none is
// taken for what it is not.
type verifier struct {
	key        any
	algorithms []string
}

// verifier is the key, if it is one to verify with.
func (k jwk) verifier() (v verifier, ok bool) {
	if k.Use != "" && k.Use != "sig" || len(k.Operations) > 0 && !slices.Contains(k.Operations, "verify") {
		return v, false
	}
	switch k.Type {
	case "RSA":
		v, ok = k.rsa()
	case "EC":
		v, ok = k.ec()
	case "OKP":
		v, ok = k.ed25519()
	}
	if ok && k.Algorithm != "" {
		ok = slices.Contains(v.algorithms, k.Algorithm)
		v.algorithms = []string{k.Algorithm}
	}
	return v, ok
}

// The size of RSA keys in bits: of less than the first nothing is believed (RFC 7518,
// section 3.3), and beyond the last verifying takes long.
const (
	minRSA = 2048
	maxRSA = 8192
)

func (k jwk) rsa() (verifier, bool) {
	n, okN := number(k.N)
	e, okE := number(k.E)
	if !okN || !okE || n.BitLen() < minRSA || n.BitLen() > maxRSA || n.Bit(0) == 0 || e.BitLen() > 31 || e.Bit(0) == 0 || e.Int64() < 3 {
		return verifier{}, false
	}
	return verifier{
		key:        &rsa.PublicKey{N: n, E: int(e.Int64())},
		algorithms: []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
	}, true
}

var curves = map[string]struct {
	curve     elliptic.Curve
	size      int
	algorithm string
}{
	"P-256": {elliptic.P256(), 32, "ES256"},
	"P-384": {elliptic.P384(), 48, "ES384"},
	"P-521": {elliptic.P521(), 66, "ES512"},
}

func (k jwk) ec() (verifier, bool) {
	c, ok := curves[k.Curve]
	x, okX := octets(k.X)
	y, okY := octets(k.Y)
	if !ok || !okX || !okY || len(x) != c.size || len(y) != c.size {
		return verifier{}, false
	}
	key, err := ecdsa.ParseUncompressedPublicKey(c.curve, slices.Concat([]byte{4}, x, y))
	return verifier{key: key, algorithms: []string{c.algorithm}}, err == nil
}

func (k jwk) ed25519() (verifier, bool) {
	x, ok := octets(k.X)
	return verifier{key: ed25519.PublicKey(x), algorithms: []string{"EdDSA"}}, ok && k.Curve == "Ed25519" && len(x) == ed25519.PublicKeySize
}

func octets(s string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil && len(b) > 0
}

func number(s string) (*big.Int, bool) {
	b, ok := octets(s)
	return new(big.Int).SetBytes(b), ok
}

// maxKeys bounds a set.
const maxKeys = 100

// parseSet reads a JWK Set. A key that has no id or that we cannot verify with is left
// out, as RFC 7517, section 5, asks.
func parseSet(data []byte) (map[string][]verifier, error) {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(bytes.TrimSpace(data), &set); err != nil || set.Keys == nil {
		return nil, errors.New("it is no JWK Set")
	}
	if len(*set.Keys) > maxKeys {
		return nil, errors.New("it has too many keys")
	}
	keys := map[string][]verifier{}
	for _, raw := range *set.Keys {
		var k jwk
		if json.Unmarshal(raw, &k) != nil || k.ID == "" {
			continue
		}
		if v, ok := k.verifier(); ok {
			keys[k.ID] = append(keys[k.ID], v)
		}
	}
	return keys, nil
}
