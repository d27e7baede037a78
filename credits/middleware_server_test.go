package credits_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// charged is what a server serves: h behind the middleware, in acc.
func charged(l *credits.Ledger, db *bun.DB, c credits.Charge, h http.HandlerFunc) http.Handler {
	accounts := tenancy.New(tenancy.Config{
		Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
			return tenancy.State{Status: tenancy.StatusActive}, tenancytest.Plans()[1], nil
		},
	})
	inner := l.MiddlewareFor(db, c)(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := accounts.Enter(r.Context(), db, acc, ada, tenancy.Use)
		if err != nil {
			panic(err)
		}
		inner.ServeHTTP(w, r.WithContext(ctx))
	})
}

// server is a real one. Its close waits until its handlers have returned.
func server(t *testing.T, h http.Handler, http2 bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	if s.EnableHTTP2 = http2; http2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func use(t testing.TB, ctx context.Context, n int64) {
	t.Helper()
	if err := credits.MeterFrom(ctx).Add(n); err != nil {
		t.Error(err)
	}
}

func flush(t testing.TB, w http.ResponseWriter) {
	t.Helper()
	if err := http.NewResponseController(w).Flush(); err != nil {
		t.Error(err)
	}
}

func TestM14_AStreamEndsWithItsCost(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(name, func(t *testing.T) {
			bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
				fund(t, l, db, 20)
				goOn := make(chan struct{})
				s := server(t, charged(l, db, credits.Charge{Cost: credits.Fixed(8), Metered: true, Operation: "chat"}, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Trailer", "X-Sum")
					use(t, r.Context(), 1)
					deduct(t, l, db, credits.Deduct{Account: acc, Amount: 2}) // meanwhile
					_, _ = io.WriteString(w, "one ")
					flush(t, w)
					<-goOn
					use(t, r.Context(), 2)
					_, _ = io.WriteString(w, "two")
					w.Header().Set("X-Sum", "7")
				}), http2)
				res, err := s.Client().Get(s.URL)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = res.Body.Close() }()
				if c, r := res.Header.Get(credits.HeaderCost), res.Header.Get(credits.HeaderRemaining); res.Proto != name || c != "8" || r != "10" {
					t.Errorf("%s: at first %q held and %q left", res.Proto, c, r)
				}
				// It has begun, so it will be paid for whatever happens to this process.
				if got := scan[string](t, db, "SELECT at_end FROM credits_holds"); got != "charge" {
					t.Errorf("the hold ends by %s", got)
				}
				close(goOn)
				if b, err := io.ReadAll(res.Body); string(b) != "one two" || err != nil {
					t.Errorf("%q, %v", b, err)
				}
				want := http.Header{credits.HeaderCost: {"3"}, credits.HeaderRemaining: {"15"}, "X-Sum": {"7"}}
				if d := cmp.Diff(want, res.Trailer); d != "" {
					t.Error(d)
				}
				if e := creditstest.RequireEntry(t, l, db, acc, credits.KindSettle, -3); e.Operation != "chat" || e.Actor != ada {
					t.Errorf("%+v", e)
				}
				requireBalance(t, l, db, credits.Balance{Booked: 15, Spendable: 15})
			})
		})
	}
}

// An answer whose length is known, or that has no body, has no place for trailers.
func TestM14_NoTrailersWhereThereIsNoPlaceForThem(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 100)
		s := server(t, charged(l, db, credits.Charge{Cost: credits.Fixed(5), Metered: true}, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/204":
				w.WriteHeader(204)
			case "/304":
				w.WriteHeader(304)
			case "/sized":
				w.Header().Set("Content-Length", "4")
			}
			if r.URL.RawQuery == "" {
				flush(t, w)
			}
			use(t, r.Context(), 1)
			_, err := io.WriteString(w, "work")
			if none := r.URL.Path == "/204" || r.URL.Path == "/304"; none != errors.Is(err, http.ErrBodyNotAllowed) {
				t.Errorf("%s: %v", r.URL.Path, err)
			}
		}), false)
		for _, request := range []string{"GET /204 HTTP/1.1", "GET /304 HTTP/1.1", "HEAD / HTTP/1.1", "GET /sized HTTP/1.1", "GET / HTTP/1.0", "GET /204?kept HTTP/1.1", "GET /304?kept HTTP/1.1", "GET /?kept HTTP/1.1"} {
			cost := "5"
			if strings.Contains(request, "kept") {
				cost = "1"
			}
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = fmt.Fprintf(conn, "%s\r\nHost: x\r\nConnection: close\r\n\r\n", request)
			r, _ := http.NewRequest(request[:4], "/", nil)
			if request[:4] != "HEAD" {
				r = nil
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), r)
			if err != nil {
				t.Fatal(request, err)
			}
			if _, err := io.ReadAll(res.Body); err != nil {
				t.Error(request, err)
			}
			_ = conn.Close()
			if res.Trailer != nil || res.Header.Get("Trailer") != "" || res.Header.Get(credits.HeaderCost) != cost {
				t.Errorf("%s: %v, trailers %v", request, res.Header, res.Trailer)
			}
		}
		s.Close()
		requireBalance(t, l, db, credits.Balance{Booked: 92, Spendable: 92})
	})
}

