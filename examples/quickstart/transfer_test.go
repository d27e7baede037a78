package main

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

func TestM8_ATrialThatIsOverPaysByBankTransfer(t *testing.T) {
	file := newFile(t)
	s := start(t, file)
	ada := s.signUp("ada@example.com")
	s.post("/v1/ideas", ada.key, `{"count": 10}`)
	s.stop()

	s = start(t, file, "-ahead", "360h") // fifteen days
	s.post("/v1/ideas", ada.key, `{"count": 1}`).want(t, "the key", http.StatusPaymentRequired, "trial_over")
	if a := s.get("/v1/credits/balance", ada.key); a.status != 200 {
		t.Errorf("reading goes on: %d %s", a.status, a.body)
	}
	s.post("/v1/keys", ada.person, `{"name": "another"}`).want(t, "a new key", http.StatusPaymentRequired, "trial_over")
	asked := s.request(ada, "starter")
	if asked.Status != "requested" || asked.Amount != 8900 || asked.Pay.Amount != "89.00 USD" || asked.Pay.IBAN == "" || asked.Reference[:2] != "RF" {
		t.Errorf("asked: %+v", asked)
	}
	if again := s.request(ada, "starter"); again.Reference != asked.Reference {
		t.Errorf("asked again: %+v", again)
	}

	s.confirm(ada.key, asked.Reference).want(t, "the customer's key confirms", http.StatusForbidden, "forbidden")
	s.confirm(ada.person, asked.Reference).want(t, "the customer confirms", http.StatusForbidden, "forbidden")
	s.confirm(nobody, asked.Reference).want(t, "nobody confirms", http.StatusUnauthorized, "missing_credential")
	if got := s.account(ada); got.Status != "trial" || s.balance(ada) != 1950 {
		t.Fatalf("refused confirmations did something: %+v", got)
	}

	var answers [8]answer
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			answers[i], _ = s.send("POST", "/operator/transfers/"+asked.Reference+"/confirm", bearer(s.operator), `{"reason": "seen"}`)
		})
	}
	wg.Wait()
	paid := read[transfer](t, answers[0], http.StatusOK)
	if paid.Status != "confirmed" || paid.Account != ada.account || paid.Credits != 1000 ||
		!paid.PeriodEnd.After(paid.PeriodStart) || paid.PeriodStart.Before(time.Now().Add(359*time.Hour)) {
		t.Errorf("confirmed: %+v", paid)
	}
	for _, a := range append(answers[:], s.confirm(bearer(s.operator), asked.Reference)) {
		if a.status != 200 || a.body != answers[0].body {
			t.Errorf("confirmed again: %d %s, want %s", a.status, a.body, answers[0].body)
		}
	}
	if got := s.account(ada); got.Status != "active" || got.Plan != "starter" {
		t.Errorf("after the payment: %+v", got)
	}
	if a := s.post("/v1/ideas", ada.key, `{"count": 1}`); a.status != 200 || a.header.Get("Credits-Remaining") != "2945" || a.header.Get("RateLimit-Policy") != `"account";q=50;w=5` {
		t.Errorf("the key afterwards: %d %v %s", a.status, a.header, a.body)
	}
	sub := read[struct {
		Status, Plan  string
		PeriodEnd     time.Time `json:"period_end"`
		PaymentMethod string    `json:"payment_method"`
	}](t, s.get("/v1/billing/subscription", ada.person), http.StatusOK)
	if sub.Status != "active" || sub.Plan != "starter" || sub.PaymentMethod != "bank_transfer" || !sub.PeriodEnd.Equal(paid.PeriodEnd) {
		t.Errorf("the subscription: %+v", sub)
	}
	s.confirm(bearer(s.operator), "RF18539007547034").want(t, "another reference", http.StatusNotFound, "no_transfer")
}

