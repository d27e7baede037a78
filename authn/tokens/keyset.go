package tokens

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/quitrent/quitrent/authn"
)

// How often the provider is asked at most: some times at once, then now and again,
// however many tokens name keys that it does not have.
const (
	fetchBurst   = 5
	fetchEvery   = 30 * time.Second
	fetchTimeout = 5 * time.Second
	maxSet       = 512 << 10 // bytes of a set
)

// keySet is the provider's keys, as they were fetched last.
type keySet struct {
	url            string
	client         *http.Client
	now            func() time.Time
	maxAge, outage time.Duration
	limit          *rate.Limiter

	mu     sync.Mutex
	keys   map[string][]verifier
	at     time.Time     // when they were asked for; zero: never
	failed error         // of the last time they were asked for
	flight chan struct{} // closed when they have been fetched; nil: nobody does
}

// find returns the keys of that id which verify the algorithm. It returns
// ErrBadCredential when the provider has none, and a plain error when it cannot be said:
// the keys have grown too old, or have none of that id, and cannot be fetched.
func (s *keySet) find(ctx context.Context, kid, algorithm string) ([]any, error) {
	for asked := false; ; asked = true {
		keys, wait, err := s.look(ctx, kid, algorithm, asked)
		if wait == nil {
			return keys, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// look is find without the waiting. asked: the keys have just been fetched for this.
func (s *keySet) look(ctx context.Context, kid, algorithm string, asked bool) (keys []any, wait chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.keys[kid] {
		if slices.Contains(v.algorithms, algorithm) {
			keys = append(keys, v.key)
		}
	}
	now := s.now()
	age := now.Sub(s.at)
	fresh := !s.at.IsZero() && age < s.maxAge
	usable := len(keys) > 0 && !s.at.IsZero() && age < s.maxAge+s.outage
	if fresh && len(keys) > 0 {
		return keys, nil, nil
	}
	if !asked && s.flight == nil && s.limit.AllowN(now, 1) {
		s.fetch(ctx, now)
	}
	switch {
	case !asked && s.flight != nil && (s.failed == nil || !usable):
		return nil, s.flight, nil
	case usable: // the provider does not answer, and nobody waits for it twice
		return keys, nil, nil
	case fresh && s.failed == nil:
		return nil, nil, authn.ErrBadCredential
	}
	if err = s.failed; err == nil {
		err = errOften
	}
	return nil, nil, fmt.Errorf("tokens: the keys of the identity provider cannot be fetched: %w", err)
}

var errOften = errors.New("it was asked too often")

// fetch asks the provider. It does not end with the request that made it begin, for
// which others may wait too.
func (s *keySet) fetch(ctx context.Context, now time.Time) {
	done := make(chan struct{})
	s.flight = done
	ctx = context.WithoutCancel(ctx)
	go func() {
		keys, err := s.get(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil && s.failed == nil {
			slog.WarnContext(ctx, "tokens: the keys of the identity provider cannot be fetched", "url", s.url, "err", err)
		}
		if s.failed = err; err == nil {
			s.keys, s.at = keys, now
		}
		s.flight = nil
		close(done)
	}()
}

func (s *keySet) get(ctx context.Context) (map[string][]verifier, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers with %d", answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxSet+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxSet {
		return nil, errors.New("its answer is too long")
	}
	return parseSet(body)
}
