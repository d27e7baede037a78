package tokens

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/quitrent/quitrent/tenancy"
)

var fuzzNow = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func fuzzTokens(t testing.TB) (*Tokens, string) {
	made, err := New(tenancy.New(tenancy.Config{}), Config{
		Issuer: "i", Audience: "a", Now: func() time.Time { return fuzzNow },
		Keys: []Key{{ID: "k", Public: fuzzKey.Public().(ed25519.PublicKey)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	all := "*"
	token, err := unsigned("k", &claims{
		RegisteredClaims: jwt.RegisteredClaims{Issuer: "i", Audience: jwt.ClaimStrings{"a"}, Subject: "u", ExpiresAt: jwt.NewNumericDate(fuzzNow.Add(time.Minute))},
		Account:          "acc", Actor: actor{Kind: tenancy.ActorUser, ID: "u"}, May: "read", User: "u", Scope: &all,
	}).SignedString(fuzzKey)
	if err != nil {
		t.Fatal(err)
	}
	return made, token
}

var fuzzKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte("f"), ed25519.SeedSize))

// Of all texts, only the one that was signed is a token: whatever else is shown is
// refused, and nothing panics.
func FuzzRead(f *testing.F) {
	made, token := fuzzTokens(f)
	parts := strings.Split(token, ".")
	for _, seed := range []string{
		token, token + "=", token + "\n", token[:len(token)-1], "", ".", "..", parts[0] + "..", parts[0] + "." + parts[1] + ".",
		parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte("null")) + "." + parts[2],
		"eyJhbGciOiJub25lIn0." + parts[1] + ".", strings.Replace(token, ".", ".\r\n", 1),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		key, ours := made.ring.find(value)
		_, who, err := made.read(value, fuzzKey.Public())
		if (err == nil) != (value == token) {
			t.Fatalf("%q: %v", value, err)
		}
		if err == nil && (!ours || !fuzzKey.Public().(ed25519.PublicKey).Equal(key) || who.Account != "acc") {
			t.Fatalf("%q: %+v", value, who)
		}
	})
}

// What open says of a token is what the parser says that verifies it: they never speak
// of two different ones.
func FuzzOpen(f *testing.F) {
	_, token := fuzzTokens(f)
	part := base64.RawURLEncoding.EncodeToString
	f.Add(token)
	for _, head := range []string{`{"alg":"none"}`, `{"alg":"EdDSA","kid":"k","crit":["x"]}`, `{"alg":"a","ALG":"b"}`, `{}`, `null`, `{"alg":null}`} {
		for _, body := range []string{`{"iss":"i"}`, `{"iss":["i"]}`, `{"iss":"i","iss":"j"}`, `{"iss":"i"}{}`, `{"cnf":{}}`} {
			f.Add(part([]byte(head)) + "." + part([]byte(body)) + ".AAAA")
		}
	}
	parser := jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithJSONNumber())
	f.Fuzz(func(t *testing.T, value string) {
		e, ok := open(value)
		if !ok {
			return
		}
		other, _, err := parser.ParseUnverified(value, jwt.MapClaims{})
		if err != nil {
			return // refused there
		}
		iss, _ := other.Claims.GetIssuer()
		kid, _ := other.Header["kid"].(string)
		if e.Algorithm != other.Method.Alg() || e.KeyID != kid || e.Issuer != iss {
			t.Fatalf("%q: %+v, the parser says %v %q %q", value, e, other.Header, kid, iss)
		}
		if _, crit := other.Header["crit"]; crit && !e.odd {
			t.Fatalf("%q: crit is overlooked", value)
		}
	})
}

// Whatever a provider answers, each key that is taken of it is a public key of a strength
// that is believed, verifies the algorithms of its kind and no other, can be verified
// with, and says no to what it has not signed.
func FuzzParseSet(f *testing.F) {
	const (
		ec  = `{"kty":"EC","kid":"a","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","use":"sig"}`
		okp = `{"kty":"OKP","kid":"b","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","alg":"EdDSA"}`
	)
	rsaKey := `{"kty":"RSA","kid":"a","e":"AQAB","n":"` + strings.Repeat("_", 344) + `","key_ops":["verify"]}`
	for _, key := range []string{
		ec, okp, rsaKey, ec + "," + okp + "," + rsaKey, rsaKey + "," + rsaKey, strings.Repeat(ec+",", 100) + ec, `null`, `7`, `{}`, `[]`, `"x"`, "",
		`{"kty":"oct","kid":"a","k":"AAAA","alg":"HS256"}`, `{"kty":"RSA","kid":"a","alg":"HS256","e":"AQAB","n":"AAAA"}`,
		strings.Replace(ec, "f83O", "AAAA", 1), strings.Replace(ec, "P-256", "P-521", 1), strings.Replace(okp, "Ed25519", "X25519", 1),
		strings.Replace(rsaKey, "AQAB", "AQAAAAE", 1), strings.Replace(rsaKey, "RSA", "EC", 1), strings.Replace(ec, `"kty"`, `"KTY":"oct","kty"`, 1),
		strings.Replace(ec, `"kid":"a"`, `"kid":""`, 1), strings.Replace(rsaKey, `"verify"`, `"sign",7`, 1),
	} {
		f.Add([]byte(`{"keys":[` + key + `]}`))
	}
	for _, set := range []string{"", "null", "{}", `{"keys":null}`, `{"keys":{}}`, `{"keys":[]}{}`, " {\"keys\":[]}\n", `{"keys":[],"keys":[{}]}`, "\xef\xbb\xbf{\"keys\":[]}"} {
		f.Add([]byte(set))
	}
	kinds := map[string]string{
		"RS256": "RSA", "RS384": "RSA", "RS512": "RSA", "PS256": "RSA", "PS384": "RSA", "PS512": "RSA",
		"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519",
	}
	sizes := map[string]int{"P-256": 64, "P-384": 96, "P-521": 132, "Ed25519": 64}
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseSet(data)
		if err != nil && keys != nil {
			t.Fatalf("%q: %v, and keys", data, err)
		}
		n := 0
		for id, verifiers := range keys {
			if n += len(verifiers); id == "" || len(verifiers) == 0 {
				t.Fatalf("%q: %d keys %q", data, len(verifiers), id)
			}
			for _, v := range verifiers {
				kind := kindOf(v.key)
				if kind == "" || len(v.algorithms) == 0 {
					t.Fatalf("%q: %#v for %v", data, v.key, v.algorithms)
				}
				for _, name := range v.algorithms {
					method := jwt.GetSigningMethod(name)
					if kinds[name] != kind || method == nil {
						t.Fatalf("%q: %s for a key of %s", data, name, kind)
					}
					sum := bytes.Repeat([]byte{0xff}, sizes[kind])
					if kind == "RSA" {
						sum = make([]byte, v.key.(*rsa.PublicKey).Size())
					}
					if method.Verify("nobody signed it", sum, v.key) == nil {
						t.Fatalf("%q: %s takes %x", data, name, sum)
					}
				}
			}
		}
		if n > maxKeys {
			t.Fatalf("%d keys", n)
		}
	})
}

// kindOf is the kind of a public key, "" for one that is not to be believed.
func kindOf(key any) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits >= 2048 && bits <= 8192 && k.N.Bit(0) == 1 && k.E >= 3 && k.E%2 == 1 {
			return "RSA"
		}
	case *ecdsa.PublicKey:
		if _, err := k.ECDH(); err == nil { // a point on the curve, and not at infinity
			return k.Params().Name
		}
	case ed25519.PublicKey:
		if len(k) == ed25519.PublicKeySize {
			return "Ed25519"
		}
	}
	return ""
}
