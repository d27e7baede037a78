package authn

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The vectors stand in doc.go for other languages. Their checksums were computed by
// another implementation.
func TestForm_Vectors(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct{ brand, env, id, secret, crc string }{
		{"qr", "live", strings.Repeat("0", 12), strings.Repeat("0", 30), "3ZaMtS"},
		{"qr", "test", "0123456789AB", "CDEFGHIJKLMNOPQRSTUVWXYZabcdef", "0Mk1yL"},
		{"acme2", "live", strings.Repeat("z", 12), strings.Repeat("z", 30), "31cmaS"},
	} {
		key := newForm(v.brand, []string{v.env}).write(0, KeyID(v.id), v.secret)
		want := v.brand + "_" + v.env + "_" + v.id + v.secret + v.crc
		if key != want {
			t.Errorf("wrote %s, want %s", key, want)
		}
		id, text, ok := newForm(v.brand, []string{v.env}).parse(want)
		if !ok || string(id) != v.id || text+v.crc != want {
			t.Errorf("parsed %s as %q, %q, %v", want, id, text, ok)
		}
		if !strings.Contains(string(doc), "//	"+want+"\n") {
			t.Errorf("doc.go does not name %s", want)
		}
	}
}

func TestForm_ParseRefusesWhatIsNoKey(t *testing.T) {
	f := newForm("qr", []string{"live"})
	key := f.write(0, "0123456789AB", strings.Repeat("x", secretLength))
	seal := func(text string) string { return text + checksum(text) }
	for what, s := range map[string]string{
		"nothing":               "",
		"the prefix alone":      "qr_live_",
		"one character short":   key[:len(key)-1],
		"one character long":    key + "0",
		"a blank in front":      " " + key,
		"a line end":            key + "\n",
		"another brand":         seal("qx_live_0123456789AB" + strings.Repeat("x", secretLength)),
		"another environment":   seal("qr_test_0123456789AB" + strings.Repeat("x", secretLength)),
		"the brand in capitals": seal("QR_live_0123456789AB" + strings.Repeat("x", secretLength)),
		"a sign in the secret":  seal("qr_live_0123456789AB_" + strings.Repeat("x", secretLength-1)),
		"a NUL in the id":       seal("qr_live_\x0023456789AB" + strings.Repeat("x", secretLength) + "0")[:len(key)],
		"two bytes of a letter": seal("qr_live_0123456789AB" + "é" + strings.Repeat("x", secretLength-2)),
		"a wrong checksum":      key[:len(key)-6] + "000000",
		"two letters exchanged": "qr_live_1023456789AB" + key[20:],
		"two keys":              key + key,
		"megabytes":             strings.Repeat(key, 1<<15),
	} {
		if _, _, ok := f.parse(s); ok {
			t.Errorf("%s was taken for a key", what)
		}
	}
	for i := range len(key) { // no single mistyped character passes
		for _, c := range "0aZ_" {
			typo := key[:i] + string(c) + key[i+1:]
			if _, _, ok := f.parse(typo); ok && typo != key {
				t.Errorf("the typo %s was taken for a key", typo)
			}
		}
	}
}

func FuzzParseKey(f *testing.F) {
	form := newForm("qr", []string{"live"})
	f.Add(form.write(0, "0123456789AB", strings.Repeat("x", secretLength)))
	f.Add("qr_live_" + strings.Repeat("0", 48))
	f.Add("qr_live_")
	f.Add("")
	documented := regexp.MustCompile(`^[a-z][a-z0-9]{1,15}_[a-z]{2,8}_[0-9A-Za-z]{48}$`)
	f.Fuzz(func(t *testing.T, s string) {
		id, text, ok := form.parse(s)
		if !ok {
			return
		}
		if !id.possible() || text+checksum(text) != s || form.write(0, id, text[len(text)-secretLength:]) != s || !documented.MatchString(s) {
			t.Errorf("parsed %q as %q, %q", s, id, text)
		}
	})
}
