package prices

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/tenancy"
)

// What is stored today must be read by the program of tomorrow.
func TestBasis_HasTheFormThatItHad(t *testing.T) {
	for want, b := range map[string]basis{
		`{"amount":5,"operation":"chat","version":1}`: {Amount: 5, Operation: "chat", Version: 1},
		`{"account":"acc_1","amount":5,"inputs":{"a":1,"b":0},"operation":"<chat & ü>","version":12}`: {
			Account: "acc_1", Amount: 5, Inputs: map[string]int64{"b": 0, "a": 1}, Operation: "<chat & ü>", Version: 12,
		},
	} {
		if got := b.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got, err := parseBasis(want); cmp.Diff(b, got) != "" || err != nil {
			t.Errorf("%s: %+v, %v", want, got, err)
		}
	}
}

func TestBasis_IsReadInItsOneFormOnly(t *testing.T) {
	for _, s := range []string{
		"", "null", "{}", "[]", "5", `"x"`,
		`{"amount":5,"operation":"chat","version":0}`,
		`{"amount":-5,"operation":"chat","version":1}`,
		`{"amount":5,"operation":"","version":1}`,
		`{"amount":5,"operation":"ch\nat","version":1}`,
		`{"amount":5,"operation":"ch\"at","version":1}`,
		`{"amount":5,"operation":"chat","version":1} `,
		`{"amount": 5,"operation":"chat","version":1}`,
		`{"operation":"chat","amount":5,"version":1}`,
		`{"amount":5,"operation":"chat","version":1,"version":1}`,
		`{"amount":5,"amount":6,"operation":"chat","version":1}`,
		`{"Amount":5,"operation":"chat","version":1}`,
		`{"amount":5.0,"operation":"chat","version":1}`,
		`{"amount":5e0,"operation":"chat","version":1}`,
		`{"amount":05,"operation":"chat","version":1}`,
		`{"amount":9223372036854775808,"operation":"chat","version":1}`,
		`{"amount":5,"operation":"\u0063hat","version":1}`,
		"{\"amount\":5,\"operation\":\"ch\xffat\",\"version\":1}",
		`{"account":"","amount":5,"operation":"chat","version":1}`,
		`{"account":"a b","amount":5,"operation":"chat","version":1}`,
		`{"amount":5,"inputs":{},"operation":"chat","version":1}`,
		`{"amount":5,"inputs":null,"operation":"chat","version":1}`,
		`{"amount":5,"inputs":{"b":1,"a":1},"operation":"chat","version":1}`,
		`{"amount":5,"inputs":{"a":-1},"operation":"chat","version":1}`,
		`{"amount":5,"inputs":{"a b":1},"operation":"chat","version":1}`,
		`{"amount":5,"inputs":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1},"operation":"chat","version":1}`,
		`{"amount":5,"operation":"chat","version":1,"why":"because"}`,
		`{"amount":5,"operation":"` + strings.Repeat("x", 201) + `","version":1}`,
	} {
		if b, err := parseBasis(s); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v", s, b, err)
		}
	}
}

func TestBasis_IsNeverLongerThanAnEntryHolds(t *testing.T) {
	b := basis{
		Account: tenancy.AccountID(strings.Repeat("a", 64)), Amount: math.MaxInt64, Inputs: map[string]int64{},
		Operation: strings.Repeat("x", maxOperation), Version: math.MaxInt64,
	}
	for i := range maxComponents {
		b.Inputs[strings.Repeat(string(rune('a'+i)), 32)] = math.MaxInt64
	}
	if n := len(b.String()); n > maxBasis {
		t.Errorf("%d bytes", n)
	}
	if got, err := parseBasis(b.String()); cmp.Diff(b, got) != "" || err != nil {
		t.Error(got, err)
	}
	// No character that an operation may have is written longer than it is.
	for r := rune(0); r <= 0x1ffff; r++ {
		s := string(r)
		if checkOperation(s) != nil {
			continue
		}
		if got := (basis{Operation: s}).String(); got != `{"amount":0,"operation":"`+s+`","version":0}` {
			t.Errorf("%U: %s", r, got)
		}
	}
}

func TestExplain_AgreesWithEveryQuoteAndWithNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := anyPrice(t).normal()
		if err != nil {
			return
		}
		v := Version{Operation: "chat", Number: rapid.Int64Range(1, 9).Draw(t, "number"), Price: p, EffectiveAt: time.Unix(0, 0)}
		inputs := anyInputs(t, p)
		amount, err := total(p, inputs)
		if err != nil {
			return
		}
		b, err := parseBasis(v.basis(inputs, amount).String())
		if err != nil {
			t.Fatal(err)
		}
		if e := v.explain(b); !e.Agrees || e.Amount != amount || strings.Contains(e.Text, "agree") {
			t.Fatalf("%+v", e)
		}
		forged := b
		forged.Amount = amount ^ 1
		if e := v.explain(forged); e.Agrees || e.Amount != amount || !strings.Contains(e.Text, "not agree") {
			t.Fatalf("another amount: %+v", e)
		}
		more := map[string]int64{"never": 1}
		for k, n := range b.Inputs {
			more[k] = n
		}
		forged = b
		forged.Inputs = more
		if e := v.explain(forged); e.Agrees || !strings.Contains(e.Text, "not agree") {
			t.Fatalf("an input that is not priced: %+v", e)
		}
		if len(b.Inputs) > 0 {
			forged.Inputs = nil
			if e := v.explain(forged); e.Agrees || e.Amount != 0 || !strings.Contains(e.Text, "do not follow") {
				t.Fatalf("no inputs: %+v", e)
			}
		}
		if e := (Version{Operation: "chat", Number: v.Number, Ended: true}).explain(b); e.Agrees || e.Amount != 0 || !strings.Contains(e.Text, "do not follow") {
			t.Fatalf("no price: %+v", e)
		}
	})
}

func FuzzBasis(f *testing.F) {
	f.Add(`{"amount":5,"operation":"chat","version":1}`, "chat", "input_tokens", int64(5), int64(1))
	f.Add(`{"account":"acc_1","amount":5,"inputs":{"a":1},"operation":"chat","version":1}`, "<&>", "a", int64(0), int64(math.MaxInt64))
	f.Add("{\"amount\":5,\"operation\":\"\u2028\",\"version\":1}", "ü", "b.c", int64(-1), int64(0))
	f.Fuzz(func(t *testing.T, text, operation, input string, n, version int64) {
		// What is read is what was written, and can be read nowhere else.
		if b, err := parseBasis(text); err == nil {
			if b.String() != text || !json.Valid([]byte(text)) || len(text) > maxBasis {
				t.Errorf("%q is read as %q", text, b)
			}
		} else if !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		// What is written is read.
		b := basis{Amount: n, Inputs: map[string]int64{input: n}, Operation: operation, Version: version}
		if checkOperation(operation) != nil || !inputForm.MatchString(input) || n < 0 || version < 1 {
			return
		}
		if got, err := parseBasis(b.String()); err != nil || cmp.Diff(b, got) != "" {
			t.Errorf("%s: %+v, %v", b, got, err)
		}
	})
}
