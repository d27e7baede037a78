package chain

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Mark is a seal's place in its chain, and its hash.
type Mark struct {
	Number int64
	Hash   string
}

// Seal is one that is there, and what there is to say of the line that it is over.
type Seal struct {
	Mark
	// Line names the line to who reads a Finding.
	Line string
	// Gone: there is no line. Broken: what is there cannot be one.
	Gone, Broken bool
	// Over is the hash of a seal over the line after the seal with the hash previous, ""
	// for none. It is not called where the line is gone or broken.
	Over func(previous string) string
}

// Fault is what may be wrong with a seal and its line, besides its place. Which of the
// two was changed is told by the seal after it, which was made over the hash that once
// was there.
type Fault int

// What may be wrong.
const (
	Gone        Fault = iota // there is no line
	Broken                   // what is there cannot be a line
	LineChanged              // the line is another than was sealed
	SealChanged              // the hash is another than was made
	Unclear                  // one of these, or the seal before was changed
)

// Words are how a package says a fault: the rule that is broken, and what is to be seen,
// where "%s" is the line's name.
type Words map[Fault]struct{ Rule, Detail string }

// Finding is a place where a chain is not as it was made.
type Finding struct {
	Number             int64 // the seal's
	Line, Rule, Detail string
}

// Report is what Verify found.
type Report struct {
	Head     Mark      // the newest seal
	Sealed   int64     // how many seals there are
	Findings []Finding // the first 100
	More     int64     // how many there are beyond those
}

// maxFindings bounds a report, whatever happened to the log.
const maxFindings = 100

const (
	ruleNumbered = "seals are numbered from 1 without gaps"
	ruleNoted    = "the chain goes through the noted heads"
)

// Verify walks a chain from its first seal, and through the places that were noted. read
// reads up to Page seals after a number, in their order; none where there are no more.
func Verify(words Words, noted []Mark, read func(after int64) ([]Seal, error)) (Report, error) {
	v := verification{words: words, noted: map[int64][]string{}}
	for _, m := range noted {
		if m.Number > 0 { // an empty chain is part of every other
			v.noted[m.Number] = append(v.noted[m.Number], m.Hash)
		}
	}
	for after := int64(math.MinInt64); ; after = v.last.Number {
		seals, err := read(after)
		if err != nil {
			return Report{}, err
		}
		if len(seals) == 0 {
			break
		}
		for _, s := range seals {
			v.check(s)
		}
	}
	v.decide(Unclear)
	for _, number := range slices.Sorted(maps.Keys(v.noted)) {
		v.found(Finding{number, "", ruleNoted, "it was noted, and the chain does not have it"})
	}
	v.report.Head = v.last.Mark
	return v.report, nil
}

type verification struct {
	words  Words
	noted  map[int64][]string // hashes by number
	report Report
	last   Seal

	// undecided are what the hash of the last seal may have been, where it does not fit
	// its line: the next seal goes on from one of these, or from the one that is there.
	undecided []string
	// alone says that the seal before that one did fit.
	alone bool
}

func (v *verification) found(f Finding) {
	if len(v.report.Findings) == maxFindings {
		v.report.More++
		return
	}
	v.report.Findings = append(v.report.Findings, f)
}

func (v *verification) fault(s Seal, f Fault) {
	w := v.words[f]
	v.found(Finding{s.Number, s.Line, w.Rule, strings.ReplaceAll(w.Detail, "%s", s.Line)})
}

// decide reports a last seal that does not fit its line.
func (v *verification) decide(f Fault) {
	if len(v.undecided) > 0 {
		v.fault(v.last, f)
	}
	v.undecided = nil
}

func (v *verification) check(s Seal) {
	follows, alone := s.Number == v.last.Number+1, len(v.undecided) == 0
	var may []string // be the hash, by what the seal before may have been
	fits := false
	if follows && !s.Gone && !s.Broken {
		for i, previous := range append([]string{v.last.Hash}, v.undecided...) {
			may = append(may, s.Over(previous))
			if may[i] != s.Hash {
				continue
			}
			switch fits = true; {
			case i > 0:
				v.decide(SealChanged)
			case v.alone:
				v.decide(LineChanged)
			}
			break
		}
	}
	v.decide(Unclear)
	if !follows {
		v.found(Finding{s.Number, s.Line, ruleNumbered, fmt.Sprintf("it comes after seal %d", v.last.Number)})
	}
	switch {
	case s.Gone:
		v.fault(s, Gone)
	case s.Broken:
		v.fault(s, Broken)
	case follows && !fits: // after a gap nothing says what it should be
		// The first of them and the last: as if only this seal was touched, and as if all were.
		v.undecided, v.alone = slices.Compact([]string{may[0], may[len(may)-1]}), alone
	}
	for _, hash := range v.noted[s.Number] {
		if hash != s.Hash {
			v.found(Finding{s.Number, s.Line, ruleNoted, "its hash was another one when it was noted"})
		}
	}
	delete(v.noted, s.Number)
	v.report.Sealed++
	v.last = s
}
