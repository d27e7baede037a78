package authn

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/quitrent/quitrent/tenancy"
)

func testPepper(id string) Pepper { return Pepper{ID: id, Secret: bytes.Repeat([]byte(id), 32)} }

func TestRing_IsHMACSHA256(t *testing.T) {
	r, err := newRing([]Pepper{testPepper("a"), testPepper("b")})
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha256.New, bytes.Repeat([]byte("a"), 32))
	h.Write([]byte("text"))
	if pepper, hash := r.sum("text"); pepper != "a" || hash != base64.RawStdEncoding.EncodeToString(h.Sum(nil)) {
		t.Errorf("sum is %s by %s", hash, pepper)
	}
}

func TestRing_VerifiesWithEachOfItsPeppers(t *testing.T) {
	old, err := newRing([]Pepper{testPepper("a")})
	if err != nil {
		t.Fatal(err)
	}
	pepper, hash := old.sum("text")
	for what, c := range map[string]struct {
		ring []Pepper
		text string
		hash string
		want bool
	}{
		"the same":         {[]Pepper{testPepper("a")}, "text", hash, true},
		"turned":           {[]Pepper{testPepper("b"), testPepper("a")}, "text", hash, true},
		"removed":          {[]Pepper{testPepper("b")}, "text", hash, false},
		"another secret":   {[]Pepper{{ID: "a", Secret: bytes.Repeat([]byte("z"), 32)}}, "text", hash, false},
		"another text":     {[]Pepper{testPepper("a")}, "texu", hash, false},
		"a piece of it":    {[]Pepper{testPepper("a")}, "text", hash[:10], false},
		"no hash at all":   {[]Pepper{testPepper("a")}, "text", "", false},
		"longer than that": {[]Pepper{testPepper("a")}, "text", hash + "A", false},
	} {
		r, err := newRing(c.ring)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.verify(pepper, c.text, c.hash); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
	// A pepper that is gone must not verify with the current one, which stands in
	// for it to cost the same.
	r, _ := newRing([]Pepper{testPepper("b")})
	if _, hash := r.sum("text"); r.verify("a", "text", hash) {
		t.Error("the current pepper verified for one that is gone")
	}
}

func TestRing_KeepsItsOwnCopyOfTheSecret(t *testing.T) {
	p := testPepper("a")
	r, err := newRing([]Pepper{p})
	if err != nil {
		t.Fatal(err)
	}
	_, before := r.sum("text")
	clear(p.Secret)
	if _, after := r.sum("text"); after != before {
		t.Error("clearing the host's secret changed the hash")
	}
}

func TestNew_RefusesWhatIsNoPolicy(t *testing.T) {
	good := []Pepper{testPepper("a")}
	for what, cfg := range map[string]Config{
		"no pepper":         {},
		"a short pepper":    {Peppers: []Pepper{{ID: "a", Secret: make([]byte, 31)}}},
		"a pepper twice":    {Peppers: []Pepper{testPepper("a"), testPepper("a")}},
		"a nameless pepper": {Peppers: []Pepper{{Secret: make([]byte, 32)}}},
		"a pepper's id":     {Peppers: []Pepper{{ID: "A$", Secret: make([]byte, 32)}}},
		"brand: short":      {Brand: "q", Peppers: good},
		"brand: long":       {Brand: strings.Repeat("q", 17), Peppers: good},
		"brand: underscore": {Brand: "my_co", Peppers: good},
		"brand: digit":      {Brand: "1q", Peppers: good},
		"env: short":        {Envs: []string{"l"}, Peppers: good},
		"env: long":         {Envs: []string{"production"}, Peppers: good},
		"env: capitals":     {Envs: []string{"Live"}, Peppers: good},
		"env: twice":        {Envs: []string{"live", "live"}, Peppers: good},
	} {
		if k, err := New(nil, cfg); err == nil || k != nil {
			t.Errorf("%s: accepted", what)
		}
	}
	if k, err := New(tenancy.New(tenancy.Config{}), Config{Peppers: good}); err != nil || k.form.prefixes[0] != "qr_live_" {
		t.Errorf("the defaults: %+v, %v", k, err)
	}
	if k, err := New(tenancy.New(tenancy.Config{}), Config{Brand: "acme2", Envs: []string{"test"}, Peppers: good}); err != nil || k.form.prefixes[0] != "acme2_test_" {
		t.Errorf("a brand of one's own: %+v, %v", k, err)
	}
}
