package billing

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"
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

// compact takes out the blanks that people type, and lower case.
func compact(s string) string { return strings.ToUpper(strings.Join(strings.Fields(s), "")) }

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
	check := ref[2:4]
	if check < "02" || check > "98" || strings.Trim(check, "0123456789") != "" {
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

// cleanIBAN checks the length and the check digits of an IBAN (ISO 13616).
func cleanIBAN(s string) (string, error) {
	iban := compact(s)
	if len(iban) < 15 || len(iban) > 34 {
		return "", errors.New("an IBAN has 15 to 34 characters")
	}
	if rest, ok := mod97(iban[4:] + iban[:4]); !ok || rest != 1 {
		return "", errors.New("the IBAN's check digits do not match: it is mistyped")
	}
	return iban, nil
}
