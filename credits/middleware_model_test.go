package credits_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// deed is one thing that a handler does.
type deed struct {
	Do string // "use", "set", "write", "status", "flush", "panic"
	N  int
}

func drawActs(t *rapid.T) []deed {
	acts := make([]deed, rapid.IntRange(0, 6).Draw(t, "acts"))
	for i := range acts {
		a := deed{Do: rapid.SampledFrom([]string{"use", "use", "set", "write", "write", "status", "flush", "panic"}).Draw(t, "do")}
		switch a.Do {
		case "use", "set":
			a.N = rapid.IntRange(0, 12).Draw(t, "n")
		case "write":
			a.N = rapid.SampledFrom([]int{0, 1, 30_000, 64 << 10, 70_000}).Draw(t, "bytes")
		case "status":
			a.N = rapid.SampledFrom([]int{103, 200, 201, 302, 400, 500}).Draw(t, "status")
		}
		acts[i] = a
	}
	return acts
}

func (a deed) run(w http.ResponseWriter, r *http.Request) {
	m := credits.MeterFrom(r.Context())
	switch a.Do {
	case "use":
		_ = m.Add(int64(a.N))
	case "set":
		_ = m.Set(credits.Priced{Amount: int64(a.N)})
	case "write":
		_, _ = w.Write(make([]byte, a.N))
	case "status":
		w.WriteHeader(a.N)
	case "flush":
		w.(http.Flusher).Flush()
	case "panic":
		panic("boom")
	}
}

// paid is what a request is to cost an account that has so much, by the rules as a customer
// would read them.
func paid(acts []deed, cost, have int64, metered bool) int64 {
	var (
		status, kept int
		begun        bool // something of a success has gone out
		said         bool
		used         int64
		closed       bool
	)
	now := func() int64 {
		if said {
			return used
		}
		return cost
	}
	// begin is the first byte; it reports that there is nobody to pay for it.
	begin := func() (refused bool) {
		if begun || status >= 400 {
			return false
		}
		begun = true
		if !metered {
			if closed = true; now() > have {
				return true
			}
		}
		return false
	}
	for _, a := range acts {
		if (a.Do == "write" || a.Do == "flush") && status == 0 {
			status = 200
		}
		switch {
		case a.Do == "use" && !closed:
			used, said = used+int64(a.N), true
		case a.Do == "set" && !closed:
			used, said = int64(a.N), true
		case a.Do == "write":
			if kept += a.N; kept > 64<<10 && begin() {
				return 0
			}
		case a.Do == "flush":
			if begin() {
				return 0
			}
		case a.Do == "status" && status == 0 && a.N >= 200:
			status = a.N
		case a.Do == "panic":
			if !begun {
				return 0
			}
			return min(now(), have)
		}
	}
	switch {
	case status >= 400:
		return 0
	case now() > have && !begun:
		return 0
	}
	return min(now(), have)
}

func TestM14_WhateverAHandlerDoesNothingStaysHeldAndTheBalanceIsWhatWasPaid(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		clock := tenancytest.NewClock(start)
		l := credits.New(credits.Config{Now: clock.Now})
		made := 0
		check(t, db, shares{sqlite: 30, postgres: 100}, func(t *rapid.T) {
			made++
			account := tenancy.AccountID(fmt.Sprint("acc_", made))
			ctx := context.Background()
			if _, err := l.Grant(ctx, db, credits.Grant{Account: account, Amount: 30, Key: "k"}); err != nil {
				t.Fatal(err)
			}
			left := int64(30)
			for range rapid.IntRange(1, 5).Draw(t, "requests") {
				cost, metered, acts := rapid.Int64Range(1, 10).Draw(t, "cost"), rapid.Bool().Draw(t, "metered"), drawActs(t)
				want, ran := paid(acts, cost, left, metered), false
				h := l.MiddlewareFor(db, credits.Charge{Cost: credits.Fixed(cost), Metered: metered})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					ran = true
					for _, a := range acts {
						a.run(w, r)
					}
				}))
				w := httptest.NewRecorder()
				func() {
					defer func() { _ = recover() }()
					entering(db, account, h).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "/", nil))
				}()
				if ran != (cost <= left) {
					t.Fatalf("it costs %d and %d are left: ran %v", cost, left, ran)
				}
				if ran {
					left -= want
				}
				b, err := l.Balance(ctx, db, account)
				if d := gocmp.Diff(credits.Balance{Booked: left, Spendable: left}, b); d != "" || err != nil {
					t.Fatalf("%+v: %s %v", acts, d, err)
				}
			}
			if found, err := l.Verify(ctx, db, account); err != nil || len(found) > 0 {
				t.Fatalf("verify: %v, %v", found, err)
			}
		})
	}, credits.Migrate)
}
