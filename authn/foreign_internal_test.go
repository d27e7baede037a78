package authn

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

var anyForeign = Foreign{PBKDF2SHA256: 600_000, PBKDF2SHA512: 210_000, Bcrypt: 12}

const (
	someDjango = "pbkdf2_sha256$600000$o3mxkQWc0hD1$+jxQN7tm+SJgdeYjgQUkDuJJ7Jc3RnZ/yUfKuOEKuFI="
	somePHC    = "$pbkdf2-sha256$900$....AAECAwQFBgcICQoLDA$fzHE21QelJl7w4nwAccFibjRRncLj5/L7bFxQfuArCQ"
	someBcrypt = "$2b$12$abcdefghijklmnopqrstuu2OlBNrjgr.0w9ZvCPY7vvM23JaCSe4O"
)

func TestForeign_RefusesWhatNobodyWrote(t *testing.T) {
	django := func(old, with string) string { return strings.Replace(someDjango, old, with, 1) }
	phc := func(old, with string) string { return strings.Replace(somePHC, old, with, 1) }
	crypt := func(old, with string) string { return strings.Replace(someBcrypt, old, with, 1) }
	for what, s := range map[string]string{
		"nothing":              "",
		"dollars":              "$$$$",
		"an unusable one":      "!Zx8kQpVb2mN4rT6yU1iO3aS5dF7gH9jK0lP2wE4",
		"one more iteration":   django("600000", "600001"),
		"endless":              django("600000", "99999999999999999999"),
		"no iteration":         django("600000", "0"),
		"fewer than none":      django("600000", "-5"),
		"a sign":               django("600000", "+600000"),
		"a zero in front":      django("600000", "0600000"),
		"a blank":              django("600000", " 600000"),
		"no salt":              django("o3mxkQWc0hD1", ""),
		"a long salt":          django("o3mxkQWc0hD1", strings.Repeat("a", 129)),
		"an odd salt":          django("o3mxkQWc0hD1", "a\nb"),
		"a short sum":          "pbkdf2_sha256$600000$o3mxkQWc0hD1$+jxQN7tm+SJgdeYjgQU=",
		"a sum of two blocks":  django("KuFI=", "KuFIAAAA"),
		"no padding":           django("KuFI=", "KuFI"),
		"another digest":       django("sha256", "sha1"),
		"something after it":   someDjango + "$",
		"a line end":           someDjango + "\n",
		"padding where none":   somePHC + "=",
		"more than it says":    phc("$900$", "$i=900,l=31$"),
		"no length":            phc("$900$", "$i=900,l=$"),
		"another parameter":    phc("$900$", "$i=900,x=32$"),
		"too dear":             phc("900", "600001"),
		"SHA-1":                phc("pbkdf2-sha256", "pbkdf2"),
		"SHA-512, too dear":    phc("sha256$900", "sha512$210001"),
		"bcrypt, too dear":     crypt("$12$", "$13$"),
		"bcrypt, the dearest":  crypt("$12$", "$31$"),
		"bcrypt, too cheap":    crypt("$12$", "$03$"),
		"bcrypt, no cost":      crypt("$12$", "$00$"),
		"bcrypt, a short cost": crypt("$12$", "$4$"),
		"bcrypt, a sign":       crypt("$12$", "$+9$"),
		"bcrypt 2x":            crypt("2b", "2x"),
		"bcrypt 2":             crypt("2b", "2"),
		"bcrypt, cut":          someBcrypt[:59],
		"bcrypt, longer":       someBcrypt + "a",
		"bcrypt, odd letters":  crypt("abcd", "ab=d"),
		"bcrypt of nobody":     "bcrypt" + someBcrypt,
		"bcrypt of SHA-1":      "bcrypt_sha1$" + someBcrypt,
		"a long string":        someDjango + strings.Repeat("A", 1<<20),
	} {
		if h, err := anyForeign.parse(s); err == nil || h.kind != "" {
			t.Errorf("%s was read as %+v, %v", what, h, err)
		}
	}
	for _, s := range []string{someDjango, somePHC, someBcrypt, "bcrypt$" + someBcrypt, "bcrypt_sha256$" + someBcrypt, phc("$900$", "$i=900$")} {
		if _, err := anyForeign.parse(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if _, err := (Foreign{}).parse(s); err == nil {
			t.Errorf("%s is read although no kind is named", s)
		}
	}
}

func FuzzForeign(f *testing.F) {
	for _, s := range []string{someDjango, somePHC, someBcrypt, "bcrypt$" + someBcrypt, "bcrypt_sha256$" + someBcrypt, "$pbkdf2-sha512$i=7,l=16$AA$AAAAAAAAAAAAAAAAAAAAAA"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := anyForeign.parse(s)
		if err != nil {
			if h.kind != "" || len(err.Error()) > 200 {
				t.Errorf("%q: %+v, %v", s, h, err)
			}
			return
		}
		if h.cost < 1 || h.cost > anyForeign.most(h.kind) {
			t.Errorf("%q costs %d", s, h.cost)
		}
		if h.kind != kindBcrypt && (len(h.sum) < 16 || len(h.sum) > 64 || len(h.salt) == 0 || h.digest) {
			t.Errorf("%q: %+v", s, h)
		}
		if h.kind == kindBcrypt {
			if cost, err := bcrypt.Cost([]byte(h.text)); cost != h.cost || err != nil {
				t.Errorf("%q: bcrypt reads a cost of %d, %v", s, cost, err)
			}
		}
		if _, ok := parseHash(s); ok {
			t.Errorf("%q is also ours", s)
		}
	})
}

// What is computed for nothing is computed.
func TestStretch_TheIdleHashIsOneThatBcryptReads(t *testing.T) {
	calls := 0
	s := stretch{bcrypt: func(hash, password []byte) error {
		calls++
		err := realStretch.bcrypt(hash, password)
		if !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
			t.Errorf("%s: %v", hash, err)
		}
		return err
	}}
	s.bcryptMatches(foreignHash{}, 5, "a password")
	s.bcryptMatches(foreignHash{kind: kindBcrypt, cost: 4, text: strings.Replace(someBcrypt, "$12$", "$04$", 1)}, 6, "a password")
	if calls != 4 {
		t.Errorf("%d calls", calls)
	}
}

func TestForeign_IsKeptWithinBounds(t *testing.T) {
	for _, c := range []struct{ given, want Foreign }{
		{Foreign{}, Foreign{}},
		{Foreign{-1, -1, -1}, Foreign{}},
		{Foreign{1, 2, 3}, Foreign{1, 2, 4}},
		{Foreign{1 << 30, 1 << 30, 31}, Foreign{10_000_000, 10_000_000, 16}},
	} {
		if got := NewPasswords(nil, PasswordConfig{Foreign: c.given}).cfg.Foreign; got != c.want {
			t.Errorf("%+v is %+v", c.given, got)
		}
	}
}
