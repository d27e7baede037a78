package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
)

// database opens the file of a server that has stopped.
func database(t *testing.T, file string) *bun.DB {
	t.Helper()
	db, err := sqlite.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// spend keeps clients buying an idea each, every purchase under a key of its own,
// and kills the server once as many are answered as told. It returns what was
// answered, by key, and the keys that were not.
func (s *server) spend(c customer, name string, clients, enough int) (answered map[string]string, open []string) {
	s.t.Helper()
	var mu sync.Mutex
	answered = map[string]string{}
	reached := make(chan struct{})
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	var once sync.Once
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				key := fmt.Sprintf("%s-%d-%d", name, i, n)
				a, err := s.send("POST", "/v1/ideas", c.key, `{"count": 1}`, "Idempotency-Key", key)
				mu.Lock()
				switch {
				case err != nil:
					open = append(open, key)
					mu.Unlock()
					return
				case a.status != http.StatusOK:
					s.t.Errorf("%s: %d %s", key, a.status, a.body)
				default:
					answered[key] = a.body
				}
				if len(answered) == enough {
					once.Do(func() { close(reached) })
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-reached:
	case <-ctx.Done():
		s.t.Error("the clients got too few answers")
	}
	s.kill()
	wg.Wait()
	return answered, open
}

func TestKill_LosesNothingThatWasAnsweredAndTakesNothingTwice(t *testing.T) {
	file := newFile(t)
	s := start(t, file)
	ada := s.signUp("ada@example.com")
	s.buy(ada, "scale") // 50 a second and 200 at once, so that no client is held back
	s.stop()            // a new bucket is full
	s = start(t, file)
	keys := map[string]string{}
	for round, enough := range []int{23, 40, 31} {
		answered, open := s.spend(ada, fmt.Sprintf("round-%d", round), 6, enough)
		if len(open) == 0 {
			t.Fatal("the kill interrupted nobody")
		}
		s = start(t, file)
		for _, key := range open { // was it taken? ask again
			a := s.post("/v1/ideas", ada.key, `{"count": 1}`, "Idempotency-Key", key)
			if a.status != http.StatusOK {
				t.Errorf("%s asked again: %d %s", key, a.status, a.body)
			}
			answered[key] = a.body
		}
		for key, body := range answered {
			keys[key] = body
			if a := s.post("/v1/ideas", ada.key, `{"count": 1}`, "Idempotency-Key", key); a.status != http.StatusOK || a.body != body {
				t.Errorf("%s was answered\n%s\nand is now %d\n%s", key, body, a.status, a.body)
			}
		}
	}
	left := 2000 + 4000 - int64(len(keys))*costOfIdea
	if got := s.balance(ada); got != left {
		t.Errorf("%d left after %d purchases, want %d", got, len(keys), left)
	}
	s.stop()

	db, ledger := database(t, file), credits.New(credits.Config{})
	creditstest.RequireSound(t, ledger, db, "")
	creditstest.RequireBalance(t, ledger, db, tenancy.AccountID(ada.account), left)
	var sold, alone int
	if err := db.NewRaw(`SELECT COUNT(*) FROM orders WHERE account_id = ?`, ada.account).Scan(t.Context(), &sold); err != nil || sold != len(keys) {
		t.Errorf("%d orders for %d purchases, %v", sold, len(keys), err)
	}
	err := db.NewRaw(`SELECT COUNT(*) FROM credits_entries AS e LEFT JOIN orders AS o ON o.account_id = e.account_id AND o.entry = e.number
		WHERE e.kind = 'deduct' AND o.entry IS NULL`).Scan(t.Context(), &alone)
	if err != nil || alone > 0 {
		t.Errorf("%d deductions without an order, %v", alone, err)
	}
}

// What is killed at its birth leaves nothing that keeps the next start from working.
func TestKill_WhileItStarts(t *testing.T) {
	file := newFile(t)
	for i := range 4 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(5+20*i)*time.Millisecond)
		_ = startUntil(ctx, build(t), "-addr", "127.0.0.1:0", "-db", file)
		cancel()
	}
	s := start(t, file)
	ada := s.signUp("ada@example.com")
	if a := s.post("/v1/ideas", ada.key, `{"count": 1}`); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
}
