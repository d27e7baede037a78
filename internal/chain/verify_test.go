package chain_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/internal/chain"
)

// A link is a line with its seal. hash is the seal's.
type link struct {
	number     int64
	line, hash string
}

func over(line string) func(string) string {
	return func(previous string) string { return chain.Text(nil).Add(previous, line).Hash() }
}

// chainOf is one over n lines.
func chainOf(n int) []link {
	var links []link
	hash := ""
	for i := range n {
		line := "line" + strconv.Itoa(i+1)
		hash = over(line)(hash)
		links = append(links, link{int64(i + 1), line, hash})
	}
	return links
}

var words = chain.Words{
	chain.Gone: {"there", "%s is gone"}, chain.Broken: {"line", "%s is broken"}, chain.LineChanged: {"line", "%s is another"},
	chain.SealChanged: {"seal", "that of %s is another"}, chain.Unclear: {"line", "%s or a seal is another"},
}

// verify reads the links by the page of two.
func verify(t rapid.TB, links []link, noted ...chain.Mark) chain.Report {
	r, err := chain.Verify(words, noted, func(after int64) (page []chain.Seal, err error) {
		for _, l := range links {
			if l.number > after && len(page) < 2 {
				page = append(page, chain.Seal{
					Mark: chain.Mark{Number: l.number, Hash: l.hash}, Line: l.line, Gone: l.line == "", Broken: l.line == "broken", Over: over(l.line),
				})
			}
		}
		return page, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func head(links []link) chain.Mark {
	last := links[len(links)-1]
	return chain.Mark{Number: last.number, Hash: last.hash}
}

func TestVerify_SaysWhatIsNotAsItWasMade(t *testing.T) {
	const heads = " the chain goes through the noted heads: "
	for _, test := range []struct {
		what string
		do   func(links []link) []link
		want []string
	}{
		{"nothing", func(l []link) []link { return l }, nil},
		{"a line changed", func(l []link) []link { l[2].line = "x"; return l }, []string{"3 x line: x is another"}},
		{"a seal changed", func(l []link) []link { l[2].hash = "x"; return l }, []string{"3 line3 seal: that of line3 is another"}},
		{"a line and its seal", func(l []link) []link { l[2].line, l[2].hash = "x", "x"; return l },
			[]string{"3 x line: x or a seal is another", "4 line4 line: line4 or a seal is another"}},
		{"a line gone", func(l []link) []link { l[2].line = ""; return l }, []string{"3  there:  is gone"}},
		{"a line broken", func(l []link) []link { l[2].line = "broken"; return l }, []string{"3 broken line: broken is broken"}},
		{"both gone", func(l []link) []link { return slices.Delete(l, 2, 3) }, []string{"4 line4 seals are numbered from 1 without gaps: it comes after seal 2"}},
		{"the last line", func(l []link) []link { l[4].line = "x"; return l }, []string{"5 x line: x or a seal is another"}},
		{"the last gone", func(l []link) []link { return l[:4] }, []string{"5 " + heads + "it was noted, and the chain does not have it"}},
		{"another chain", func([]link) []link {
			l := chainOf(6)[1:]
			hash := ""
			for i := range l {
				hash = over(l[i].line)(hash)
				l[i].number, l[i].hash = int64(i+1), hash
			}
			return l
		}, []string{"5 line6" + heads + "its hash was another one when it was noted"}},
	} {
		links := chainOf(5)
		noted := []chain.Mark{head(links), {}}
		var got []string
		r := verify(t, test.do(links), noted...)
		for _, f := range r.Findings {
			got = append(got, fmt.Sprintf("%d %s %s: %s", f.Number, f.Line, f.Rule, f.Detail))
		}
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.what, d)
		}
	}
}

// Whatever is changed without knowing the hashes, the first place that is named is the
// first that was changed, and of a sound chain nothing is said.
func TestVerify_NamesTheFirstPlaceThatWasChanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "lines")
		links := chainOf(n)
		noted := head(links)
		first := int64(n + 1)
		for i := range rapid.IntRange(0, 4).Draw(t, "changes") {
			at := rapid.IntRange(0, n-1).Draw(t, "at")
			first = min(first, int64(at+1))
			switch rapid.SampledFrom([]string{"line", "seal", "gone"}).Draw(t, "what") {
			case "line":
				links[at].line = fmt.Sprint("other", i)
			case "seal":
				links[at].hash = fmt.Sprint("other", i)
			case "gone":
				links[at].line = ""
			}
		}
		r := verify(t, links, noted)
		if r.Sealed != int64(n) || r.Head != head(links) {
			t.Fatalf("%d seals, head %+v", r.Sealed, r.Head)
		}
		named := int64(n + 1)
		for _, f := range r.Findings {
			named = min(named, f.Number)
		}
		if named != first {
			t.Fatalf("%d is named first, and %d was changed: %+v", named, first, r.Findings)
		}
	})
}

func TestVerify_EndsWithTheReadersError(t *testing.T) {
	shut := errors.New("shut")
	_, err := chain.Verify(words, nil, func(int64) ([]chain.Seal, error) { return nil, shut })
	if !errors.Is(err, shut) {
		t.Error(err)
	}
}
