package leaks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"

	"github.com/quitrent/quitrent/authn"
)

// Verifier makes sure that a report comes from its scanner, before anything in it is
// read. body is the request's, byte by byte; that of r is spent. It returns nil, or
// ErrNoSignature, ErrBadSignature or another refusal; an error that is none answers 503.
type Verifier func(r *http.Request, body []byte) error

// Bearer is the Verifier of a scanner that shows a static bearer token instead of a
// signature: one in a host's own pipeline, for example. The token has 32 random
// characters or more. Without one the refusal is authn.ErrNoCredential, with another
// tenancy.ErrForbidden.
func Bearer(token string) (Verifier, error) {
	check, err := authn.OperatorToken(token, "scanner")
	if err != nil {
		return nil, err
	}
	return func(r *http.Request, _ []byte) error {
		_, err := check(r)
		return err
	}, nil
}

// The headers of a signed report (GitHub, "Secret scanning partner program").
const (
	headerKeyID     = "Github-Public-Key-Identifier"
	headerSignature = "Github-Public-Key-Signature"
)

// source knows the public keys of a scanner.
type source interface {
	// find returns ErrBadSignature for an identifier that is none of the scanner's, and
	// ErrScannerKeys when that cannot be told.
	find(ctx context.Context, id string) (*ecdsa.PublicKey, error)
}

// static are keys that were given.
type static map[string]*ecdsa.PublicKey

func (s static) find(_ context.Context, id string) (*ecdsa.PublicKey, error) {
	if key := s[id]; key != nil {
		return key, nil
	}
	return nil, ErrBadSignature
}

// signature verifies ECDSA over P-256 and the SHA-256 of the body, in ASN.1.
func signature(keys source) Verifier {
	return func(r *http.Request, body []byte) error {
		ids, signatures := r.Header.Values(headerKeyID), r.Header.Values(headerSignature)
		if len(ids) != 1 || len(signatures) != 1 || ids[0] == "" || signatures[0] == "" {
			return ErrNoSignature
		}
		sig, err := base64.StdEncoding.Strict().DecodeString(signatures[0])
		if err != nil {
			return ErrBadSignature
		}
		key, err := keys.find(r.Context(), ids[0])
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		if !ecdsa.VerifyASN1(key, sum[:], sig) {
			return ErrBadSignature
		}
		return nil
	}
}

// publicKey reads a key in PEM.
func publicKey(text string) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("no PEM")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("no ECDSA key over P-256")
	}
	return key, nil
}
