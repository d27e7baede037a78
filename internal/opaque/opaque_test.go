package opaque

import (
	"strings"
	"testing"
)

func TestNew_EveryOneIsNewAndUsesTheWholeAlphabet(t *testing.T) {
	seen, used := map[string]bool{}, map[byte]bool{}
	for range 1000 {
		token := New()
		hash, ok := Hash(token)
		if !ok || seen[token] || len(token) != tokenLength || len(hash) != 64 || strings.Contains(hash, token) {
			t.Fatalf("%q", token)
		}
		seen[token] = true
		for i := range len(token) {
			used[token[i]] = true
		}
	}
	if len(used) != len(alphabet) {
		t.Errorf("%d characters are used", len(used))
	}
}

// SHA-256 as FIPS 180-4 has it: hashes that are stored must be found by any later
// version.
func TestHash_IsTheOneThatIsStored(t *testing.T) {
	const want = "b918b22a1581fedd39058065f00e6aad35bd561f20257151131a1ddcd21803de"
	if got, ok := Hash(strings.Repeat("0", 43)); got != want || !ok {
		t.Errorf("%s, %v", got, ok)
	}
}

// What is taken for a token is 43 letters and digits; nothing else goes to the
// database.
func FuzzToken(f *testing.F) {
	for _, seed := range []string{"", "x", New(), strings.Repeat("0", 43), strings.Repeat("0", 42), strings.Repeat("é", 21) + "0", strings.Repeat("0", 42) + "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		hash, ok := Hash(s)
		want := len(s) == 43 && strings.Trim(s, alphabet) == "" && !strings.ContainsAny(s, "\x00 -_")
		if ok != want || ok != (len(hash) == 64) {
			t.Errorf("%q: %v %q", s, ok, hash)
		}
	})
}

// Taking a byte modulo 62 would draw 8 of the characters a quarter more often. The
// bounds are nearly six standard deviations away.
func TestRandom_FavoursNoCharacter(t *testing.T) {
	const each = 5000
	s := Random(62 * each)
	if len(s) != 62*each {
		t.Fatalf("%d characters", len(s))
	}
	for _, c := range alphabet {
		if n := strings.Count(s, string(c)); n < each*92/100 || n > each*108/100 {
			t.Errorf("%q came %d times, about %d are expected", c, n, each)
		}
	}
}
