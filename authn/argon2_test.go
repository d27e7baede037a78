package authn

import (
	"encoding/hex"
	"strings"
	"testing"
)

// The reference implementation's own test: argon2id, version 19, 64 MiB, two
// passes, one lane, "password" and "somesalt".
const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

func TestPasswordHash_IsArgon2id(t *testing.T) {
	p := NewPasswords(nil, PasswordConfig{})
	h, ok := parseHash(reference)
	if !ok {
		t.Fatal("the reference's string was refused")
	}
	for password, want := range map[string]bool{"password": true, "Password": false, "": false} {
		if got, err := p.matches(t.Context(), h, password); got != want || err != nil {
			t.Errorf("%q: %v, %v", password, got, err)
		}
	}
	if hex.EncodeToString(h.sum)[:8] != "09316115" {
		t.Errorf("sum %x", h.sum)
	}
	made, err := p.hash(t.Context(), "a long enough one")
	if err != nil || !strings.HasPrefix(made.String(), "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("made %s, %v", made, err)
	}
	if again, _ := p.hash(t.Context(), "a long enough one"); again.String() == made.String() {
		t.Error("two hashes of one password have the same salt")
	}
	if back, ok := parseHash(made.String()); !ok || back.weaker(p.cost) {
		t.Errorf("what was made is read as %+v, %v", back, ok)
	}
}

func TestParseHash_RefusesWhatItDidNotWrite(t *testing.T) {
	replace := func(old, with string) string { return strings.Replace(reference, old, with, 1) }
	for what, s := range map[string]string{
		"nothing":             "",
		"another algorithm":   replace("argon2id", "argon2i"),
		"another version":     replace("v=19", "v=16"),
		"four gigabytes":      replace("m=65536", "m=4194304"),
		"just too much":       replace("m=65536", "m=262145"),
		"more than 32 bits":   replace("m=65536", "m=4294967296"),
		"too little":          replace("m=65536", "m=7"),
		"many passes":         replace("t=2", "t=17"),
		"four thousand years": replace("t=2", "t=4294967295"),
		"no pass":             replace("t=2", "t=0"),
		"no lane":             replace("p=1", "p=0"),
		"many lanes":          replace("p=1", "p=17"),
		"a leading zero":      replace("t=2", "t=02"),
		"a sign":              replace("t=2", "t=+2"),
		"a blank":             replace("t=2", "t= 2"),
		"another order":       replace("m=65536,t=2", "t=2,m=65536"),
		"an extra parameter":  replace("p=1", "p=1,x=1"),
		"a short salt":        replace("c29tZXNhbHQ", "c29tZQ"),
		"no salt":             replace("c29tZXNhbHQ", ""),
		"padding":             replace("c29tZXNhbHQ", "c29tZXNhbHQ="),
		"loose bits":          replace("c29tZXNhbHQ", "c29tZXNhbHR"),
		"a short sum":         reference[:len(reference)-30],
		"something after it":  reference + "$",
		"a line end":          reference + "\n",
		"a long string":       reference + strings.Repeat("A", 1<<20),
	} {
		if h, ok := parseHash(s); ok {
			t.Errorf("%s was read as %+v", what, h.cost)
		}
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add(reference)
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$AAAAAAAAAAAAAAAAAAAAAA$AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		h, ok := parseHash(s)
		if !ok {
			return
		}
		if h.String() != s {
			t.Errorf("%q is written as %q", s, h)
		}
		if h.memory > mostCost.memory || h.passes > mostCost.passes || h.passes == 0 || h.lanes == 0 || h.lanes > mostCost.lanes {
			t.Errorf("%q costs %+v", s, h.cost)
		}
	})
}

func TestWeaker_CountsMemoryWorkAndLengths(t *testing.T) {
	full := passwordHash{cost: leastCost, salt: make([]byte, saltLength), sum: make([]byte, hashLength)}
	with := func(change func(*passwordHash)) passwordHash { h := full; change(&h); return h }
	for what, c := range map[string]struct {
		h    passwordHash
		want bool
	}{
		"the same":          {full, false},
		"stronger":          {with(func(h *passwordHash) { h.memory, h.passes = 65536, 3 }), false},
		"46 MiB, one pass":  {with(func(h *passwordHash) { h.memory, h.passes = 47104, 1 }), false},
		"12 MiB, 3 passes":  {with(func(h *passwordHash) { h.memory, h.passes = 12288, 3 }), true},
		"one pass less":     {with(func(h *passwordHash) { h.passes = 1 }), true},
		"a KiB less":        {with(func(h *passwordHash) { h.memory-- }), true},
		"a shorter salt":    {with(func(h *passwordHash) { h.salt = h.salt[1:] }), true},
		"a shorter sum":     {with(func(h *passwordHash) { h.sum = h.sum[1:] }), true},
		"no overflow there": {with(func(h *passwordHash) { h.memory, h.passes = 1<<31, 2 }), false},
	} {
		if got := c.h.weaker(leastCost); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestNewPasswords_KeepsTheCostWithinBounds(t *testing.T) {
	for what, c := range map[string]struct {
		cfg  PasswordConfig
		want cost
	}{
		"default": {PasswordConfig{}, leastCost},
		"less":    {PasswordConfig{Memory: 8, Passes: 1}, leastCost},
		"more":    {PasswordConfig{Memory: 65536, Passes: 3}, cost{65536, 3, 1}},
		"absurd":  {PasswordConfig{Memory: 1 << 31, Passes: 1 << 31}, cost{256 << 10, 16, 1}},
	} {
		if got := NewPasswords(nil, c.cfg).cost; got != c.want {
			t.Errorf("%s: %+v", what, got)
		}
	}
}
