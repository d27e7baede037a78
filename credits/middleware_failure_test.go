package credits_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// ask sends one request through a charge, and returns what the handler panicked with.
func ask(t testing.TB, l *credits.Ledger, db *bun.DB, c credits.Charge, h http.HandlerFunc) (w *httptest.ResponseRecorder, panicked any) {
	t.Helper()
	w = httptest.NewRecorder()
	w.Header().Set("X-Outer", "stays")
	defer func() { panicked = recover() }()
	charged(l, db, c, h).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/", nil))
	return w, nil
}

func TestM14_AnAnswerThatCannotBeChargedIsNotGiven(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 20)
		refusing := func(w http.ResponseWriter, _ *http.Request) {
			_, err := io.WriteString(w, strings.Repeat("x", 64<<10+1))
			if err == nil || http.NewResponseController(w).Flush() == nil {
				t.Error("the handler goes on as if somebody paid")
			}
			if _, _, err := http.NewResponseController(w).Hijack(); err == nil || errors.Is(err, http.ErrNotSupported) {
				t.Error(err)
			}
			w.WriteHeader(200)
		}
		for _, c := range []struct {
			name    string
			table   string
			metered bool
			h       http.HandlerFunc
			left    int64
		}{
			{"kept back", "credits_entries", false, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Set-Cookie", "secret=1")
				w.Header().Set("Content-Length", "4")
				_, _ = io.WriteString(w, "work")
			}, 20},
			{"nothing written", "credits_entries", false, func(http.ResponseWriter, *http.Request) {}, 20},
			{"too long to keep back", "credits_entries", false, refusing, 20},
			{"metered", "credits_holds", true, refusing, 15},
			{"another scheme", "credits_entries", false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(101) }, 20},
			{"nothing works", "credits_holds", false, refusing, 15},
		} {
			w, _ := ask(t, l, db, credits.Charge{Cost: credits.Fixed(5), Metered: c.metered}, func(w http.ResponseWriter, r *http.Request) {
				exec(t, db, "ALTER TABLE "+c.table+" RENAME TO elsewhere")
				c.h(w, r)
			})
			exec(t, db, "ALTER TABLE elsewhere RENAME TO "+c.table)
			res := w.Result()
			if w.Code != 503 || !strings.Contains(w.Body.String(), `"code":"unavailable"`) || res.Header.Get("Retry-After") == "" ||
				res.Header.Get("Set-Cookie") != "" || res.Header.Get("Content-Length") == "4" || res.Header.Get("X-Outer") != "stays" {
				t.Errorf("%s: %d %s %v", c.name, w.Code, w.Body, res.Header)
			}
			cost := map[int64]string{20: "0", 15: "5"}[c.left]
			if got := res.Header.Get(credits.HeaderCost); got != cost {
				t.Errorf("%s: cost %q, want %q", c.name, got, cost)
			}
			creditstest.RequireBalance(t, l, db, acc, c.left)
			clock.Advance(15 * time.Minute) // what could not be released goes back
			requireBalance(t, l, db, credits.Balance{Booked: 20, Spendable: 20})
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// A settlement that fails when the answer has gone leaves the hold, which is charged.
func TestM14_AStreamThatCannotBeSettledIsChargedAtTheEndOfItsHold(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 20)
		w, _ := ask(t, l, db, credits.Charge{Cost: credits.Fixed(5), Metered: true, For: time.Minute}, func(w http.ResponseWriter, r *http.Request) {
			clock.Advance(50 * time.Second) // it counts from the first byte
			use(t, r.Context(), 2)
			flush(t, w)
			exec(t, db, "ALTER TABLE credits_holds RENAME TO elsewhere")
		})
		exec(t, db, "ALTER TABLE elsewhere RENAME TO credits_holds")
		if got := w.Result().Trailer; got.Get(credits.HeaderCost) != "5" || got.Get(credits.HeaderRemaining) != "15" {
			t.Error(got)
		}
		clock.Advance(time.Minute - time.Microsecond)
		requireBalance(t, l, db, credits.Balance{Booked: 20, Held: 5, Spendable: 15})
		clock.Advance(time.Microsecond)
		requireBalance(t, l, db, credits.Balance{Booked: 15, Spendable: 15})
		creditstest.RequireSound(t, l, db, acc)
	})
}

