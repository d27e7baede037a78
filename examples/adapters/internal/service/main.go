package service

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite" // the database driver is the host's choice

	"github.com/quitrent/quitrent/tenancy"
)

// Server is what *http.Server is and what other servers are made into. Serve returns
// nil or http.ErrServerClosed after Shutdown.
type Server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

// HTTP is a Server for a handler of net/http.
func HTTP(h http.Handler) Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second}
}

// Main runs the adapter called name until it is interrupted, on a database that goes
// with it, and prints how to call it: try, with ADDR and KEY filled in.
func Main(name, try string, server func(*Service) Server) {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on; port 0 takes a free one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *addr, name, try, server)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr, name, try string, server func(*Service) Server) error {
	folder, err := os.MkdirTemp("", name)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	db, err := open(filepath.Join(folder, name+".db"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := Migrate(ctx, db); err != nil {
		return err
	}
	s, err := New(ctx, db, time.Now)
	if err != nil {
		return err
	}
	_, key, err := s.SignUp(ctx, "ada@example.com", tenancy.DefaultTrialPlan)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("%w (another address: -addr 127.0.0.1:0)", err)
	}
	fmt.Printf("Quitrent behind %s. Five calls a second, 20 at once; Ctrl-C stops it. Try:\n\n%s\n", name,
		strings.NewReplacer("ADDR", listener.Addr().String(), "KEY", key).Replace(try))

	front := server(s)
	var background sync.WaitGroup
	background.Go(func() { _ = s.Accounts.Run(ctx, db) }) // lets keys and accounts be remembered
	background.Go(func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = front.Shutdown(grace)
	})
	if err := front.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	background.Wait()
	return nil
}

func open(file string) (*bun.DB, error) {
	pool, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?_txlock=immediate&_pragma=busy_timeout(10000)"+
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)")
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1) // SQLite has one writer: wait in turn
	return bun.NewDB(pool, sqlitedialect.New()), nil
}
