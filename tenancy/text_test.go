package tenancy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/quitrent/quitrent/tenancy"
)

func TestCheckText_RefusesWhatIsNotReadAsItIsWritten(t *testing.T) {
	for name, s := range map[string]string{
		"a NUL": "\x00", "a line break": "\n", "a C1 control": "\u0085", "invalid UTF-8": "\xff",
		"right-to-left override": "\u202e", "right-to-left isolate": "\u2067", "left-to-right mark": "\u200e",
		"zero width space": "\u200b", "byte order mark": "\ufeff", "soft hyphen": "\u00ad", "word joiner": "\u2060",
		"tag letter": "\U000e0061", "line separator": "\u2028", "paragraph separator": "\u2029",
	} {
		for _, text := range []string{s, "a" + s, s + "a", "a" + s + "ü"} {
			if err := tenancy.CheckText("name", text, 200); !errors.Is(err, tenancy.ErrInvalid) || strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestCheckText_TakesEveryScript(t *testing.T) {
	for _, s := range []string{
		"", "Zoë O'Neill-Đặng", "Ada\u00a0Lovelace", "陳大文", "עדה לאבלייס", "ada\u0308", "€ 5 – ½",
		"می\u200cخواهم",                   // Persian, with a non-joiner
		"ශ්\u200dරී",                      // Sinhala, with a joiner
		"👩\u200d💻", "❤\ufe0f", "🇦🇹", "1⃣", // emoji
		"\u0600١٢", "\u06dd٢", // signs of Arabic that print
	} {
		if err := tenancy.CheckText("name", s, 200); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}
