package invitations

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestToken_EveryOneIsNewAndUsesTheWholeAlphabet(t *testing.T) {
	seen, used := map[Token]bool{}, map[byte]bool{}
	for range 1000 {
		token := newToken()
		hash, ok := token.hash()
		if !ok || seen[token] || len(token) != tokenLength || len(hash) != 64 || strings.Contains(hash, string(token)) {
			t.Fatalf("%q", string(token))
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

func TestToken_IsShownByStringConversionAlone(t *testing.T) {
	token := newToken()
	text, err := json.Marshal(map[string]any{"a": token, "b": Issued{Token: token}, "c": Accept{Token: token}, "d": Message{Token: token}})
	said := string(text) + fmt.Sprint(token, token.LogValue(), Issued{Token: token}.LogValue()) + fmt.Sprintf("%v%s%q%x%d%#v", token, token, token, token, token, token) + token.String()
	if strings.Contains(said, string(token)) || strings.Contains(said, fmt.Sprintf("%x", string(token))) || err != nil {
		t.Errorf("%s, %v", said, err)
	}
}

// What is taken for a token is 43 letters and digits; nothing else goes to the
// database.
func FuzzToken(f *testing.F) {
	for _, seed := range []string{"", "x", string(newToken()), strings.Repeat("0", 43), strings.Repeat("0", 42), strings.Repeat("é", 21) + "0", strings.Repeat("0", 42) + "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		hash, ok := Token(s).hash()
		want := len(s) == 43 && strings.Trim(s, alphabet) == "" && !strings.ContainsAny(s, "\x00 -_")
		if ok != want || ok != (len(hash) == 64) {
			t.Errorf("%q: %v %q", s, ok, hash)
		}
	})
}

func FuzzMasked(f *testing.F) {
	for _, seed := range []string{"bob@example.com", "b@example.com", "é@example.com", "éa@example.com"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, email string) {
		local, domain, ok := strings.Cut(email, "@")
		if !ok || local == "" {
			return
		}
		got := masked(email)
		shown, rest, _ := strings.Cut(got, "•••@")
		if rest != domain || len([]rune(shown)) > 1 || len([]rune(local)) == 1 && shown != "" {
			t.Errorf("%q: %q", email, got)
		}
	})
}
