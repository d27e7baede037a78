package credits_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// call sends one request of an account through the middleware and returns the answer and
// what the handler panicked with.
func call(t *testing.T, l *credits.Ledger, db *bun.DB, account tenancy.AccountID, cost credits.Cost, h http.HandlerFunc) (w *httptest.ResponseRecorder, panicked any) {
	t.Helper()
	w = httptest.NewRecorder()
	defer func() { panicked = recover() }()
	r := httptest.NewRequestWithContext(tenancytest.Context(t, tenancy.Scope{Account: account}), "POST", "/v1/ideas", nil)
	mux := http.NewServeMux()
	mux.Handle("POST /v1/ideas", l.Middleware(db, cost)(h))
	mux.ServeHTTP(w, r)
	return w, nil
}

func requireCharge(t *testing.T, w *httptest.ResponseRecorder, cost, left string) {
	t.Helper()
	if c, r := w.Header().Get(credits.HeaderCost), w.Header().Get(credits.HeaderRemaining); c != cost || r != left {
		t.Errorf("the headers say that it cost %q and %q are left, want %q and %q", c, r, cost, left)
	}
}

func TestM14_AFailedOperationGivesItsCreditsBack(t *testing.T) {
	status := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n); _, _ = io.WriteString(w, "x") }
	}
	// httptest takes a 103 for the answer; a server goes on.
	cases := map[string]struct {
		h      http.HandlerFunc
		keeps  bool
		panics bool
		status int
	}{
		"200":            {h: status(200), keeps: true, status: 200},
		"201":            {h: status(201), keeps: true, status: 201},
		"303":            {h: status(303), keeps: true, status: 303},
		"399":            {h: status(399), keeps: true, status: 399},
		"400":            {h: status(400), status: 400},
		"404":            {h: status(404), status: 404},
		"500":            {h: status(500), status: 500},
		"nothing":        {h: func(http.ResponseWriter, *http.Request) {}, keeps: true, status: 200},
		"a body":         {h: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }, keeps: true, status: 200},
		"a panic":        {h: func(http.ResponseWriter, *http.Request) { panic("boom") }, panics: true, status: 200},
		"an abort":       {h: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, panics: true, status: 200},
		"late panic":     {h: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x"); panic("boom") }, panics: true, status: 200},
		"long, panic":    {h: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 64<<10+1)); panic("boom") }, keeps: true, panics: true, status: 200},
		"500, panic":     {h: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); panic("boom") }, panics: true, status: 500},
		"flush, 500":     {h: func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); w.WriteHeader(500) }, keeps: true, status: 200},
		"flush, panic":   {h: func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush(); panic("boom") }, keeps: true, panics: true, status: 200},
		"200, then 500":  {h: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); w.WriteHeader(500) }, keeps: true, status: 200},
		"500, then 200":  {h: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); w.WriteHeader(200) }, status: 500},
		"hints, 200":     {h: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(200) }, keeps: true, status: 103},
		"hints, 500":     {h: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(500) }, status: 103},
		"another scheme": {h: status(http.StatusSwitchingProtocols), keeps: true, status: 101},
	}
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		account := 0
		for name, c := range cases {
			account++
			id := tenancy.AccountID(strconv.Itoa(account))
			t.Run(name, func(t *testing.T) {
				grant(t, l, db, credits.Grant{Account: id, Amount: 20, Key: "k"})
				w, panicked := call(t, l, db, id, credits.Fixed(5), c.h)
				if w.Code != c.status || (panicked != nil) != c.panics {
					t.Errorf("status %d, panic %v", w.Code, panicked)
				}
				if c.keeps {
					e := creditstest.RequireEntry(t, l, db, id, credits.KindSettle, -5)
					if e.Operation != "POST /v1/ideas" {
						t.Errorf("operation %q", e.Operation)
					}
					requireCharge(t, w, "5", "15")
				} else {
					creditstest.RequireEntry(t, l, db, id, credits.KindGrant, 20)
					creditstest.RequireBalance(t, l, db, id, 20)
					requireCharge(t, w, "0", "20")
				}
				creditstest.RequireSound(t, l, db, id)
			})
		}
	})
}

