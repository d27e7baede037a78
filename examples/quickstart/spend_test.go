package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestIdeas_SayWhatTheyCostAndWhatIsLeft(t *testing.T) {
	s := start(t, newFile(t))
	ada := s.signUp("ada@example.com")
	a := s.post("/v1/ideas", ada.key, `{"count": 7}`)
	got := read[struct {
		Ideas         []string
		Cost, Balance int64
	}](t, a, http.StatusOK)
	if len(got.Ideas) != 7 || got.Cost != 35 || got.Balance != 1965 {
		t.Errorf("got %+v", got)
	}
	for name, want := range map[string]string{
		"Credits-Cost": "35", "Credits-Remaining": "1965", "RateLimit-Policy": `"account";q=20;w=4`,
	} {
		if v := a.header.Get(name); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
	if v := a.header.Get("RateLimit"); !strings.HasPrefix(v, `"account";r=`) {
		t.Errorf("RateLimit is %q", v)
	}
	for _, body := range []string{`{"count": 0}`, `{"count": -1}`, `{"count": 301}`, `{"count": 9223372036854775807}`, `{}`, `seven`} {
		s.post("/v1/ideas", ada.key, body).want(t, body, 422, "invalid_credits")
	}
	if a := s.must("GET", "/v1/ideas", ada.key, `{"count": 1}`); a.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d %s", a.status, a.body)
	}
	if left := s.balance(ada); left != 1965 {
		t.Errorf("%d left after refusals, want 1965", left)
	}
}

func TestIdeas_TheSameIdempotencyKeyPaysOnce(t *testing.T) {
	s := start(t, newFile(t))
	ada, eve := s.signUp("ada@example.com"), s.signUp("eve@example.com")
	ask := func(who customer, count int) answer {
		return s.post("/v1/ideas", who.key, fmt.Sprintf(`{"count": %d}`, count), "Idempotency-Key", "order-1")
	}
	var answers [6]answer
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			answers[i], _ = s.send("POST", "/v1/ideas", ada.key, `{"count": 3}`, "Idempotency-Key", "order-1")
		})
	}
	wg.Wait()
	for _, a := range answers {
		if a.status != 200 || a.body != answers[0].body {
			t.Errorf("got %d %s, want %s", a.status, a.body, answers[0].body)
		}
	}
	ask(ada, 4).want(t, "other content", http.StatusConflict, "key_reused")
	if a := ask(eve, 4); a.status != 200 {
		t.Errorf("another account's key of that name: %d %s", a.status, a.body)
	}
	if a, e := s.balance(ada), s.balance(eve); a != 1985 || e != 1980 {
		t.Errorf("left %d and %d, want 1985 and 1980", a, e)
	}
}

func TestIdeas_SpendToExactlyZero(t *testing.T) {
	s := start(t, newFile(t))
	ada := s.signUp("ada@example.com")
	if a := s.post("/v1/ideas", ada.key, `{"count": 300}`); a.status != 200 || a.header.Get("Credits-Remaining") != "500" {
		t.Fatalf("the first 300: %d %s", a.status, a.body)
	}
	s.post("/v1/ideas", ada.key, `{"count": 101}`).want(t, "one too many", http.StatusPaymentRequired, "insufficient_credits")
	if a := s.post("/v1/ideas", ada.key, `{"count": 100}`); a.status != 200 || a.header.Get("Credits-Remaining") != "0" {
		t.Fatalf("the last hundred: %d %s", a.status, a.body)
	}
	a := s.post("/v1/ideas", ada.key, `{"count": 1}`)
	a.want(t, "one more", http.StatusPaymentRequired, "insufficient_credits")
	if !strings.Contains(a.body, `"credits_left":0`) || !strings.Contains(a.body, `"credits_needed":5`) || !strings.Contains(a.body, `"pay":"`) {
		t.Errorf("no numbers or no way to pay: %s", a.body)
	}
	if left := s.balance(ada); left != 0 {
		t.Errorf("%d left", left)
	}
}

// Five a second with any pause between them pass for ever, so the calls are many
// at once; the test ends with the first refusal.
func TestM7_ABurstIsRefusedAndAnotherAccountIsNot(t *testing.T) {
	s := start(t, newFile(t))
	ada, eve := s.signUp("ada@example.com"), s.signUp("eve@example.com")
	deadline := time.Now().Add(patience)
	var refused answer
	for refused.status == 0 && time.Now().Before(deadline) {
		var answers [25]answer
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i], _ = s.send("GET", "/v1/account", ada.key, "") })
		}
		wg.Wait()
		for _, a := range answers {
			if a.status == http.StatusTooManyRequests {
				refused = a
			} else if a.status != http.StatusOK {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
	}
	refused.want(t, "the burst", http.StatusTooManyRequests, "rate_limited")
	if wait, err := strconv.Atoi(refused.header.Get("Retry-After")); err != nil || wait < 1 {
		t.Errorf("Retry-After: %q", refused.header.Get("Retry-After"))
	}
	if v := refused.header.Get("RateLimit"); !strings.HasPrefix(v, `"account";r=0;t=`) {
		t.Errorf("RateLimit: %q", v)
	}
	if a := s.get("/v1/account", eve.key); a.status != http.StatusOK {
		t.Errorf("another account: %d %s", a.status, a.body)
	}
}

