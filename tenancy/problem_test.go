package tenancy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quitrent/quitrent/tenancy"
)

func TestProblemOf_SaysWhatRefuseAnswers(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want tenancy.Problem
	}{
		{
			fmt.Errorf("enter: %w", tenancy.ErrTrialOver),
			tenancy.Problem{Status: 402, Code: "trial_over", Detail: "enter: the trial is over: choose a plan and pay to go on"},
		},
		{tenancy.ErrSuspended, tenancy.Problem{Status: 403, Code: "account_suspended", Detail: "the account is suspended: ask support"}},
		{
			errors.New("the password of 10.0.0.7 is wrong"),
			tenancy.Problem{Status: 503, Code: "unavailable", Detail: "This could not be decided just now. Try again.", RetryAfter: time.Second},
		},
	} {
		got := tenancy.ProblemOf(tc.err)
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%v: %s", tc.err, d)
		}
		w := httptest.NewRecorder()
		tenancy.Refuse(w, httptest.NewRequest("GET", "/", nil), tc.err)
		var body struct {
			Code, Detail string
			Status       int
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		if body.Status != got.Status || body.Code != got.Code || body.Detail != got.Detail || (w.Header().Get("Retry-After") == "") != (got.RetryAfter == 0) {
			t.Errorf("%v: over HTTP %v %s", tc.err, w.Header(), w.Body)
		}
	}
}
