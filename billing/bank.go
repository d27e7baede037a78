package billing

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/quitrent/quitrent/tenancy"
)

// Bank is an account at a bank, as a customer types it into a transfer.
type Bank struct {
	Holder string `json:"holder"`
	// IBAN is the account's number (ISO 13616), with or without blanks.
	IBAN string `json:"iban"`
	// BIC names the bank (ISO 9362). Often not needed.
	BIC string `json:"bic,omitempty"`
}

var bicForm = regexp.MustCompile(`^[A-Z]{6}[0-9A-Z]{2}([0-9A-Z]{3})?$`)

func (b *Bank) clean() (err error) {
	b.Holder = strings.TrimSpace(b.Holder)
	if b.Holder == "" {
		return errors.New("the bank account's holder is missing")
	}
	if err := tenancy.CheckText("bank account's holder", b.Holder, 140); err != nil {
		return err
	}
	if b.BIC = compact(b.BIC); b.BIC != "" && !bicForm.MatchString(b.BIC) {
		return errors.New("a BIC has 8 or 11 letters and digits, the first six letters")
	}
	b.IBAN, err = cleanIBAN(b.IBAN)
	return err
}

// ibanLengths is how long the IBANs of a country are (the registry of ISO 13616,
// release 101).
var ibanLengths = map[string]int{
	"AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
	"BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
	"ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
	"HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
	"LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
	"MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
	"PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
	"SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
	"YE": 30,
}

// cleanIBAN checks the check digits of an IBAN (ISO 13616) and its length, and returns
// its electronic form. A country that is not registered has 15 to 34 characters: some
// use IBANs all the same. What a country's banks make of the rest is not checked.
func cleanIBAN(s string) (string, error) {
	iban := compact(s)
	if len(iban) < 15 || len(iban) > 34 {
		return "", errors.New("an IBAN has 15 to 34 characters")
	}
	if strings.Trim(iban[:2], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "", errors.New("an IBAN begins with the two letters of a country")
	}
	if n, ok := ibanLengths[iban[:2]]; ok && n != len(iban) {
		return "", fmt.Errorf("an IBAN of %s has %d characters, this one has %d", iban[:2], n, len(iban))
	}
	if !given(iban[2:4]) {
		return "", errors.New("the IBAN's check digits are none that are given out: it is mistyped")
	}
	if rest, ok := mod97(iban[4:] + iban[:4]); !ok || rest != 1 {
		return "", errors.New("the IBAN's check digits do not match: it is mistyped")
	}
	return iban, nil
}
