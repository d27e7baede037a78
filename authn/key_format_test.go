package authn

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// keyFormat is testdata/key_format.json, with which other languages test validators of
// their own. Its checksums were computed by another implementation.
type keyFormat struct {
	Regexp  string
	Digits  string
	Vectors []struct {
		Key, Brand, Env      string
		Valid                bool
		ID, Secret, Checksum string // of a valid one
		Reason               string // of any other
	}
}

func TestKeyFormat_ParserAndDocumentAgreeWithEveryVector(t *testing.T) {
	text, err := os.ReadFile("testdata/key_format.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var format keyFormat
	if err := json.Unmarshal(text, &format); err != nil {
		t.Fatal(err)
	}
	if format.Digits != alphabet || !strings.Contains(string(doc), "//	"+format.Regexp+"\n") {
		t.Error("the file does not say what doc.go does")
	}
	count := map[bool]int{}
	for _, v := range format.Vectors {
		count[v.Valid]++
		f := newForm(v.Brand, []string{v.Env})
		id, _, ok := f.parse(v.Key)
		if ok != v.Valid || format.valid(v.Key, v.Brand, v.Env) != v.Valid {
			t.Errorf("%q (%s): the parser says %v, the document %v", v.Key, v.Reason, ok, format.valid(v.Key, v.Brand, v.Env))
		}
		if v.Valid && (string(id) != v.ID || f.write(0, KeyID(v.ID), v.Secret) != v.Key || !strings.HasSuffix(v.Key, v.ID+v.Secret+v.Checksum)) {
			t.Errorf("%q: the parts are others", v.Key)
		}
		if v.Valid == (v.Reason != "") {
			t.Errorf("%q: a reason stands where it is not valid", v.Key)
		}
	}
	if count[true] < 5 || count[false] < 15 {
		t.Errorf("too few vectors: %v", count)
	}
}

// valid is the validator that the documentation describes, from nothing of this package.
func (f keyFormat) valid(key, brand, env string) bool {
	if !regexp.MustCompile(f.Regexp).MatchString(key) || !strings.HasPrefix(key, brand+"_"+env+"_") {
		return false
	}
	text, want := key[:len(key)-6], int64(0)
	for _, c := range key[len(key)-6:] {
		want = want*62 + int64(strings.IndexRune(f.Digits, c))
	}
	crc := ^uint32(0)
	for _, b := range []byte(text) {
		crc ^= uint32(b)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xedb88320
			} else {
				crc >>= 1
			}
		}
	}
	return int64(^crc) == want
}