func TestM14_AHandlerThatOutlastsItsHoldIsNotGiven(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 20)
		charge := credits.Charge{Cost: credits.Fixed(5), For: time.Minute}
		w, _ := ask(t, l, db, charge, func(http.ResponseWriter, *http.Request) { clock.Advance(time.Minute) })
		if w.Code != 503 || w.Header().Get(credits.HeaderRemaining) != "20" {
			t.Error(w.Code, w.Header())
		}
		creditstest.RequireBalance(t, l, db, acc, 20)
		// What has begun is charged: all that was held.
		charge.Metered = true
		w, _ = ask(t, l, db, charge, func(w http.ResponseWriter, r *http.Request) {
			use(t, r.Context(), 2)
			flush(t, w)
			clock.Advance(time.Minute)
		})
		if got := w.Result().Trailer.Get(credits.HeaderCost); w.Code != 200 || got != "5" {
			t.Error(w.Code, got)
		}
		requireBalance(t, l, db, credits.Balance{Booked: 15, Spendable: 15})
		creditstest.RequireSound(t, l, db, acc)
	})
}

// crashChild serves one request and dies in it: args[0] says when.
func crashChild(ctx context.Context, db *bun.DB, args []string) error {
	l := credits.New(credits.Config{Now: func() time.Time { return start }})
	c := credits.Charge{Cost: credits.Fixed(5), Metered: args[0] == "metered"}
	r := httptest.NewRequestWithContext(ctx, "POST", "/", nil)
	charged(l, db, c, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "work")
		if args[0] != "before" {
			_ = http.NewResponseController(w).Flush()
		}
		fmt.Print(w.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(*httptest.ResponseRecorder).Body)
		os.Exit(0)
	}).ServeHTTP(httptest.NewRecorder(), r)
	return errors.New("it goes on")
}

