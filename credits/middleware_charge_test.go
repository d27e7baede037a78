package credits_test

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/credits/prices"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestM14_AHandlerSaysWhatItUsed(t *testing.T) {
	set := func(n int64) func(m *credits.Meter) error {
		return func(m *credits.Meter) error { return m.Set(credits.Priced{Amount: n}) }
	}
	add := func(n int64) func(m *credits.Meter) error {
		return func(m *credits.Meter) error { return m.Add(n) }
	}
	type says = []func(m *credits.Meter) error
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 1000)
		for name, c := range map[string]struct {
			says says
			cost int64
		}{
			"nothing":     {nil, 8},
			"none":        {says{set(0)}, 0},
			"none, added": {says{add(0)}, 0},
			"less":        {says{add(3)}, 3},
			"in parts":    {says{add(3), add(4)}, 7},
			"more":        {says{add(30)}, 30},
			"last":        {says{add(3), set(5), set(4)}, 4},
			"and more":    {says{set(5), add(4)}, 9},
		} {
			for _, how := range []string{"kept back", "metered", "flushed"} {
				before, err := l.Balance(t.Context(), db, acc)
				if err != nil {
					t.Fatal(err)
				}
				w, _ := ask(t, l, db, credits.Charge{Cost: credits.Fixed(8), Metered: how == "metered"}, func(w http.ResponseWriter, r *http.Request) {
					m := credits.MeterFrom(r.Context())
					for i, say := range c.says {
						if err := say(m); err != nil {
							t.Error(err)
						}
						if i == 0 && how == "metered" {
							flush(t, w)
						}
					}
					if how == "flushed" {
						flush(t, w)
						if err := m.Add(1); !errors.Is(err, credits.ErrHoldEnded) {
							t.Error(err)
						}
					}
				})
				if w.Code != 200 {
					t.Error(w.Code)
				}
				left := before.Spendable - c.cost
				requireBalance(t, l, db, credits.Balance{Booked: left, Spendable: left})
				if how != "metered" {
					h := w.Result().Header
					if got := h.Get(credits.HeaderCost); got != itoa(c.cost) || h.Get(credits.HeaderRemaining) != itoa(left) {
						t.Errorf("%s, %s: %v", name, how, h)
					}
				}
			}
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestM14_AMeterTakesNothingThatCannotBe(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 20)
		var kept *credits.Meter
		for _, status := range []int{200, 500} {
			ask(t, l, db, credits.Charge{Cost: credits.Fixed(5)}, func(w http.ResponseWriter, r *http.Request) {
				m := credits.MeterFrom(r.Context())
				kept = m
				for err, want := range map[error]error{
					m.Add(1): nil, m.Add(-1): credits.ErrInvalid, m.Set(credits.Priced{Amount: -1}): credits.ErrInvalid,
					m.Set(credits.Priced{Basis: strings.Repeat("x", 1001)}): credits.ErrInvalid, m.Add(1<<63 - 1): credits.ErrOverflow,
				} {
					if !errors.Is(err, want) {
						t.Errorf("%v, want %v", err, want)
					}
				}
				w.WriteHeader(status)
			})
			if err := kept.Set(credits.Priced{}); !errors.Is(err, credits.ErrHoldEnded) {
				t.Errorf("after its request: %v", err)
			}
		}
		creditstest.RequireEntry(t, l, db, acc, credits.KindSettle, -1)
		ask(t, l, db, credits.Charge{Cost: credits.Fixed(0)}, func(_ http.ResponseWriter, r *http.Request) {
			if err := credits.MeterFrom(r.Context()).Add(1); !errors.Is(err, credits.ErrHoldEnded) {
				t.Errorf("of a free request: %v", err)
			}
		})
		ask(t, l, db, credits.Charge{Cost: credits.Fixed(5)}, func(_ http.ResponseWriter, r *http.Request) {
			for _, err := range dbtest.Together(10, func(int) error { return credits.MeterFrom(r.Context()).Add(1) }) {
				if err != nil {
					t.Error(err)
				}
			}
		})
		creditstest.RequireEntry(t, l, db, acc, credits.KindSettle, -10)
	})
}

