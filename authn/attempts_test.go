package authn_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
)

// from signs in from a network address, by its last number.
func (h *house) from(t *testing.T, addr int, email, password string) error {
	t.Helper()
	_, err := h.passwords.SignIn(t.Context(), h.db, authn.SignIn{Email: email, Password: password, Addr: place(addr)})
	return err
}

func place(n int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, byte(n >> 8), byte(n)}) }

// limited makes passwords with these limits.
func (h *house) limited(l authn.PasswordLimits) {
	h.passwords = authn.NewPasswords(h.accounts, authn.PasswordConfig{
		Now: h.clock.Now, Limits: l, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	})
	h.computed = authn.Quick(h.passwords)
}

func wait(t *testing.T, err error) time.Duration {
	t.Helper()
	var again interface{ RetryAfter() time.Duration }
	if !errors.As(err, &again) {
		t.Fatalf("%v does not say how long to wait", err)
	}
	return again.RetryAfter()
}

func TestSignIn_AttemptsAreCountedBeforeAnythingIsHashed(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.register(t, "ada@example.com")
		said := map[string]bool{}
		for _, email := range []string{"ada@example.com", "eve@example.com", "no address"} {
			for i := range 10 {
				spelled := []string{email, strings.ToUpper(email), " " + email}[i%3*min(1, strings.Count(email, "@"))]
				wantErr(t, "a wrong one", h.from(t, 1, spelled, "wrong password"), authn.ErrBadCredential)
			}
			before, asked := h.computed(), &queries{}
			for _, password := range []string{"wrong password", goodPassword} {
				_, err := h.passwords.SignIn(t.Context(), h.db.WithQueryHook(asked), authn.SignIn{Email: email, Password: password, Addr: place(1)})
				wantErr(t, "the eleventh", err, authn.ErrTooManyAttempts)
				said[fmt.Sprint(err, " ", wait(t, err))] = true
			}
			if h.computed() != before || len(asked.said) != 0 {
				t.Errorf("%s: a refusal cost %d hashes and %d statements", email, h.computed()-before, len(asked.said))
			}
		}
		if len(said) != 1 || !said[authn.ErrTooManyAttempts.Error()+" 1m0s"] {
			t.Errorf("it is said in different ways: %v", said)
		}
		wantErr(t, "from elsewhere", h.from(t, 2, "ada@example.com", goodPassword), nil)
		h.clock.Advance(time.Minute)
		wantErr(t, "a minute later", h.from(t, 1, "ada@example.com", "wrong password"), authn.ErrBadCredential)
		wantErr(t, "once", h.from(t, 1, "ada@example.com", goodPassword), authn.ErrTooManyAttempts)
		h.clock.Advance(time.Minute)
		wantErr(t, "the right one", h.from(t, 1, "ada@example.com", goodPassword), nil)
		wantErr(t, "is given back", h.from(t, 1, "ada@example.com", "wrong password"), authn.ErrBadCredential)
	})
}

func TestSignIn_AStrangerElsewhereKeepsNobodyOut(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.register(t, "ada@example.com")
		wantErr(t, "at home", h.from(t, 1, "ada@example.com", goodPassword), nil)
		tried := 0
		for addr := 100; ; addr++ {
			err := h.from(t, addr, "ada@example.com", "wrong password")
			if errors.Is(err, authn.ErrTooManyAttempts) {
				break
			}
			tried++
		}
		if tried != 100 {
			t.Errorf("%d passwords were tried from as many addresses", tried)
		}
		wantErr(t, "from a new place", h.from(t, 2, "ada@example.com", goodPassword), authn.ErrTooManyAttempts)
		wantErr(t, "at home", h.from(t, 1, "ada@example.com", goodPassword), nil)
		wantErr(t, "at home, mistyped", h.from(t, 1, "ada@example.com", "wrong password"), authn.ErrBadCredential)
		h.clock.Advance(36 * time.Second)
		wantErr(t, "from a new place, later", h.from(t, 2, "ada@example.com", goodPassword), nil)
		wantErr(t, "where it is known from then on", h.from(t, 2, "ada@example.com", goodPassword), nil)
	})
}

// One address cannot use up what everybody has for an e-mail address: it fills faster.
func TestSignIn_OneAddressDoesNotKeepAPersonOutOfNewPlaces(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.register(t, "ada@example.com")
		for range 24 * 60 {
			h.clock.Advance(time.Minute)
			_ = h.from(t, 1, "ada@example.com", "wrong password")
			if i := h.from(t, 1, "ada@example.com", "wrong password"); i == nil {
				t.Fatal("a wrong password opened")
			}
		}
		wantErr(t, "from a new place", h.from(t, 2, "ada@example.com", goodPassword), nil)
	})
}

