package mailed

import (
	"strings"
	"testing"
)

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
