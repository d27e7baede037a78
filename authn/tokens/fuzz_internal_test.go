package tokens

import (
	"bytes"
	"crypto/ed25519"
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