func TestSignIn_AnAddressThatTriesEverybodyIsHeldBack(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.register(t, "ada@example.com")
		h.register(t, "bob@example.com")
		wantErr(t, "who is known there", h.from(t, 1, "ada@example.com", goodPassword), nil)
		for i := range 300 {
			wantErr(t, "one of many", h.from(t, 1, fmt.Sprintf("user%d@example.com", i), "wrong password"), authn.ErrBadCredential)
		}
		wantErr(t, "one more", h.from(t, 1, "eve@example.com", "wrong password"), authn.ErrTooManyAttempts)
		wantErr(t, "who is not known there", h.from(t, 1, "bob@example.com", goodPassword), authn.ErrTooManyAttempts)
		wantErr(t, "who is known there", h.from(t, 1, "ada@example.com", goodPassword), nil)
		h.clock.Advance(5 * time.Second)
		wantErr(t, "later", h.from(t, 1, "bob@example.com", goodPassword), nil)
	})
}

// An office that signs in at nine costs its address nothing.
func TestSignIn_RightPasswordsCostTheirPersonAndNobodyElse(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.limited(authn.PasswordLimits{Addr: authn.Attempts{Burst: 3, Every: time.Hour}, Email: authn.Attempts{Burst: 3, Every: time.Hour}})
		h.register(t, "ada@example.com")
		for i := range 20 {
			email := fmt.Sprintf("user%d@example.com", i)
			h.register(t, email)
			wantErr(t, email, h.from(t, 1, email, goodPassword), nil)
		}
		for i := range 60 { // from wherever
			wantErr(t, "a script", h.from(t, 1+i%2*(1+i), "ada@example.com", goodPassword), nil)
		}
		before := h.computed()
		err := h.from(t, 1, "ada@example.com", goodPassword)
		wantErr(t, "a script that does not stop", err, authn.ErrTooManyAttempts)
		if d := wait(t, err); d != time.Second/2 || h.computed() != before {
			t.Errorf("wait %v", d)
		}
		h.clock.Advance(time.Second / 2)
		wantErr(t, "after that", h.from(t, 1, "ada@example.com", goodPassword), nil)
		wantErr(t, "somebody else", h.from(t, 1, "user1@example.com", goodPassword), nil)
	})
}

func TestSignIn_WhatComesToNoAnswerCostsNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.limited(authn.PasswordLimits{Right: authn.Attempts{Burst: 2, Every: time.Hour}, Addr: authn.Attempts{Burst: 2, Every: time.Hour}})
		h.register(t, "ada@example.com")
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		leave := func() {
			for range 500 {
				_, err := h.passwords.SignIn(gone, h.db, authn.SignIn{Email: "ada@example.com", Password: goodPassword, Addr: place(1)})
				wantErr(t, "who does not wait", err, context.Canceled)
			}
		}
		leave()
		wantErr(t, "who waits", h.from(t, 1, "ada@example.com", goodPassword), nil)
		leave()
		wantErr(t, "who waits", h.from(t, 1, "ada@example.com", goodPassword), nil)
	})
}

// In parallel too, no more is tried than is paid for.
func TestSignIn_WhatIsTriedAtOnceIsOwed(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.limited(authn.PasswordLimits{Pair: authn.Attempts{Burst: 2, Every: time.Minute}})
		h.register(t, "ada@example.com")
		before := h.computed()
		together(t, 40, authn.ErrBadCredential, func(int) error {
			if err := h.from(t, 1, "ada@example.com", "wrong password"); !errors.Is(err, authn.ErrTooManyAttempts) {
				return err
			}
			return authn.ErrBadCredential
		})
		n := h.computed() - before
		if n < 2 || n > 11 { // five bursts at once, and one more when the first of them has cost its token
			t.Errorf("%d of 40 were hashed, want 2 to 11", n)
		}
		h.clock.Advance(time.Duration(n-2) * time.Minute) // what was borrowed
		wantErr(t, "before it is paid off", h.from(t, 1, "ada@example.com", goodPassword), authn.ErrTooManyAttempts)
		h.clock.Advance(time.Minute)
		wantErr(t, "after it", h.from(t, 1, "ada@example.com", goodPassword), nil)
	})
}

