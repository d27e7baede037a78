package billing_test

import (
	"math"
	"testing"

	"github.com/quitrent/quitrent/billing"
)

func TestFormatAmount(t *testing.T) {
	for _, c := range []struct {
		minor    int64
		currency string
		want     string
	}{
		{8900, "USD", "89.00 USD"}, {0, "EUR", "0.00 EUR"}, {5, "CHF", "0.05 CHF"}, {50, "CHF", "0.50 CHF"}, {100, "CHF", "1.00 CHF"},
		{-1, "USD", "-0.01 USD"}, {-8900, "USD", "-89.00 USD"},
		{500, "JPY", "500 JPY"}, {0, "JPY", "0 JPY"}, {-7, "KRW", "-7 KRW"},
		{1, "KWD", "0.001 KWD"}, {12345, "KWD", "12.345 KWD"}, {-999, "BHD", "-0.999 BHD"}, {1, "CLF", "0.0001 CLF"},
		{1234, "XYZ", "12.34 XYZ"}, {1234, "", "12.34 "},
		{math.MaxInt64, "USD", "92233720368547758.07 USD"}, {math.MinInt64, "USD", "-92233720368547758.08 USD"},
		{math.MinInt64, "JPY", "-9223372036854775808 JPY"}, {math.MinInt64, "KWD", "-9223372036854775.808 KWD"},
	} {
		if got := billing.FormatAmount(c.minor, c.currency); got != c.want {
			t.Errorf("%d %s is %q, want %q", c.minor, c.currency, got, c.want)
		}
	}
}
