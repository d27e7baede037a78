package mailed

import (
	"strings"
	"testing"
)

func TestNewToken_EveryOneIsNewAndUsesTheWholeAlphabet(t *testing.T) {
	seen, used := map[string]bool{}, map[byte]bool{}
	for range 1000 {
		token := NewToken()
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
	for _, seed := range []string{"", "x", NewToken(), strings.Repeat("0", 43), strings.Repeat("0", 42), strings.Repeat("é", 21) + "0", strings.Repeat("0", 42) + "\x00"} {
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

func FuzzMask(f *testing.F) {
	for _, seed := range []string{"bob@example.com", "b@example.com", "é@example.com", "éa@example.com"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, email string) {
		local, domain, ok := strings.Cut(email, "@")
		if !ok || local == "" {
			return
		}
		got := Mask(email)
		shown, rest, _ := strings.Cut(got, "•••@")
		if rest != domain || len([]rune(shown)) > 1 || len([]rune(local)) == 1 && shown != "" {
			t.Errorf("%q: %q", email, got)
		}
	})
}

func TestIsLocale_TakesWhatCanBeATag(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "de": true, "pt-BR": true, "zh-Hant-TW": true, strings.Repeat("a", 35): true,
		strings.Repeat("a", 36): false, "de_AT": false, "de\r\nBcc: x": false, "é": false, "de AT": false,
	} {
		if IsLocale(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}