func TestBasic_TooManyAttemptsAre429(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.limited(authn.PasswordLimits{Pair: authn.Attempts{Burst: 1, Every: 90 * time.Second}})
		h.register(t, "ada@example.com")
		member := h.passwords.Middleware(h.db, 0)(whoami)
		person := h.accounts.Person(h.db, h.passwords.Person(h.db))
		ask := func(client, password string) (status int, code string, retry string) {
			r := request("GET", "/accounts", "", "Authorization", basic("ada@example.com", password), "X-Forwarded-For", client)
			w := serve(member, r)
			if password != goodPassword { // the other way in shares the counts
				w = serve(person, r)
			}
			_, code, _ = strings.Cut(w.Body.String(), `"code":"`)
			code, _, _ = strings.Cut(code, `"`)
			return w.Code, code, w.Header().Get("Retry-After")
		}
		if status, code, retry := ask("198.51.100.1", "wrong"); status != 429 || code != "too_many_attempts" || retry != "90" {
			t.Errorf("the second wrong one: %d %s, Retry-After %s", status, code, retry)
		}
		if status, _, _ := ask("198.51.100.2", goodPassword); status != 200 {
			t.Errorf("from another address: %d", status)
		}
		if status, _, _ := ask("198.51.100.1", goodPassword); status != 429 {
			t.Errorf("the right one: %d", status)
		}
	})
}

func TestSignUp_IsCountedByAddress(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.limited(authn.PasswordLimits{SignUp: authn.Attempts{Burst: 3, Every: 20 * time.Second}})
		signUp := h.passwords.SignUp(h.db, h.keys)
		post := func(client string, n int) (int, string) {
			body := `{"name":"N","email":"n` + strconv.Itoa(n) + `@example.com","password":"` + goodPassword + `"}`
			w := serve(signUp, request("POST", "/", body, "X-Forwarded-For", client))
			return w.Code, w.Header().Get("Retry-After")
		}
		for i := range 3 {
			if status, _ := post("198.51.100.1", i); status != 201 {
				t.Errorf("sign-up %d: %d", i, status)
			}
		}
		before := h.computed()
		if status, retry := post("198.51.100.1", 3); status != 429 || retry != "20" || h.computed() != before {
			t.Errorf("the fourth: %d, Retry-After %s", status, retry)
		}
		if status, _ := post("198.51.100.2", 4); status != 201 {
			t.Errorf("from another address: %d", status)
		}
		h.clock.Advance(20 * time.Second)
		if status, _ := post("198.51.100.1", 3); status != 201 {
			t.Errorf("later: %d", status)
		}
	})
}

func TestSignIn_APanicCountsAsWrongAndEndsTheAttempt(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.limited(authn.PasswordLimits{Pair: authn.Attempts{Burst: 1, Every: time.Hour}})
		h.register(t, "ada@example.com")
		authn.Explode(h.passwords)
		explode := func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_ = h.from(t, 1, "ada@example.com", goodPassword)
		}
		for range 10 {
			explode()
			wantErr(t, "the next", h.from(t, 1, "ada@example.com", goodPassword), authn.ErrTooManyAttempts)
			h.clock.Advance(time.Hour)
		}
		authn.Quick(h.passwords)
		wantErr(t, "the right one", h.from(t, 1, "ada@example.com", goodPassword), nil)
	})
}

func TestSignIn_ARefusalCostsNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.limited(authn.PasswordLimits{
			Right: authn.Attempts{Burst: 1, Every: time.Minute}, Addr: authn.Attempts{Burst: 1, Every: time.Minute}, Email: authn.Attempts{Burst: 1, Every: time.Hour},
		})
		h.register(t, "ada@example.com")
		h.register(t, "bob@example.com")
		wantErr(t, "the first", h.from(t, 1, "ada@example.com", goodPassword), nil)
		wantErr(t, "a wrong one", h.from(t, 1, "eve@example.com", "wrong password"), authn.ErrBadCredential)
		for range 100 {
			wantErr(t, "too often", h.from(t, 1, "ada@example.com", goodPassword), authn.ErrTooManyAttempts)
			wantErr(t, "from a bad address", h.from(t, 1, "bob@example.com", goodPassword), authn.ErrTooManyAttempts)
		}
		wantErr(t, "from a good one", h.from(t, 2, "bob@example.com", goodPassword), nil)
		h.clock.Advance(time.Minute)
		wantErr(t, "later", h.from(t, 1, "ada@example.com", goodPassword), nil)
		wantErr(t, "later", h.from(t, 1, "bob@example.com", goodPassword), nil)
	})
}

