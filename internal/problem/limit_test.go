package problem

import (
	"errors"
	"net/http/httptest"
	"testing"
)

func TestLimit_IsFrom1To500(t *testing.T) {
	invalid := errors.New("invalid")
	for query, want := range map[string]int{
		"": 0, "?limit=": 0, "?limit=1": 1, "?limit=500": 500,
		"?limit=0": -1, "?limit=-1": -1, "?limit=501": -1, "?limit=x": -1, "?limit=1.5": -1, "?limit=99999999999999999999": -1,
	} {
		n, err := Limit(httptest.NewRequest("GET", "/"+query, nil), invalid)
		if refused := errors.Is(err, invalid); refused != (want < 0) || !refused && (n != want || err != nil) {
			t.Errorf("%q: %d, %v", query, n, err)
		}
	}
}
