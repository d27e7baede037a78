package billing

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"strings"
	"unicode"
)

// mod97 is the remainder of ISO 7064 MOD 97-10 over digits and letters, A as 10 to
// Z as 35; ok is false for any other character.
func mod97(s string) (rest int, ok bool) {
	for _, c := range []byte(s) {
		switch {
		case '0' <= c && c <= '9':
			rest = (rest*10 + int(c-'0')) % 97
		case 'A' <= c && c <= 'Z':
			rest = (rest*100 + int(c-'A') + 10) % 97
		default:
			return 0, false
		}
	}
	return rest, true
}

// given reports whether these are check digits that the rule gives out: 02 to 98.
// 00, 01 and 99 would pass it too.
func given(check string) bool {
	return check >= "02" && check <= "98" && strings.Trim(check, "0123456789") == ""
}

// compact takes out the blanks that people type, and lower case. Other letters than
// those of ASCII stay what they are, for the checks to find.
func compact(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return -1
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, s)
}

// grouped is how references and IBANs are printed: in groups of four.
func grouped(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// ParseReference reads a creditor reference (ISO 11649: RF, two check digits, 1 to
// 21 letters and digits) as people type it and returns its electronic form. It
// returns ErrReference for what is none, check digits that are never given out (00,
// 01, 99) among them.
func ParseReference(s string) (string, error) {
	ref := compact(s)
	if len(ref) < 5 || len(ref) > 25 || !strings.HasPrefix(ref, "RF") {
		return "", ErrReference
	}
	if !given(ref[2:4]) {
		return "", ErrReference
	}
	if rest, ok := mod97(ref[4:] + ref[:4]); !ok || rest != 1 {
		return "", ErrReference
	}
	return ref, nil
}

// makeReference is the creditor reference of a body of 1 to 21 letters and digits.
func makeReference(body string) (string, error) {
	rest, ok := mod97(body + "RF00")
	if !ok || body == "" || len(body) > 21 {
		return "", ErrReference
	}
	return fmt.Sprintf("RF%02d%s", 98-rest, body), nil
}

// referenceBodies is one more than the largest body of newReference: twelve digits,
// since some banks' screens take no letters.
var referenceBodies = big.NewInt(1_000_000_000_000)

// newReference is a reference that says nothing of whom it is for.
func newReference() (string, error) {
	n, err := rand.Int(rand.Reader, referenceBodies)
	if err != nil {
		return "", err
	}
	return makeReference(fmt.Sprintf("%012d", n))
}
