package chain_test

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quitrent/quitrent/internal/chain"
)

// parts reads a text back, knowing nothing but that every part has its length before it.
func parts(b []byte) ([]string, error) {
	var out []string
	for len(b) > 0 {
		length, rest, ok := bytes.Cut(b, []byte(":"))
		n, err := strconv.Atoi(string(length))
		if !ok || err != nil || n < 0 || len(rest) <= n || rest[n] != ',' {
			return nil, errors.New("no part with its length")
		}
		out = append(out, string(rest[:n]))
		b = rest[n+1:]
	}
	return out, nil
}

// What reads back is what went in, so no two lists of parts have one text.
func FuzzText(f *testing.F) {
	f.Add("", "")
	f.Add("acc_1|credit|1", "|")
	f.Add("3:abc,|4:abc|,", "|")
	f.Add("\x00-0:-1:a-\xff", "-")
	f.Fuzz(func(t *testing.T, joined, separator string) {
		want := strings.Split(joined, separator)
		got, err := parts(chain.Text(nil).Add(want...))
		if !slices.Equal(got, want) || err != nil {
			t.Errorf("%q of %q, %v", got, want, err)
		}
	})
}

// The hash was made by another program.
func TestText_IsTheDocumentedOne(t *testing.T) {
	text := chain.Text(nil).Add("ä", "").Add("abc")
	if d := cmp.Diff("2:ä,0:,3:abc,", string(text)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := text.Hash(); got != "9b73551a312e8935132b852a2b7236b770922df56e9bc94b1f046e7118f27e85" {
		t.Errorf("hash %s", got)
	}
}