// HEAD and conditional requests of an ordinary handler are as they are without the
// middleware, but for its headers.
func TestM14_AnswersAreAsTheyWouldBe(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "x.txt", start, io.NewSectionReader(bytesOf("some text"), 0, 9))
	}
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 100)
		s := server(t, charged(l, db, credits.Charge{Cost: credits.Fixed(5)}, h), false)
		plain := server(t, http.HandlerFunc(h), false)
		for _, c := range []struct{ method, name, value string }{
			{"GET", "Range", "bytes=2-3"}, {"GET", "X", "y"}, {"HEAD", "X", "y"},
			{"GET", "If-Modified-Since", start.Format(http.TimeFormat)}, {"GET", "Range", "bytes=99-"},
		} {
			var seen []string
			for _, s := range []*httptest.Server{plain, s} {
				r, _ := http.NewRequestWithContext(t.Context(), c.method, s.URL, nil)
				r.Header.Set(c.name, c.value)
				res, err := s.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				for _, name := range []string{credits.HeaderCost, credits.HeaderRemaining, "Date"} {
					if res.Header.Get(name) == "" && s != plain {
						t.Errorf("%v has no %s", c, name)
					}
					res.Header.Del(name)
				}
				seen = append(seen, fmt.Sprint(res.Status, res.ContentLength, res.TransferEncoding, string(body), err, res.Header))
			}
			if d := cmp.Diff(seen[0], seen[1]); d != "" {
				t.Errorf("%v: %s", c, d)
			}
		}
		requireBalance(t, l, db, credits.Balance{Booked: 80, Spendable: 80}) // the last range was refused
	})
}

type bytesOf string

func (b bytesOf) ReadAt(p []byte, at int64) (int, error) { return copy(p, b[at:]), nil }

func TestM14_AClientThatGoesPaysForWhatItGot(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 20)
		s := server(t, charged(l, db, credits.Charge{Cost: credits.Fixed(8), Metered: true}, func(w http.ResponseWriter, r *http.Request) {
			use(t, r.Context(), 2)
			_, _ = io.WriteString(w, "one")
			flush(t, w)
			<-r.Context().Done()
			use(t, r.Context(), 1) // that had been asked for already
		}), false)
		ctx, cancel := context.WithCancel(t.Context())
		r, _ := http.NewRequestWithContext(ctx, "GET", s.URL, nil)
		res, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		_ = res.Body.Close()
		s.Close()
		creditstest.RequireEntry(t, l, db, acc, credits.KindSettle, -3)
		requireBalance(t, l, db, credits.Balance{Booked: 17, Spendable: 17})
		creditstest.RequireSound(t, l, db, acc)
	})
}

