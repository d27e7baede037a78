package problem_test

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/quitrent/quitrent/internal/problem"
)

type order struct {
	Amount int64    `json:"amount"`
	Note   string   `json:"note,omitempty"`
	Tags   []string `json:"tags,omitempty"`

	At time.Time `json:"at,omitzero"`
}

func decode(contentType, body string, v any) error {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	return problem.Decode(httptest.NewRecorder(), r, v)
}

func TestDecode_ReadsOneObject(t *testing.T) {
	for _, contentType := range []string{"application/json", "Application/JSON; charset=utf-8"} {
		var got order
		if err := decode(contentType, " {\"amount\": 9223372036854775807, \"note\": \"ä\"}\n", &got); err != nil {
			t.Errorf("%q: %v", contentType, err)
		}
		if d := cmp.Diff(order{Amount: 1<<63 - 1, Note: "ä"}, got); d != "" {
			t.Error(d)
		}
	}
}

func TestDecode_Refuses(t *testing.T) {
	for name, tc := range map[string]struct {
		contentType, body string
		want              error
		says              string
	}{
		"an unknown member":  {"application/json", `{"amount":1,"admin":true}`, problem.ErrBody, `unknown field "admin"`},
		"a second value":     {"application/json", `{"amount":1}{"amount":2}`, problem.ErrBody, "goes on"},
		"trailing garbage":   {"application/json", `{"amount":1} x`, problem.ErrBody, "goes on"},
		"nothing":            {"application/json", " \n", problem.ErrBody, "empty"},
		"null":               {"application/json", `null`, problem.ErrBody, "no JSON object"},
		"an array":           {"application/json", `[{"amount":1}]`, problem.ErrBody, "no JSON object"},
		"half an object":     {"application/json", `{"amount":1`, problem.ErrBody, "too early"},
		"a wrong type":       {"application/json", `{"amount":"1"}`, problem.ErrBody, `"amount" cannot be a string`},
		"no time":            {"application/json", `{"at":"tomorrow"}`, problem.ErrBody, "RFC 3339"},
		"a fraction":         {"application/json", `{"amount":1.5}`, problem.ErrBody, `"amount" cannot be a number 1.5`},
		"more than an int64": {"application/json", `{"amount":9223372036854775808}`, problem.ErrBody, `"amount" cannot be`},
		"a form":             {"application/x-www-form-urlencoded", `{"amount":1}`, problem.ErrMediaType, "application/json"},
		"plain text":         {"text/plain", `{"amount":1}`, problem.ErrMediaType, "application/json"},
		"no type at all":     {"", `{"amount":1}`, problem.ErrMediaType, "application/json"},
		"no media type":      {"json;;", `{"amount":1}`, problem.ErrMediaType, "application/json"},
		"too much":           {"application/json", `{"note":"` + strings.Repeat("x", problem.MaxBody) + `"}`, problem.ErrBodySize, "1 MiB"},
		"too much space":     {"application/json", `{}` + strings.Repeat(" ", problem.MaxBody), problem.ErrBodySize, "1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			err := decode(tc.contentType, tc.body, &order{})
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %v and %q", err, tc.want, tc.says)
			}
		})
	}
}

func TestDecode_ABodyThatBreaksOffIsRefused(t *testing.T) {
	r := httptest.NewRequest("POST", "/", iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(`{"amount":1}`))))
	r.Header.Set("Content-Type", "application/json")
	var got order
	if err := problem.Decode(httptest.NewRecorder(), r, &got); !errors.Is(err, problem.ErrBody) || got.Amount != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// What Decode takes says the same when it is written and read again; what it
// refuses it refuses with one of its sentinels and without the names of Go types.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{}`, `{"amount":1,"note":"x","tags":["a"]}`, `null`, `[]`, `{"amount":1e3}`, `{"Amount":1}`, `{"amount":1}{}`, "{\"note\":\"\xff\"}", `{"tags":[1]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var got order
		if err := decode("application/json", body, &got); err != nil {
			if !errors.Is(err, problem.ErrBody) && !errors.Is(err, problem.ErrBodySize) {
				t.Fatalf("%q: %v", body, err)
			}
			if strings.Contains(err.Error(), "Go ") || strings.Contains(err.Error(), "order") && !strings.Contains(body, "order") {
				t.Fatalf("%q: the client reads %v", body, err)
			}
			return
		}
		if s := strings.TrimSpace(body); s[0] != '{' || !json.Valid([]byte(s)) {
			t.Fatalf("took %q", body)
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var twice order
		if err := decode("application/json", string(again), &twice); err != nil {
			t.Fatalf("%q became %q: %v", body, again, err)
		}
		if d := cmp.Diff(got, twice, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}