func TestM12_WithTheTrialOverASessionSignsInAndPays(t *testing.T) {
	file := newFile(t)
	s := start(t, file)
	ada := s.signUp("ada@example.com")
	before := s.signIn("ada@example.com")
	token := s.token(ada.key)
	if a := s.post("/v1/ideas", before, `{"count": 1}`); a.status != 200 {
		t.Errorf("the session buys: %d %s", a.status, a.body)
	}
	s.stop()

	s = start(t, file, "-ahead", "360h") // fifteen days
	s.get("/v1/account", before).want(t, "a session that was idle for a day", http.StatusUnauthorized, "invalid_credential")
	s.get("/v1/account", token).want(t, "a token of then", http.StatusUnauthorized, "invalid_credential")
	s.post("/v1/ideas", ada.key, `{"count": 1}`).want(t, "the key", http.StatusPaymentRequired, "trial_over")
	person := s.signIn("ada@example.com")
	s.post("/v1/ideas", person, `{"count": 1}`).want(t, "the session spends", http.StatusPaymentRequired, "trial_over")
	s.post("/v1/token", person, `{}`).want(t, "a token that spends", http.StatusPaymentRequired, "trial_over")
	if a := s.get("/ideas", person); a.status != 200 {
		t.Errorf("the page: %d %s", a.status, a.body)
	}
	asked := read[transfer](t, s.post("/v1/billing/transfers", person, `{"plan": "starter"}`), http.StatusCreated)
	s.post("/v1/billing/transfers", person, `{"plan": "growth"}`, "Sec-Fetch-Site", "cross-site").
		want(t, "a page of another site pays", http.StatusForbidden, "cross_origin")
	s.post("/v1/billing/transfers", ada.key, `{"plan": "growth"}`).want(t, "the key pays", http.StatusUnauthorized, "invalid_credential")
	if a := s.confirm(bearer(s.operator), asked.Reference); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for what, who := range map[string]credential{"the key": ada.key, "the session": person, "a token of it": s.token(person)} {
		if a := s.post("/v1/ideas", who, `{"count": 1}`); a.status != 200 {
			t.Errorf("%s, paid: %d %s", what, a.status, a.body)
		}
	}
}

// token is an access token made of a credential.
func (s *server) token(of credential) credential {
	s.t.Helper()
	made := read[struct {
		AccessToken string `json:"access_token"`
	}](s.t, s.post("/v1/token", of, `{}`), http.StatusOK)
	return bearer(made.AccessToken)
}

func TestM6_SuspendingAnAccountStopsItsKeyAtOnce(t *testing.T) {
	s := start(t, newFile(t))
	ada, eve := s.signUp("ada@example.com"), s.signUp("eve@example.com")
	if a := s.post("/v1/ideas", ada.key, `{"count": 1}`); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	suspend := "/operator/accounts/" + ada.account + "/suspend"
	s.post(suspend, ada.key, `{"reason": "me"}`).want(t, "a customer suspends", http.StatusForbidden, "forbidden")
	s.post(suspend, nobody, `{"reason": "me"}`).want(t, "nobody suspends", http.StatusUnauthorized, "missing_credential")
	if got := read[account](t, s.post(suspend, bearer(s.operator), `{"reason": "abuse"}`), 200); got.Status != "suspended" {
		t.Errorf("suspended: %+v", got)
	}
	s.post("/v1/ideas", ada.key, `{"count": 1}`).want(t, "the key spends", http.StatusForbidden, "account_suspended")
	s.get("/v1/account", ada.key).want(t, "the key reads", http.StatusForbidden, "account_suspended")
	s.post("/v1/keys", ada.person, `{"name": "another"}`).want(t, "the owner mints keys", http.StatusForbidden, "account_suspended")
	if a := s.get("/v1/billing/transfers", ada.person); a.status != 200 {
		t.Errorf("the owner may still pay: %d %s", a.status, a.body)
	}
	if a := s.post("/v1/ideas", eve.key, `{"count": 1}`); a.status != 200 {
		t.Errorf("another account: %d %s", a.status, a.body)
	}
	if got := read[account](t, s.post("/operator/accounts/"+ada.account+"/resume", bearer(s.operator), `{"reason": "cleared up"}`), 200); got.Status != "trial" {
		t.Errorf("resumed: %+v", got)
	}
	if a := s.post("/v1/ideas", ada.key, `{"count": 1}`); a.status != 200 || a.header.Get("Credits-Remaining") != "1990" {
		t.Errorf("the key after resuming: %d %s", a.status, a.body)
	}
}