func TestM14_AShortageAnswers402AndTheHandlerDoesNotRun(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, _ *credits.Ledger) {
		l := credits.New(credits.Config{Pay: "https://example.com/pay"})
		fund(t, l, db, 4)
		before := rows(t, db)
		for range 2 {
			w, _ := call(t, l, db, acc, credits.Fixed(5), func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") })
			code, body := refused(t, w)
			want := map[string]any{
				"type": "about:blank", "title": "Payment Required", "status": 402.0, "code": "insufficient_credits",
				"detail": "not enough credits: buy more to go on: this takes 5 and 4 are left", "credits_needed": 5.0, "credits_left": 4.0,
				"pay": "https://example.com/pay",
			}
			if d := cmp.Diff(want, body); d != "" || w.Code != http.StatusPaymentRequired {
				t.Error(w.Code, code, d)
			}
			requireCharge(t, w, "", "")
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Errorf("a refused request wrote: %s", d)
		}
	})
}

func TestM14_AFreeRequestChargesNothingAndABadCostRunsNothing(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 20)
		ran := false
		w, _ := call(t, l, db, acc, credits.Fixed(0), func(w http.ResponseWriter, _ *http.Request) { ran = true; w.WriteHeader(500) })
		if !ran || w.Code != 500 {
			t.Errorf("free: ran %v, %d", ran, w.Code)
		}
		requireCharge(t, w, "", "")
		for _, c := range []struct {
			cost   credits.Cost
			status int
		}{
			{credits.Fixed(-1), 503},
			{func(*http.Request) (int64, error) { return 5, credits.ErrInvalid }, 422},
			{func(*http.Request) (int64, error) { return 0, errors.New("no price list") }, 503},
		} {
			w, _ := call(t, l, db, acc, c.cost, func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") })
			if w.Code != c.status {
				t.Errorf("status %d, want %d", w.Code, c.status)
			}
		}
		creditstest.RequireBalance(t, l, db, acc, 20)
	})
}

func TestM14_AClientThatHasGoneGetsItsCreditsBack(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 20)
		ctx, cancel := context.WithCancel(tenancytest.Context(t, tenancy.Scope{Account: acc}))
		h := l.Middleware(db, credits.Fixed(5))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			cancel()
			http.Error(w, r.Context().Err().Error(), http.StatusGatewayTimeout)
		}))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "POST", "/", nil))
		creditstest.RequireEntry(t, l, db, acc, credits.KindGrant, 20)
		creditstest.RequireBalance(t, l, db, acc, 20)

		// One that has gone before is not charged, and nothing runs.
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "POST", "/", nil))
		creditstest.RequireBalance(t, l, db, acc, 20)
	})
}

func TestM14_AHandlerThatEndsItsGoroutineGetsTheCreditsBack(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 20)
		done := make(chan struct{})
		go func() {
			defer close(done)
			call(t, l, db, acc, credits.Fixed(5), func(http.ResponseWriter, *http.Request) { runtime.Goexit() })
		}()
		<-done
		creditstest.RequireBalance(t, l, db, acc, 20)
	})
}

func TestM14_AReleaseThatFailsLeavesTheHoldToItsEnd(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 20)
		w, _ := call(t, l, db, acc, credits.Fixed(5), func(w http.ResponseWriter, _ *http.Request) {
			exec(t, db, "ALTER TABLE credits_holds RENAME TO elsewhere")
			w.WriteHeader(500)
		})
		exec(t, db, "ALTER TABLE elsewhere RENAME TO credits_holds")
		requireCharge(t, w, "5", "15")
		creditstest.RequireBalance(t, l, db, acc, 15)
		clock.Advance(15 * time.Minute)
		creditstest.RequireBalance(t, l, db, acc, 20)
		creditstest.RequireSound(t, l, db, acc)
	})
}

// A handler that answers with its own transaction still open holds the lock that the
// settlement wants, and on one connection the connection too.
func TestM14_AHandlerThatAnswersInsideItsTransactionWaitsForNothing(t *testing.T) {
	h := func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 30)
		inTransaction(t, db, l, 404, "no such thing", "0", "30")
		inTransaction(t, db, l, 404, strings.Repeat("x", 1<<20), "", "")
		inTransaction(t, db, l, 200, "here you are", "5", "25")
		inTransaction(t, db, l, 200, strings.Repeat("x", 60_000), "5", "20")
		creditstest.RequireBalance(t, l, db, acc, 20)
	}
	bare(t, h)
	t.Run("one connection", func(t *testing.T) {
		h(t, dbtest.SQLiteOneConn(t, credits.Migrate), credits.New(credits.Config{}))
	})
}

