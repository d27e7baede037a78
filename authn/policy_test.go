package authn

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckPassword(t *testing.T) {
	for _, c := range []struct {
		password string
		says     string // "" accepts it
	}{
		{"tall green giraffes", ""},
		{"xK9#mQ2$vL", ""},
		{"пароль у бабушки", ""},
		{"éèêëàâäîïô", ""},
		{"correct horse, wrong battery", ""},
		{"31415926535897932384", ""},
		{strings.Repeat("wörd ", 25) + "abc", ""}, // 128 characters, more bytes
		{"🦒🌵🚲🎻🧭🪁🧊🪐🫖🥁🦒🌵🪁🚲🎻🧊🧭🪐🥁🫖", ""},

		{"", "missing"},
		{"short-pw!", "less than 10"},
		{"éèêëàâäîï", "less than 10"},     // 9 characters, 18 bytes
		{"e\u0301e\u0300abcdxyz", "less"}, // two accents are no characters
		{strings.Repeat("word ", 25) + "word", "more than 128"},
		{strings.Repeat("x", 1<<20), "more than 128"},
		{"tall green\xff giraffes", "UTF-8"},
		{"tall green giraffes\n", "control"},
		{"tall\x00green giraffes", "control"},
		{"aaaaaaaaaaaa", "repeats"},
		{"AaAaAaAaAaAa", "repeats"},
		{"xyzxyzxyzxyz", "repeats"},
		{"1212121212121212121212", "repeats"},
		{"abcdefghijkl", "follow"},
		{"1234567890", "follow"},
		{"0987654321", "follow"},
		{"QWERTYUIOP", "follow"},
		{"poiuytrewq", "follow"},
		{"1q2w3e4r5t6y", "follow"},
		{"password123", "first that others"},
		{"Password1!", "first that others"},
		{"P@ssw0rd2026", "first that others"},
		{"!!!letmein!!!", "first that others"},
		{"correct horse battery staple", "first that others"},
		{"Summer2026!", "first that others"},
		{"1989-12-24", "no letter"},
		{"+49 30 1234567", "no letter"},
		{"ada@example.com", "name or the e-mail"},
		{"Ada@Example.com1", "name or the e-mail"},
		{"ada1815-12-10", "name or the e-mail"},
		{"Ada Lovelace", "name or the e-mail"},
		{"adalovelace!", "name or the e-mail"},
	} {
		err := checkPassword(c.password, "ada@example.com", "Ada Lovelace")
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%q: %v", c.password, err)
		case c.says != "" && (!errors.Is(err, ErrWeakPassword) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%q: got %v, want … %s …", c.password, err, c.says)
		case err != nil && len(c.password) > 3 && strings.Contains(err.Error(), c.password):
			t.Errorf("the refusal repeats the password: %v", err)
		}
	}
}

func TestCheckPassword_WithoutANameOrAnAddress(t *testing.T) {
	if err := checkPassword("31415926535897932384", "", ""); err != nil {
		t.Error(err)
	}
	if err := checkPassword("31415926535897932384", "42@example.com", "007"); err != nil {
		t.Error(err)
	}
}

func FuzzCheckPassword(f *testing.F) {
	f.Add("tall green giraffes", "ada@example.com", "Ada")
	f.Add("\xff\x00", "", "")
	f.Fuzz(func(t *testing.T, password, email, name string) {
		if err := checkPassword(password, email, name); err != nil && !errors.Is(err, ErrWeakPassword) {
			t.Error(err)
		}
		if n := normal(password); normal(n) != n {
			t.Errorf("%q has no one form", password)
		}
	})
}