func TestM14_AMeterOutsideTheMiddlewarePanics(t *testing.T) {
	defer func() {
		if s, _ := recover().(string); !strings.Contains(s, "MiddlewareFor") {
			t.Error(s)
		}
	}()
	credits.MeterFrom(t.Context())
}

func TestM14_AChargeThatMakesNoSenseIsNotMounted(t *testing.T) {
	l := credits.New(credits.Config{})
	quote := func(*http.Request) (credits.Priced, error) { return credits.Priced{}, nil }
	for name, c := range map[string]credits.Charge{
		"no cost":   {},
		"two costs": {Cost: credits.Fixed(1), Quote: quote},
		"too short": {Quote: quote, For: time.Second - 1},
		"too long":  {Quote: quote, For: 30*24*time.Hour + 1},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: mounted", name)
				}
			}()
			l.MiddlewareFor(nil, c)
		}()
	}
	l.MiddlewareFor(nil, credits.Charge{Quote: quote, For: 30 * 24 * time.Hour})
}

// Work that turns out to cost more than the account has.
func TestM14_MoreThanTheAccountHas(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, _ *credits.Ledger) {
		l := credits.New(credits.Config{Overdraft: 3})
		fund(t, l, db, 20)
		// Before the answer has begun it is not given, and not charged.
		for _, metered := range []bool{false, true} {
			w, _ := ask(t, l, db, credits.Charge{Cost: credits.Fixed(5), Metered: metered}, func(w http.ResponseWriter, r *http.Request) {
				use(t, r.Context(), 24)
				_, _ = io.WriteString(w, "work")
			})
			if code, _ := refused(t, w); w.Code != 402 || code != "insufficient_credits" || w.Header().Get(credits.HeaderCost) != "0" {
				t.Error(w.Code, code, w.Header())
			}
			requireBalance(t, l, db, credits.Balance{Booked: 20, Spendable: 20})
		}
		// Afterwards all that there is is taken, the overdraft too.
		w, _ := ask(t, l, db, credits.Charge{Cost: credits.Fixed(5), Metered: true}, func(w http.ResponseWriter, r *http.Request) {
			flush(t, w)
			use(t, r.Context(), 24)
		})
		if got := w.Result().Trailer.Get(credits.HeaderCost); w.Code != 200 || got != "23" {
			t.Error(w.Code, got)
		}
		requireBalance(t, l, db, credits.Balance{Booked: -3})
		creditstest.RequireSound(t, l, db, acc)
	})
}

// onLog is called with every line that is logged.
type onLog func(message string)

func (onLog) Enabled(context.Context, slog.Level) bool { return true }

func (f onLog) Handle(_ context.Context, r slog.Record) error { f(r.Message); return nil }

func (f onLog) WithAttrs([]slog.Attr) slog.Handler { return f }

func (f onLog) WithGroup(string) slog.Handler { return f }

