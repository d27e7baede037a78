package authn

import (
	_ "embed"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The length of a password in characters (Unicode code points in the composed
// form, NFC). The longest leaves room for a sentence and none for an attack.
const (
	MinPassword = 10
	MaxPassword = 128
)

// minDigits is the least length of a password without letters: beyond dates,
// telephone numbers and cards.
const minDigits = 20

// maxPasswordBytes bounds what is looked at before it is known how many characters
// it has.
const maxPasswordBytes = 1024

// commonWords is one of the policy's lists: what people choose when they are asked
// for a password, without the digits and signs that they put around it.
//
//go:embed common.txt
var commonWords string

var common = func() map[string]bool {
	words := map[string]bool{}
	for _, w := range strings.Fields(commonWords) {
		words[w] = true
	}
	return words
}()

// normal is the form in which a password is hashed, so that an accent typed as a
// letter and a mark is the accent typed at once (NFC, as RFC 8265 asks).
func normal(password string) string { return norm.NFC.String(password) }

func weak(what string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrWeakPassword, fmt.Sprintf(what, args...))
}

// checkPassword applies the policy to a password that a user wants. What it says
// never repeats the password.
func checkPassword(password, email, name string) error {
	switch {
	case password == "":
		return weak("it is missing")
	case len(password) > maxPasswordBytes:
		return weak("it has more than %d characters", MaxPassword)
	case !utf8.ValidString(password):
		return weak("it is not valid UTF-8")
	case strings.ContainsFunc(password, unicode.IsControl):
		return weak("it has a control character, such as a tab or the end of a line")
	}
	p := []rune(strings.ToLower(normal(password)))
	switch {
	case len(p) < MinPassword:
		return weak("it has less than %d characters: a few words in a row are easy to keep in mind", MinPassword)
	case len(p) > MaxPassword:
		return weak("it has more than %d characters", MaxPassword)
	case repeats(p):
		return weak("it repeats the same few characters")
	case counts(p):
		return weak("its characters follow one another in the alphabet or on the keyboard")
	}
	core := trim(string(p))
	if core == "" && len(p) < minDigits {
		return weak("it has no letter: a date or a number like this is soon found")
	}
	if common[core] || common[string(p)] || common[plain(core)] {
		return weak("it is one of the first that others would try: a few words in a row are harder to guess")
	}
	email, name = strings.ToLower(normal(strings.TrimSpace(email))), strings.ToLower(normal(strings.TrimSpace(name)))
	local, domain, _ := strings.Cut(email, "@")
	for _, own := range []string{email, local, domain, name, strings.ReplaceAll(name, " ", "")} {
		if own != "" && (string(p) == own || core != "" && core == trim(own)) {
			return weak("it is the name or the e-mail address")
		}
	}
	return nil
}

// repeats reports that p is a piece of at most three characters, again and again.
func repeats(p []rune) bool {
	for n := 1; n <= 3; n++ {
		same := true
		for i := n; i < len(p) && same; i++ {
			same = p[i] == p[i-n]
		}
		if same {
			return true
		}
	}
	return false
}

// rows are what a finger or a child's song runs along.
var rows = []string{
	"abcdefghijklmnopqrstuvwxyz", "12345678901234567890", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm",
	"azertyuiopqsdfghjklmwxcvbn", "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0",
}

// counts reports that p runs along a row, forwards or backwards.
func counts(p []rune) bool {
	back := make([]rune, len(p))
	for i, c := range p {
		back[len(p)-1-i] = c
	}
	for _, row := range rows {
		if strings.Contains(row, string(p)) || strings.Contains(row, string(back)) {
			return true
		}
	}
	return false
}

// trim takes away the digits and signs at both ends.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
}

// plain undoes the exchange of letters for what looks like them, and drops the rest.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '0':
			return 'o'
		case '1', '!', '|':
			return 'i'
		case '3':
			return 'e'
		case '4', '@':
			return 'a'
		case '5', '$':
			return 's'
		case '7':
			return 't'
		}
		if unicode.IsLetter(r) {
			return r
		}
		return -1
	}, s)
}
