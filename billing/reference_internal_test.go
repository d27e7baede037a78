package billing

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/internal/dbtest"
)

// vectors reads a file of the collection of vectors that may lie beside the checkout.
func vectors(t *testing.T, name string, v any) bool {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return false
		}
		dir = filepath.Dir(dir)
	}
	b, err := os.ReadFile(filepath.Join(dir, "..", "shared", "samples", "bank", "vectors", name))
	if err != nil {
		t.Log("only the test's own vectors:", err)
		return false
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
	return true
}

func TestParseReference(t *testing.T) {
	valid := []string{
		"RF03SW3EZRUFBK", "RF18539007547034", "rf18 5390 0754 7034", " RF18\t5390 0754 7034\n", "RF18\u00a05390 0754 7034", "RF097", "RF08P",
		"RF91B334BOPQE39D902DC", "RF2939KX5US7LX3PAN1BNWC0H",
	}
	invalid := []string{
		"", "RF", "RF18", "RF18 5390 0754 7035", "RF81 5390 0754 7034", "FR18539007547034", "18539007547034", "RF0072", "RF0154",
		"RF991X", "RFA8FN3DD938494", "RF18-5390-0754-7034", "RF18539007547034\x00", "RF1853900754703４", "ＲＦ18539007547034", "RF03ſW3EZRUFBK", "RF03SW3EZRUFB\u212a",
		"RF2939KX5US7LX3PAN1BNWC0H0", "DE89370400440532013000",
	}
	var more struct {
		Valid, Invalid []string
		Generate       [][2]string
		Fail           []string `json:"generate_must_fail"`
		Never          []string `json:"mod97_passes_but_check_digits_00_01_99_are_never_generated"`
	}
	more.Generate, more.Fail = [][2]string{{"539007547034", "RF18539007547034"}, {"7", "RF097"}}, []string{"", "abc", "1-2", strings.Repeat("1", 22)}
	if vectors(t, "rf_iso11649.json", &more) && len(more.Valid) < 100 {
		t.Errorf("only %d vectors", len(more.Valid))
	}
	for _, s := range append(valid, more.Valid...) {
		ref, err := ParseReference(s)
		if want := strings.ToUpper(strings.Join(strings.Fields(s), "")); ref != want || err != nil {
			t.Errorf("%q: %q, %v", s, ref, err)
		}
	}
	for _, s := range append(append(invalid, more.Invalid...), more.Never...) {
		if ref, err := ParseReference(s); !errors.Is(err, ErrReference) || ref != "" {
			t.Errorf("%q: %q, %v", s, ref, err)
		}
	}
	for _, g := range more.Generate {
		if ref, err := makeReference(g[0]); ref != g[1] || err != nil {
			t.Errorf("%q makes %q, %v", g[0], ref, err)
		}
	}
	for _, body := range more.Fail {
		if ref, err := makeReference(body); err == nil {
			t.Errorf("%q makes %q", body, ref)
		}
	}
}

// What is made is read back, and has check digits of 02 to 98, whatever the body.
func TestReference_WhatIsMadeIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.StringMatching(`[0-9A-Z]{1,21}`).Draw(t, "body")
		ref, err := makeReference(body)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{ref, grouped(ref), strings.ToLower(ref)} {
			if got, err := ParseReference(s); got != ref || err != nil {
				t.Fatalf("%q: %q, %v", s, got, err)
			}
		}
	})
}

// A reference of ours is all digits. One digit that is wrong is always found, and so
// are two neighbours that changed places.
func TestReference_EveryWrongDigitAndEverySwapIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ref, err := makeReference(fmt.Sprintf("%012d", rapid.Int64Range(0, 999_999_999_999).Draw(t, "body")))
		if err != nil {
			t.Fatal(err)
		}
		for i := 2; i < len(ref); i++ {
			for d := byte('0'); d <= '9'; d++ {
				if wrong := ref[:i] + string(d) + ref[i+1:]; wrong != ref {
					refuse(t, ref, wrong)
				}
			}
			if i+1 < len(ref) && ref[i] != ref[i+1] {
				refuse(t, ref, ref[:i]+string(ref[i+1])+string(ref[i])+ref[i+2:])
			}
		}
	})
}

// In any reference a wrong digit for a digit or a wrong letter for a letter is found.
// Of two neighbours that changed places three pairs are not: 1B, 2M and 3X count the
// same as B1, M2 and X3. A letter for a digit moves all that stands before it, and one
// in about 97 of those passes: no check digit replaces the look-up.
func TestReference_WhatTheRuleFindsAndWhatItDoesNot(t *testing.T) {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	blind := map[string]bool{"1B": true, "B1": true, "2M": true, "M2": true, "3X": true, "X3": true}
	rapid.Check(t, func(t *rapid.T) {
		ref, err := makeReference(rapid.StringMatching(`[0-9A-Z]{1,21}`).Draw(t, "body"))
		if err != nil {
			t.Fatal(err)
		}
		for i := 4; i < len(ref); i++ {
			kind := alphabet[:10]
			if ref[i] > '9' {
				kind = alphabet[10:]
			}
			for _, c := range kind {
				if wrong := ref[:i] + string(c) + ref[i+1:]; wrong != ref {
					refuse(t, ref, wrong)
				}
			}
			if i+1 < len(ref) && ref[i] != ref[i+1] {
				swapped := ref[:i] + string(ref[i+1]) + string(ref[i]) + ref[i+2:]
				if _, err := ParseReference(swapped); (err == nil) != blind[ref[i:i+2]] {
					t.Fatalf("%s for %s: %v", swapped, ref, err)
				}
			}
		}
	})
}