// Whoever signs up often has many right passwords.
func TestSignIn_OneAddressWithManyAccountsDoesNotTakeTheCPUs(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.limited(authn.PasswordLimits{RightAddr: authn.Attempts{Burst: 30, Every: time.Second}})
		done := 0
		for i := range 20 {
			email := fmt.Sprintf("a%d@example.com", i)
			h.register(t, email)
			for range 3 {
				before := h.computed()
				switch err := h.from(t, 1, email, goodPassword); {
				case err == nil:
					done++
				case !errors.Is(err, authn.ErrTooManyAttempts) || wait(t, err) != time.Second || h.computed() != before:
					t.Errorf("%v, with %d hashes", err, h.computed()-before)
				}
			}
		}
		if done != 30 {
			t.Errorf("%d of 60 signed in, want 30", done)
		}
		wantErr(t, "from elsewhere", h.from(t, 2, "a1@example.com", goodPassword), nil)
		h.clock.Advance(time.Second)
		wantErr(t, "later, mistyped", h.from(t, 1, "a1@example.com", "wrong password"), authn.ErrBadCredential)
		wantErr(t, "later", h.from(t, 1, "a1@example.com", goodPassword), nil)
		wantErr(t, "once", h.from(t, 1, "a1@example.com", goodPassword), authn.ErrTooManyAttempts)
	})
}

func TestSignIn_TheNetworksOfOneSiteAreHeldBackTogether(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.limited(authn.PasswordLimits{Site: authn.Attempts{Burst: 5, Every: time.Minute}})
		h.register(t, "ada@example.com")
		in := func(addr, password string) error {
			_, err := h.passwords.SignIn(t.Context(), h.db, authn.SignIn{Email: "ada@example.com", Password: password, Addr: netip.MustParseAddr(addr)})
			return err
		}
		wantErr(t, "a known one", in("2001:db8:1:ff::1", goodPassword), nil)
		for i := range 5 {
			wantErr(t, "a wrong one", in(fmt.Sprintf("2001:db8:1:%x::1", i), "wrong password"), authn.ErrBadCredential)
		}
		for range 3 { // a refusal costs nothing
			wantErr(t, "the sixth", in("2001:db8:1:6::1", "wrong password"), authn.ErrTooManyAttempts)
		}
		wantErr(t, "the known one", in("2001:db8:1:ff::2", goodPassword), nil)
		wantErr(t, "from another site", in("2001:db8:2::1", "wrong password"), authn.ErrBadCredential)
		for i := range 8 { // IPv4 has no sites
			wantErr(t, "IPv4", in(fmt.Sprintf("203.0.113.%d", i), "wrong password"), authn.ErrBadCredential)
		}
		h.clock.Advance(time.Minute)
		wantErr(t, "later", in("2001:db8:1:6::1", goodPassword), nil)
		wantErr(t, "which cost nothing", in("2001:db8:1:7::1", "wrong password"), authn.ErrBadCredential)
	})
}

// However many come, some wait for a hash and the others are told so at once; one address
// has half of the room.
func TestSignIn_TheQueueForAHashIsBounded(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.passwords = authn.NewPasswords(h.accounts, authn.PasswordConfig{Now: h.clock.Now, Parallel: 1, Waiting: 4})
		running, release := authn.Gate(h.passwords)
		results := make(chan error, 100)
		var all sync.WaitGroup
		come := func(addr, i int) {
			all.Go(func() { results <- h.from(t, addr, fmt.Sprintf("u%d-%d@example.com", addr, i), goodPassword) })
		}
		inside := func(want int64) {
			for running()+authn.Waiting(h.passwords) != want {
				runtime.Gosched()
			}
		}
		refused := func(what string, addr int) {
			t.Helper()
			come(addr, 100)
			var err error
			select {
			case err = <-results:
			case <-time.After(10 * time.Second): // it waits, and would for good
				t.Errorf("%s is let in", what)
				return
			}
			wantErr(t, what, err, authn.ErrTooManyAttempts)
			if d := wait(t, err); d != time.Second {
				t.Errorf("%s: wait %v", what, d)
			}
		}
		for i := range 3 {
			come(1, i)
			inside(int64(i + 1))
		}
		refused("one more from the address", 1)
		for i := range 2 {
			come(2, i)
			inside(int64(i + 4))
		}
		refused("one more from anywhere", 3)
		if !t.Failed() {
			_, err := h.passwords.Prepare(t.Context(), tenancy.Register{Name: "N", Email: "n@example.com"}, goodPassword)
			wantErr(t, "a sign-up", err, authn.ErrTooManyAttempts)
		}
		close(release)
		all.Wait()
		for range 5 {
			wantErr(t, "one that waited", <-results, authn.ErrBadCredential)
		}
		wantErr(t, "afterwards", h.from(t, 1, "x@example.com", goodPassword), authn.ErrBadCredential)
		if n := authn.Waiting(h.passwords); n != 0 {
			t.Errorf("%d wait", n)
		}
	})
}