// A handler that breaks off on the way makes its client see that, and is paid for what it
// gave.
func TestM14_APanicOnTheWayIsChargedForWhatWasUsed(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 30)
		for _, c := range []struct {
			metered, says bool
			left          int64
		}{{true, true, 28}, {true, false, 20}, {false, false, 12}, {false, true, 10}} {
			s := server(t, charged(l, db, credits.Charge{Cost: credits.Fixed(8), Metered: c.metered}, func(w http.ResponseWriter, r *http.Request) {
				if c.says {
					use(t, r.Context(), 2)
				}
				_, _ = io.WriteString(w, "one")
				flush(t, w)
				panic(http.ErrAbortHandler)
			}), false)
			res, err := s.Client().Get(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(res.Body); string(b) != "one" || err == nil {
				t.Errorf("%q, %v", b, err)
			}
			_ = res.Body.Close()
			s.Close()
			requireBalance(t, l, db, credits.Balance{Booked: c.left, Spendable: c.left})
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// Who takes the connection has begun to answer, whatever follows.
func TestM14_AHijackedConnectionIsCharged(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 50)
		for _, c := range []struct {
			name   string
			charge credits.Charge
			before func(w http.ResponseWriter)
			left   int64
		}{
			{"at once", credits.Charge{}, nil, 45},
			{"metered", credits.Charge{Metered: true}, nil, 43},
			{"after its header", credits.Charge{Metered: true}, func(w http.ResponseWriter) { w.WriteHeader(101) }, 41},
			{"not charged", credits.Charge{Settles: func(status int) bool { return status == 200 }}, nil, 41},
		} {
			t.Run(c.name, func(t *testing.T) {
				c.charge.Cost = credits.Fixed(5)
				s := server(t, charged(l, db, c.charge, func(w http.ResponseWriter, r *http.Request) {
					if c.before != nil {
						w.Header().Set("Upgrade", "work")
						w.Header().Set("Connection", "Upgrade")
						c.before(w)
					}
					conn, rw, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					if c.charge.Metered {
						use(t, r.Context(), 2)
					}
					_ = rw.Flush()
					if c.before == nil {
						_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: work\r\nConnection: Upgrade\r\n\r\n")
					}
					_, _ = io.WriteString(conn, "work")
					_ = conn.Close()
					panic(http.ErrAbortHandler)
				}), false)
				s.Config.ErrorLog = complaints(t)
				conn, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: work\r\nConnection: Upgrade\r\n\r\n")
				in := bufio.NewReader(conn)
				res, err := http.ReadResponse(in, nil)
				if err != nil || res.StatusCode != 101 {
					t.Fatal(res, err)
				}
				if b, err := io.ReadAll(in); string(b) != "work" || err != nil {
					t.Errorf("%q, %v", b, err)
				}
				_ = conn.Close()
				// The handler may still be at it: a connection that was taken is not waited for.
				for range 50_000 {
					if scan[int](t, db, "SELECT COUNT(*) FROM credits_holds WHERE state = 'open'") == 0 {
						break
					}
				}
				requireBalance(t, l, db, credits.Balance{Booked: c.left, Spendable: c.left})
			})
		}
		creditstest.RequireSound(t, l, db, acc)
	})
}

// complaints is the log of a server in which nobody is to write what is too late.
func complaints(t *testing.T) *log.Logger {
	return log.New(writerFunc(func(b []byte) (int, error) {
		t.Errorf("the server complains: %s", b)
		return len(b), nil
	}), "", 0)
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// A connection that nobody pays for is closed.
func TestM14_AConnectionThatCannotBeChargedIsNotGiven(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 20)
		s := server(t, charged(l, db, credits.Charge{Cost: credits.Fixed(5)}, func(w http.ResponseWriter, _ *http.Request) {
			exec(t, db, "ALTER TABLE credits_entries RENAME TO elsewhere")
			if _, _, err := http.NewResponseController(w).Hijack(); err == nil {
				t.Error("the handler has the connection")
			}
			exec(t, db, "ALTER TABLE elsewhere RENAME TO credits_entries")
		}), false)
		s.Config.ErrorLog = complaints(t)
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil { //nolint:forbidigo // of the real network
			t.Fatal(err)
		}
		if b, err := io.ReadAll(conn); len(b) > 0 || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		for range 50_000 {
			if scan[int](t, db, "SELECT COUNT(*) FROM credits_holds WHERE state = 'open'") == 0 {
				break
			}
		}
		requireBalance(t, l, db, credits.Balance{Booked: 20, Spendable: 20})
	})
}

// A connection that can't be taken over has begun nothing.
func TestM14_AConnectionThatIsNotTakenIsNotCharged(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 20)
		w, _ := call(t, l, db, acc, credits.Fixed(5), func(w http.ResponseWriter, _ *http.Request) {
			if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
				t.Error(err)
			}
			w.WriteHeader(501)
		})
		requireCharge(t, w, "0", "20")
		if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); !errors.Is(err, http.ErrNotSupported) {
			t.Error(err)
		}
		creditstest.RequireBalance(t, l, db, acc, 20)
	})
}