func inTransaction(t *testing.T, db *bun.DB, l *credits.Ledger, status int, answer, cost, left string) {
	t.Helper()
	w, _ := call(t, l, db, acc, credits.Fixed(5), func(w http.ResponseWriter, r *http.Request) {
		tx, err := db.BeginTx(r.Context(), nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := l.Deduct(r.Context(), tx, credits.Deduct{Account: acc, Amount: 1}); err != nil {
			t.Error(err)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	})
	requireCharge(t, w, cost, left)
	if w.Code != status || w.Body.String() != answer {
		t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
	}
}

// What a handler sets after it has written its header is too late, held back or not.
func TestM14_AHeaderIsWrittenOnce(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 20)
		for _, size := range []int{1, 100_000} {
			for _, status := range []int{200, 404} {
				w, _ := call(t, l, db, acc, credits.Fixed(5), func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					w.Header().Set("Trailer", "X-Sum")
					w.WriteHeader(status)
					w.Header().Set("Content-Type", "text/html")
					w.Header().Set("X-Late", "yes")
					_, _ = io.WriteString(w, strings.Repeat("x", size))
					w.Header().Set("X-Sum", "1")
				})
				res := w.Result()
				if h := res.Header; h.Get("Content-Type") != "application/json" || h.Get("X-Late") != "" || res.Trailer.Get("X-Sum") != "1" {
					t.Errorf("%d bytes, %d: %v, trailers %v", size, status, h, res.Trailer)
				}
			}
		}
	})
}

func TestM14_AFailureIsHeldBackWholeOrUpToItsBound(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 20)
		for _, size := range []int{0, 1, 64 << 10, 64<<10 + 1, 1 << 20} {
			body := strings.Repeat("x", size)
			w, _ := call(t, l, db, acc, credits.Fixed(5), func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Mine", "kept")
				w.WriteHeader(422)
				w.(http.Flusher).Flush()
				for part := range slices.Chunk([]byte(body), 30_000) {
					if n, err := w.Write(part); n != len(part) || err != nil {
						t.Error(n, err)
					}
				}
			})
			if size <= 64<<10 {
				requireCharge(t, w, "0", "20")
			}
			creditstest.RequireBalance(t, l, db, acc, 20)
			if w.Code != 422 || w.Body.String() != body || w.Header().Get("X-Mine") != "kept" {
				t.Errorf("%d bytes: %d, %d bytes", size, w.Code, w.Body.Len())
			}
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// Over a real connection: what is flushed arrives before the handler ends, with
// the headers.
func TestM14_AStreamBeginsWithItsCharge(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 20)
		goOn := make(chan struct{})
		ctx := tenancytest.Context(t, tenancy.Scope{Account: acc})
		h := l.Middleware(db, func(r *http.Request) (int64, error) {
			return strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
		})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "one ")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			<-goOn
			_, _ = io.WriteString(w, "two")
		}))
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(context.WithoutCancel(ctx)))
		}))
		defer server.Close()
		resp, err := http.Get(server.URL + "?n=3")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if got := resp.Header.Get(credits.HeaderRemaining); got != "17" {
			t.Errorf("%q left", got)
		}
		close(goOn)
		if b, err := io.ReadAll(resp.Body); string(b) != "one two" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	})
}

// A route that costs two units: one middleware inside the other.
func TestMiddleware_OfTwoUnitsShowsTheOuterFigures(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		seconds := credits.New(credits.Config{Unit: "gpu_second"})
		for _, metered := range []bool{false, true} {
			key := fmt.Sprint("fund ", metered)
			grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: key})
			grant(t, seconds, db, credits.Grant{Account: acc, Amount: 50, Key: key + " seconds"})
			inner := seconds.MiddlewareFor(db, credits.Charge{Cost: credits.Fixed(30), Metered: metered})
			w, _ := call(t, l, db, acc, credits.Fixed(10), func(w http.ResponseWriter, r *http.Request) {
				inner(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { use(t, r.Context(), 50) })).ServeHTTP(w, r)
			})
			requireCharge(t, w, "10", "0")
		}
		creditstest.RequireBalance(t, l, db, acc, 0)
		creditstest.RequireBalance(t, seconds, db, acc, 0)
	})
}

// The pattern is known inside a ServeMux only.
func TestMiddleware_AroundAMuxKnowsNoOperation(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 10)
		mux := http.NewServeMux()
		mux.HandleFunc("POST /v1/ideas", func(http.ResponseWriter, *http.Request) {})
		r := httptest.NewRequestWithContext(tenancytest.Context(t, tenancy.Scope{Account: acc}), "POST", "/v1/ideas", nil)
		l.Middleware(db, credits.Fixed(1))(mux).ServeHTTP(httptest.NewRecorder(), r)
		if e := creditstest.RequireEntry(t, l, db, acc, credits.KindSettle, -1); e.Operation != "" {
			t.Errorf("operation %q", e.Operation)
		}
	})
}