func TestM14_AProcessThatDiesPaysForWhatHadBegun(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		fund(t, l, db, 30)
		for _, c := range []struct {
			when, sent  string
			then, after credits.Balance
		}{
			{"before", "", credits.Balance{Booked: 30, Held: 5, Spendable: 25}, credits.Balance{Booked: 30, Spendable: 30}},
			{"fixed", "work", credits.Balance{Booked: 25, Spendable: 25}, credits.Balance{Booked: 25, Spendable: 25}},
			{"metered", "work", credits.Balance{Booked: 25, Held: 5, Spendable: 20}, credits.Balance{Booked: 20, Spendable: 20}},
		} {
			clock.Set(start)
			if sent := dbtest.Child(t, "crash", dbtest.DSN(db), c.when); sent != c.sent {
				t.Errorf("%s: it sent %q", c.when, sent)
			}
			requireBalance(t, l, db, c.then)
			clock.Advance(15 * time.Minute)
			requireBalance(t, l, db, c.after)
			if _, err := l.Sweep(t.Context(), db); err != nil {
				t.Fatal(err)
			}
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// forgetful is a pool on db that loses the answers to COMMITs: those of which lose says so
// by their number, from 1 on, take effect and report an error.
func forgetful(t *testing.T, db *bun.DB, lose func(commit int64) bool) *bun.DB {
	t.Helper()
	pool := sql.OpenDB(&forgetfulConnector{db: db.DB, lose: lose})
	t.Cleanup(func() { _ = pool.Close() })
	return bun.NewDB(pool, db.Dialect())
}

type forgetfulConnector struct {
	db      *sql.DB
	lose    func(int64) bool
	commits atomic.Int64
}

func (c *forgetfulConnector) Driver() driver.Driver { return c.db.Driver() }

func (c *forgetfulConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	out := &forgetfulConn{owner: conn, connector: c}
	err = conn.Raw(func(v any) error {
		out.wire = v.(wire)
		return nil
	})
	return out, err
}

// wire is what the drivers of both databases can do.
type wire interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
}

type forgetfulConn struct {
	wire
	owner     *sql.Conn
	connector *forgetfulConnector
}

func (c *forgetfulConn) Close() error { return c.owner.Close() }

func (c *forgetfulConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.wire.BeginTx(ctx, o)
	return &forgetfulTx{tx, c.connector}, err
}

type forgetfulTx struct {
	driver.Tx
	connector *forgetfulConnector
}

func (t *forgetfulTx) Commit() error {
	err := t.Tx.Commit()
	if err == nil && t.connector.lose(t.connector.commits.Add(1)) {
		err = errors.New("the connection was lost")
	}
	return err
}

func TestM14_AnOutcomeThatIsUnknownIsAskedForAgain(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 100)
		left := int64(100)
		for _, c := range []struct {
			name    string
			metered bool
			lost    []int64 // hold is the first commit
			status  int
			cost    int64
		}{
			{"settlement", false, []int64{2}, 200, 5},
			{"settlement, twice", false, []int64{2, 3}, 503, 5},
			{"release", false, []int64{2}, 500, 0},
			{"intent", true, []int64{2}, 200, 3},
			{"intent, twice", true, []int64{2, 3}, 503, 0},
			{"settlement of a stream", true, []int64{3}, 200, 3},
		} {
			lossy := forgetful(t, db, func(commit int64) bool {
				for _, n := range c.lost {
					if n == commit {
						return true
					}
				}
				return false
			})
			w, _ := ask(t, l, lossy, credits.Charge{Cost: credits.Fixed(5), Metered: c.metered}, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case c.metered:
					use(t, r.Context(), 3)
					_ = http.NewResponseController(w).Flush()
				case c.status == 500:
					w.WriteHeader(500)
				}
			})
			if w.Code != c.status {
				t.Errorf("%s: %d", c.name, w.Code)
			}
			left -= c.cost
			requireBalance(t, l, db, credits.Balance{Booked: left, Spendable: left})
			h := w.Result().Header
			if c.metered && c.status == 200 {
				h = w.Result().Trailer
			}
			if h.Get(credits.HeaderCost) != fmt.Sprint(c.cost) || h.Get(credits.HeaderRemaining) != fmt.Sprint(left) {
				t.Errorf("%s: %v, %d are left", c.name, h, left)
			}
		}
		// What nobody could tell can be asked for: it was settled once.
		id := scan[string](t, db, "SELECT hold_id FROM credits_entries WHERE kind = 'settle' AND number = 3")
		if s := settle(t, l, db, credits.Settle{Account: acc, Hold: id, Amount: 5}); !s.Entry.Replayed || s.Entry.Number != 3 {
			t.Errorf("%+v", s)
		}

		// A hold of which nobody knows refuses the request, and goes back by itself.
		lossy := forgetful(t, db, func(int64) bool { return true })
		w, _ := ask(t, l, lossy, credits.Charge{Cost: credits.Fixed(5)}, func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") })
		if w.Code != 503 {
			t.Error(w.Code)
		}
		requireBalance(t, l, db, credits.Balance{Booked: left, Held: 5, Spendable: left - 5})
		creditstest.RequireSound(t, l, db, acc)
	})
}

// What the package says that the middleware costs.
func TestM14_ARequestTakesTwoCommitsAndAThirdWhereItBeginsEarly(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 100)
		for _, c := range []struct {
			metered, flushed bool
			status, want     int64
		}{
			{false, false, 200, 2}, {false, true, 200, 2}, {true, false, 200, 2}, {true, true, 200, 3},
			{false, false, 500, 2}, {true, true, 500, 2},
		} {
			var commits atomic.Int64
			counted := forgetful(t, db, func(n int64) bool { commits.Store(n); return false })
			ask(t, l, counted, credits.Charge{Cost: credits.Fixed(5), Metered: c.metered}, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(int(c.status))
				if c.flushed {
					flush(t, w)
				}
			})
			if got := commits.Load(); got != c.want {
				t.Errorf("%+v: %d commits", c, got)
			}
		}
	})
}
