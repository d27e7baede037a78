package tenancy

import (
	"fmt"
	"net/mail"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// CheckText refuses, with ErrInvalid, what no database keeps and no page shows: text over
// limit bytes, invalid UTF-8, control characters, line separators, and the invisible
// characters by which a text reads as another one (U+202E, U+200B, U+FEFF). The joiners
// U+200C and U+200D pass: scripts and emoji are written with them. It is exported for the
// packages above this one.
func CheckText(what, s string, limit int) error {
	if len(s) > limit {
		return fmt.Errorf("%w: the %s is longer than %d bytes", ErrInvalid, what, limit)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: the %s is not valid UTF-8", ErrInvalid, what)
	}
	if strings.ContainsFunc(s, hides) {
		return fmt.Errorf("%w: the %s has a control character or an invisible one", ErrInvalid, what)
	}
	return nil
}

// hides reports that r is no part of a text as it is read. Of the format characters (Cf)
// a few signs of Arabic and Syriac leave a mark, and the joiners shape what is beside them.
func hides(r rune) bool {
	if r <= unicode.MaxASCII {
		return unicode.IsControl(r)
	}
	const nonJoiner, joiner = '\u200c', '\u200d'
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) &&
		r != nonJoiner && r != joiner && !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

// plainText reports that CheckText has nothing to say of s, which is short and of
// printable ASCII.
func plainText(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(s) <= maxName
}

// ParseName checks the name of an account or a person, which may come from outside,
// and returns it as it is kept: 1 to 200 bytes that show something. ErrInvalid.
func ParseName(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", fmt.Errorf("%w: the name is missing", ErrInvalid)
	}
	if !strings.ContainsFunc(s, shows) {
		return "", fmt.Errorf("%w: the name has nothing that can be read", ErrInvalid)
	}
	return s, CheckText("name", s, 200)
}

// shows reports that r leaves a mark on paper, which a name needs one of.
func shows(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) }

// ParseEmail checks an e-mail address as people type it, which may come from outside,
// and returns it with the form under which it is unique among users and invitations:
// neither letter case nor how an accent was typed (NFC) tells two people apart.
// ErrInvalid.
func ParseEmail(s string) (email, key string, err error) {
	typed := strings.TrimSpace(s)
	s = norm.NFC.String(typed)
	bad := fmt.Errorf("%w: %q is not an e-mail address", ErrInvalid, s)
	if s == "" {
		return "", "", fmt.Errorf("%w: the e-mail address is missing", ErrInvalid)
	}
	if err := CheckText("e-mail address", s, 254); err != nil {
		return "", "", err
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || strings.ContainsFunc(typed, oddInAddress) {
		return "", "", bad // also a display name or a quoted local part
	}
	if _, domain, _ := strings.Cut(s, "@"); !strings.Contains(domain, ".") {
		return "", "", bad
	}
	return s, strings.ToLower(s), nil
}

// oddInAddress finds what no mailbox in use has and what makes two addresses look
// alike or count as one: quotes, the brackets of an address literal, spaces of any
// kind, invisible characters, and the two letters (U+0130, U+212A) that become
// plain ASCII when their case is folded.
func oddInAddress(r rune) bool {
	return strings.ContainsRune("\"[]", r) || unicode.In(r, unicode.Z, unicode.Cf) ||
		r > unicode.MaxASCII && unicode.ToLower(r) <= unicode.MaxASCII
}

// ParseZone checks the name of an IANA time zone, which may come from outside; "" is
// UTC. What else the machine's folder of zones holds is refused: its own zone, the
// variants that count leap seconds. ErrInvalid.
func ParseZone(s string) (string, error) {
	if s == "" {
		return "UTC", nil
	}
	bad := fmt.Errorf("%w: the time zone is not one of IANA's, such as Europe/Vienna", ErrInvalid)
	first, _, _ := strings.Cut(s, "/")
	if len(s) > 64 || s != path.Clean(s) || slices.Contains([]string{"Local", "localtime", "posixrules", "Factory", "posix", "right"}, first) {
		return "", bad
	}
	if _, err := time.LoadLocation(s); err != nil {
		return "", bad
	}
	return s, nil
}