// Who spends on while an answer is charged can't keep it waiting: after a few attempts it
// is left to the end of its hold.
func TestM14_AnAccountThatIsBeingEmptiedIsNotChasedForEver(t *testing.T) {
	before, output := slog.Default(), log.Writer()
	t.Cleanup(func() { slog.SetDefault(before); log.SetOutput(output) })
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 20)
		var logged []string
		slog.SetDefault(slog.New(onLog(func(message string) {
			logged = append(logged, message)
			deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
		})))
		ask(t, l, db, credits.Charge{Cost: credits.Fixed(5), Metered: true, For: time.Minute}, func(w http.ResponseWriter, r *http.Request) {
			flush(t, w)
			use(t, r.Context(), 1000)
		})
		more := "quitrent: an answer used more than the account has"
		if d := cmp.Diff([]string{more, more, more, "quitrent: settlement failed"}, logged); d != "" {
			t.Error(d)
		}
		requireBalance(t, l, db, credits.Balance{Booked: 16, Held: 5, Spendable: 11})
		clock.Advance(time.Minute)
		requireBalance(t, l, db, credits.Balance{Booked: 11, Spendable: 11})
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestM14_ARouteSaysWhichAnswersItCharges(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 1000)
		left := int64(1000)
		settles := func(status int) bool { return status == 200 || status == 422 }
		for _, metered := range []bool{false, true} {
			for status, want := range map[int]bool{200: true, 201: false, 304: false, 422: true, 500: false, 101: false} {
				for _, flushed := range []bool{false, true} {
					w, _ := ask(t, l, db, credits.Charge{Cost: credits.Fixed(5), Settles: settles, Metered: metered}, func(w http.ResponseWriter, _ *http.Request) {
						w.WriteHeader(status)
						if flushed {
							flush(t, w)
						}
					})
					if w.Code != status {
						t.Errorf("%d, want %d", w.Code, status)
					}
					if want {
						left -= 5
					}
					requireBalance(t, l, db, credits.Balance{Booked: left, Spendable: left})
				}
			}
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// An entry that the middleware makes explains itself.
func TestM14_AChargeByThePriceListIsExplained(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 100)
		list := prices.New(prices.Config{Now: func() time.Time { return start }})
		_, err := list.Set(t.Context(), db, prices.Set{Operation: "chat", Price: prices.Price{Components: []prices.Component{{Input: "tokens", Credits: 3, Per: 1000}}}, EffectiveAt: start})
		if err != nil {
			t.Fatal(err)
		}
		quote := func(r *http.Request, tokens int64) (credits.Priced, error) {
			q, err := list.Quote(r.Context(), db, prices.Quote{Account: acc, Operation: "chat", Inputs: map[string]int64{"tokens": tokens}})
			return credits.Priced{Amount: q.Amount, Basis: q.Basis}, err
		}
		charge := credits.Charge{
			Quote:   func(r *http.Request) (credits.Priced, error) { return quote(r, 4000) },
			Metered: true, Operation: "chat",
		}
		for _, c := range []struct {
			tokens, added, cost int64
			explained           string
		}{
			{-1, 0, 12, "chat, version 1 of the price: 4000 tokens at 3 credits per 1000 = 12: 12 credits"},
			{1200, 0, 4, "chat, version 1 of the price: 1200 tokens at 3 credits per 1000 = 3.6, rounded up: 4 credits"},
			{1200, 1, 5, ""},
		} {
			ask(t, l, db, charge, func(w http.ResponseWriter, r *http.Request) {
				if c.tokens < 0 {
					return
				}
				p, err := quote(r, c.tokens)
				if err != nil {
					t.Error(err)
				}
				flush(t, w)
				if err := credits.MeterFrom(r.Context()).Set(p); err != nil {
					t.Error(err)
				}
				if c.added > 0 {
					use(t, r.Context(), c.added)
				}
			})
			e := creditstest.RequireEntry(t, l, db, acc, credits.KindSettle, -c.cost)
			if c.explained == "" {
				if e.Basis != "" {
					t.Errorf("the basis %s is of another amount", e.Basis)
				}
				continue
			}
			x, err := list.Explain(t.Context(), db, prices.Explain{Account: acc, Basis: e.Basis})
			if err != nil || x.Text != c.explained || !x.Agrees {
				t.Errorf("%+v, %v", x, err)
			}
		}
		w, _ := ask(t, l, db, credits.Charge{Quote: func(*http.Request) (credits.Priced, error) {
			return credits.Priced{Amount: 1, Basis: strings.Repeat("x", 1001)}, nil
		}}, func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") })
		if w.Code != 422 {
			t.Error(w.Code)
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