func refuse(t *rapid.T, right, wrong string) {
	if _, err := ParseReference(wrong); !errors.Is(err, ErrReference) {
		t.Fatalf("%s passes for %s", wrong, right)
	}
}

func TestNewReference_IsTwelveRandomDigits(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		ref, err := newReference()
		if err != nil || len(ref) != 16 || strings.Trim(ref[2:], "0123456789") != "" {
			t.Fatalf("%q, %v", ref, err)
		}
		if _, err := ParseReference(ref); err != nil {
			t.Fatal(err)
		}
		seen[ref] = true
	}
	if len(seen) != 1000 { // by chance once in two million runs
		t.Errorf("%d of 1000 are different", len(seen))
	}
}

// Two transfers never have one reference, even where the dice fall alike.
func TestReference_OneThatIsTakenIsNotGivenAgain(t *testing.T) {
	db := dbtest.SQLite(t, Migrate)
	made := []string{"RF097", "RF097", "RF18539007547034", "RF18539007547034", "RF18539007547034"}
	s := &Subscriptions{reference: func() (string, error) {
		ref := made[0]
		if len(made) > 1 {
			made = made[1:]
		}
		return ref, nil
	}}
	for i, want := range []string{"RF097", "RF18539007547034", ""} {
		got, err := s.reserveReference(t.Context(), db, "acc_1", fmt.Sprint("trf_", i))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	var rows []referenceRow
	if err := db.NewSelect().Model(&rows).OrderExpr("reference").Scan(t.Context()); err != nil || len(rows) != 2 || rows[0].Transfer != "trf_0" {
		t.Errorf("%+v, %v", rows, err)
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"RF18 5390 0754 7034", "rf097", "RF0072", "RF18ſ", "RF18\u2003539007547034", "\xff", "RF91B334BOPQE39D902DC"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := ParseReference(s)
		if err != nil {
			if !errors.Is(err, ErrReference) || ref != "" {
				t.Fatalf("%q: %q, %v", s, ref, err)
			}
			return
		}
		if len(ref) < 5 || len(ref) > 25 || strings.Trim(ref, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			t.Fatalf("%q is read as %q", s, ref)
		}
		for _, again := range []string{ref, grouped(ref)} {
			if got, err := ParseReference(again); got != ref || err != nil {
				t.Fatalf("%q, read as %q, is then %q, %v", s, ref, got, err)
			}
		}
		if made, err := makeReference(ref[4:]); made != ref || err != nil {
			t.Fatalf("%q is read as %q but would be made as %q, %v", s, ref, made, err)
		}
	})
}

func TestCleanIBAN(t *testing.T) {
	valid := []string{
		"GB33 BUKB 2020 1555 5555 55", "de89370400440532013000", "NO93 8601 1117 947", "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
		"CH93 0076 2011 6238 5295 7",
	}
	invalid := []string{
		"", "DE", "DE89", "DE89 3704 0044 0532 0130 01", "ED89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 0000",
		"XX89 3704 0044 0532 0130 00", "GB00 HLFX 1101 6111 4553 65", "GB01 BARC 2071 4583 6083 87", "SE64-1200-0000-0121-7014-5230",
		"DE89\x003704 0044 0532 0130 0", "ÄE89370400440532013000",
	}
	var more struct{ Valid, Invalid []string }
	if vectors(t, "iban.json", &more) && len(more.Valid) < 80 {
		t.Errorf("only %d vectors", len(more.Valid))
	}
	for _, s := range append(valid, more.Valid...) {
		if iban, err := cleanIBAN(s); iban != strings.ToUpper(strings.ReplaceAll(s, " ", "")) || err != nil {
			t.Errorf("%q: %q, %v", s, iban, err)
		}
	}
	// These are wrong in what a country's banks make of an IBAN, which is not checked.
	structure := map[string]bool{"GB12 BARC 2020 1530 093A 59": true}
	for _, s := range append(invalid, more.Invalid...) {
		if iban, err := cleanIBAN(s); (err == nil) != structure[s] || (err != nil && iban != "") {
			t.Errorf("%q: %q, %v", s, iban, err)
		}
	}
}

// Check digits say nothing of a character that was lost or doubled together with
// them: the length does.
func TestCleanIBAN_TheCountrysLength(t *testing.T) {
	for country, length := range ibanLengths {
		for n := 15; n <= 34; n++ {
			body := strings.Repeat("1", n-4)
			rest, _ := mod97(body + country + "00")
			iban := fmt.Sprintf("%s%02d%s", country, 98-rest, body)
			if _, err := cleanIBAN(iban); (err == nil) != (n == length) {
				t.Errorf("%s: %v", iban, err)
			}
		}
	}
	for n, want := range map[int]bool{14: false, 15: true, 34: true, 35: false} { // a country that has none
		body := strings.Repeat("1", n-4)
		rest, _ := mod97(body + "ZZ00")
		if _, err := cleanIBAN(fmt.Sprintf("ZZ%02d%s", 98-rest, body)); (err == nil) != want {
			t.Errorf("%d characters: %v", n, err)
		}
	}
}
