package billing

import (
	"fmt"
	"regexp"
	"strconv"
)

var currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)

// exponents are the decimal places of the currencies (ISO 4217) that have not two.
var exponents = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0,
	"UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
	"CLF": 4, "UYW": 4,
}

// FormatAmount is an amount in minor units as a customer types it into a transfer:
// 8900 USD is "89.00 USD", 500 JPY is "500 JPY".
func FormatAmount(minor int64, currency string) string {
	places, listed := exponents[currency]
	if !listed {
		places = 2
	}
	sign, digits := "", strconv.FormatInt(minor, 10)
	if minor < 0 {
		sign, digits = "-", digits[1:]
	}
	if places == 0 {
		return sign + digits + " " + currency
	}
	digits = fmt.Sprintf("%0*s", places+1, digits)
	cut := len(digits) - places
	return sign + digits[:cut] + "." + digits[cut:] + " " + currency
}