func TestM7_StrangersAreLimitedByAddress(t *testing.T) {
	s := start(t, newFile(t))
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		var limited sync.Map
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if a, err := s.send("GET", "/v1/account", bearer("qr_live_made-up"), ""); err == nil && a.status == http.StatusTooManyRequests {
					limited.Store(i, a)
				}
			})
		}
		wg.Wait()
		for _, a := range limited.Range {
			if a := a.(answer); a.problem() != "rate_limited" || a.header.Get("Retry-After") == "" || !strings.HasPrefix(a.header.Get("RateLimit"), `"address"`) {
				t.Errorf("%v %s", a.header, a.body)
			}
			return
		}
	}
	t.Error("guessing keys is never refused")
}

func TestM12_AnAPIKeyShowsItsOwnAccountOnly(t *testing.T) {
	s := start(t, newFile(t))
	ada, eve := s.signUp("ada@example.com"), s.signUp("eve@example.com")
	for _, c := range []customer{ada, eve} {
		if got := read[account](t, s.get("/v1/account", c.key), http.StatusOK); got.ID != c.account {
			t.Errorf("the key of %s opens %s", c.account, got.ID)
		}
	}
	s.post("/v1/ideas", ada.key, `{"count": 2}`)
	asked := s.request(ada, "starter")

	if got := read[page](t, s.get("/v1/credits/entries", eve.key), http.StatusOK); len(got.Entries) != 1 || got.Entries[0].Amount != 2000 {
		t.Errorf("Eve's ledger: %+v", got)
	}
	if left := s.balance(eve); left != 2000 {
		t.Errorf("Eve has %d", left)
	}
	if a := s.get("/v1/billing/transfers", eve.person); a.status != 200 || strings.Contains(a.body, asked.Reference) {
		t.Errorf("Eve's transfers: %d %s", a.status, a.body)
	}
	type keys struct {
		Keys []struct{ Account, ID string }
	}
	adas, eves := read[keys](t, s.get("/v1/keys", ada.person), 200).Keys, read[keys](t, s.get("/v1/keys", eve.person), 200).Keys
	if len(adas) != 1 || len(eves) != 1 || adas[0].Account != ada.account || eves[0].Account != eve.account {
		t.Fatalf("keys %+v and %+v", adas, eves)
	}
	s.must("DELETE", "/v1/keys/"+adas[0].ID, eve.person, "").want(t, "Eve revokes Ada's key", http.StatusNotFound, "no_key")
	s.must("GET", "/v1/account", eve.person, "", "X-Account-ID", ada.account).want(t, "Eve names Ada's account", http.StatusNotFound, "no_account")
	if a := s.get("/v1/account", ada.key); a.status != 200 {
		t.Errorf("Ada's key: %d %s", a.status, a.body)
	}

	s.get("/v1/keys", ada.key).want(t, "a key mints keys", http.StatusUnauthorized, "invalid_credential")
	s.post("/v1/ideas", nobody, `{"count": 1}`).want(t, "nobody", http.StatusUnauthorized, "missing_credential")
	s.post("/v1/ideas", bearer("qr_live_0000000000000000000000000000000000000000003ZaMtS"), `{"count": 1}`).
		want(t, "a made-up key", http.StatusUnauthorized, "invalid_credential")
	s.must("DELETE", "/v1/keys/"+adas[0].ID, ada.person, "")
	s.get("/v1/account", ada.key).want(t, "a revoked key", http.StatusUnauthorized, "invalid_credential")
}

func TestLedger_ReadsInPages(t *testing.T) {
	s := start(t, newFile(t))
	ada := s.signUp("ada@example.com")
	for range 6 {
		s.post("/v1/ideas", ada.key, `{"count": 1}`)
	}
	var numbers []int64
	path := "/v1/credits/entries?limit=3"
	for range 3 {
		p := read[page](t, s.get(path, ada.key), http.StatusOK)
		for _, e := range p.Entries {
			numbers = append(numbers, e.Number)
		}
		path = fmt.Sprintf("/v1/credits/entries?limit=3&before=%d", p.Next)
		if p.Next == 0 {
			break
		}
	}
	if got := fmt.Sprint(numbers); got != "[7 6 5 4 3 2 1]" {
		t.Errorf("the pages hold %s", got)
	}
	s.get("/v1/credits/entries?before=x", ada.key).want(t, "a bad mark", 422, "invalid_credits")
}
