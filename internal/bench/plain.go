package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/quitrent/quitrent/throttle"
)

type (
	accountKey struct{}
	planKey    struct{}
	leftKey    struct{}
)

// plain is the baseline: no database either, and nothing ends. Each of its middlewares
// hands on what it has found out in the context.
type plain struct {
	mu       sync.RWMutex
	keys     map[string]string // account by the hash of its key
	accounts map[string]customer
	limiters sync.Map
	limit    throttle.Limit
}

type customer struct{ status, plan string }

func newPlain(c *callers, limit throttle.Limit) *plain {
	p := &plain{keys: map[string]string{}, accounts: map[string]customer{}, limit: limit}
	for i, k := range c.keys {
		sum := sha256.Sum256([]byte(k))
		p.keys[hex.EncodeToString(sum[:])] = string(c.ids[i])
		p.accounts[string(c.ids[i])] = customer{"active", "free-trial"}
	}
	return p
}

func (p *plain) middleware(next http.Handler) http.Handler {
	return p.key(p.account(p.limited(next)))
}

func (p *plain) key(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		sum := sha256.Sum256([]byte(key))
		p.mu.RLock()
		account, ok := p.keys[hex.EncodeToString(sum[:])]
		p.mu.RUnlock()
		if !ok {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), accountKey{}, account)))
	})
}

func (p *plain) account(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		account, _ := r.Context().Value(accountKey{}).(string)
		p.mu.RLock()
		c := p.accounts[account]
		p.mu.RUnlock()
		if c.status != "active" {
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), planKey{}, c.plan)))
	})
}

func (p *plain) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		account, _ := r.Context().Value(accountKey{}).(string)
		l, ok := p.limiters.Load(account)
		if !ok {
			l, _ = p.limiters.LoadOrStore(account, rate.NewLimiter(p.limit.Rate, p.limit.Burst))
		}
		limiter := l.(*rate.Limiter)
		allowed := limiter.Allow()
		left := limiter.Tokens()
		w.Header().Set("X-RateLimit-Limit", fmt.Sprintf("%d", limiter.Burst()))
		w.Header().Set("X-RateLimit-Remaining", fmt.Sprintf("%d", int64(left)))
		w.Header().Set("X-RateLimit-Reset", fmt.Sprintf("%d", time.Now().Add(time.Second).Unix()))
		w.Header().Set("X-RateLimit-Policy", fmt.Sprintf("%d;w=%d", limiter.Burst(), 1000))
		if !allowed {
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), leftKey{}, int64(left))))
	})
}
