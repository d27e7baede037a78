package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// serverEnv tells this program that it is the server, and how many callers it knows.
const serverEnv = "QUITRENT_BENCH_SERVER"

// connected is how many connections send at once, each one request behind the other.
const connected = 16

// served is what the server says of itself, in one line.
type served struct {
	Addr string
	Keys []string
	IDs  []tenancy.AccountID
}

// isServer runs the server, where this process is to be it, and reports that it was.
func isServer() bool {
	callers := os.Getenv(serverEnv)
	if callers == "" {
		return false
	}
	if err := server(context.Background(), callers); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// server runs, in the process that whole starts, one server with one page behind two
// paths: /guarded and /plain, so that nothing else differs. For each line that it reads it
// writes the nanoseconds that processors have worked for it so far. It ends with its
// input.
func server(ctx context.Context, callers string) error {
	n, err := strconv.Atoi(callers)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "quitrent-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := dbtest.Open("file:" + filepath.Join(dir, "bench.db"))
	if err != nil {
		return err
	}
	defer dbtest.Close(db)
	db.SetMaxOpenConns(1)
	c, err := newCallers(ctx, db, n)
	if err != nil {
		return err
	}
	defer c.stop()
	mux := http.NewServeMux()
	mux.Handle("GET /guarded", c.guard.Middleware(db, tenancy.Use)(c.limiter.Middleware(http.HandlerFunc(minutes))))
	mux.Handle("GET /plain", http.HandlerFunc(minutes))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(served{l.Addr().String(), c.keys, c.ids}); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if err := out.Encode(spent()); err != nil {
			return err
		}
	}
	if err := errors.Join(s.Close(), <-ended); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// nobody is whom the page is for where no account was entered. It is as long as one.
const nobody tenancy.AccountID = "acc_nobody0000000000000000"

// minutes answers with a page of some 2 KiB, as a list of an API's is.
func minutes(w http.ResponseWriter, r *http.Request) {
	page := minutesOf(nobody)
	if s, ok := tenancy.Lookup(r.Context()); ok {
		page.Account = s.Account
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(page) // whoever has gone does not read it
}

type minutesPage struct {
	Account   tenancy.AccountID `json:"account"`
	Documents []minutesLine     `json:"documents"`
}

type minutesLine struct {
	ID        string    `json:"id"`
	Title     string    `json:"title"`
	Status    string    `json:"status"`
	Size      int64     `json:"size"`
	CreatedAt time.Time `json:"created_at"`
}

func minutesOf(account tenancy.AccountID) minutesPage {
	p := minutesPage{Account: account, Documents: make([]minutesLine, 14)}
	for i := range p.Documents {
		d := written(0, i)
		p.Documents[i] = minutesLine{ID: d.ID, Title: d.Title, Status: d.Status, Size: d.Size, CreatedAt: d.CreatedAt}
	}
	return p
}

// visitors send to a server in another process.
type visitors struct {
	served
	client *http.Client
	said   *bufio.Reader
	ask    io.Writer
}

// whole measures what a whole server costs: all that net/http, the page and the kernel
// do for a request beside the guard, in CPU time of the server's process alone. Both
// sides are the same server in the same process, with the same requests over the same
// connections, in turns.
func whole(ctx context.Context, b *bench) (err error) {
	v, end, err := visit(ctx, b.pick(1000, 20))
	if err != nil {
		return fmt.Errorf("the server: %w", err)
	}
	defer func() { err = errors.Join(err, end()) }()
	n := b.pick(800, connected)
	var ours, base, ratios []float64
	for round := range b.pick(100, 1) + 1 {
		first, second := "/guarded", "/plain"
		if round%2 == 1 {
			first, second = second, first
		}
		took := map[string]time.Duration{}
		for i, path := range []string{first, second, second, first} {
			t, err := v.block(ctx, path, (2*round+i/2)*n, n)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			took[path] += t
		}
		if round == 0 {
			continue // connections are made
		}
		rate := func(t time.Duration) float64 { return float64(2*n) / t.Seconds() }
		ours, base = append(ours, rate(took["/guarded"])), append(base, rate(took["/plain"]))
		ratios = append(ratios, float64(took["/plain"])/float64(took["/guarded"]))
	}
	b.report(figure{
		name: "guard: a whole server over loopback, against the same unguarded", atLeast: true, bar: 0.85, ratio: median(ratios),
		ours: fmt.Sprintf("%.0f/CPU s", median(ours)), baseline: fmt.Sprintf("%.0f/CPU s", median(base)),
	})
	return nil
}

// visit starts the server.
func visit(ctx context.Context, callers int) (*visitors, func() error, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), serverEnv+"="+strconv.Itoa(callers))
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	v := &visitors{
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connected, DisableCompression: true}},
		said:   bufio.NewReader(out), ask: in,
	}
	end := func() error {
		v.client.CloseIdleConnections()
		return errors.Join(in.Close(), cmd.Wait())
	}
	if err := json.NewDecoder(v.line()).Decode(&v.served); err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return v, end, nil
}

// line is what the server says next.
func (v *visitors) line() io.Reader {
	line, _ := v.said.ReadBytes('\n') // an end is no JSON
	return bytes.NewReader(line)
}

func (v *visitors) spent() (d time.Duration, err error) {
	if _, err := v.ask.Write([]byte("\n")); err != nil {
		return 0, err
	}
	return d, json.NewDecoder(v.line()).Decode(&d)
}

// block sends n requests, those that are numbered from on, and says how long processors
// worked for the server meanwhile.
func (v *visitors) block(ctx context.Context, path string, from, n int) (time.Duration, error) {
	before, err := v.spent()
	if err != nil {
		return 0, err
	}
	var sends sync.WaitGroup
	errs := make([]error, connected)
	for s := range connected {
		sends.Go(func() {
			for i := s; i < n && errs[s] == nil; i += connected {
				errs[s] = v.request(ctx, path, (from+i)%len(v.Keys))
			}
		})
	}
	sends.Wait()
	after, err := v.spent()
	return after - before, errors.Join(append(errs, err)...)
}

// request sends one and reads whether the page is that of the account.
func (v *visitors) request(ctx context.Context, path string, of int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+v.Addr+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", scheme+v.Keys[of])
	w, err := v.client.Do(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(w.Body)
	if err := errors.Join(err, w.Body.Close()); err != nil {
		return err
	}
	account := nobody
	if path == "/guarded" {
		account = v.IDs[of]
	}
	var want bytes.Buffer
	if err := json.NewEncoder(&want).Encode(minutesOf(account)); err != nil {
		return err
	}
	if w.StatusCode != http.StatusOK || !bytes.Equal(body, want.Bytes()) {
		return fmt.Errorf("status %d: %.200s instead of %.200s", w.StatusCode, body, want.Bytes())
	}
	if limited := w.Header.Get("RateLimit") != ""; limited != (path == "/guarded") {
		return fmt.Errorf("the headers are %v", w.Header)
	}
	return nil
}
