package leaks

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// How long public keys serve, and how often they are asked for.
const (
	keysFresh  = time.Hour        // then they are fetched again
	keysStale  = 24 * time.Hour   // as long they serve where that fails
	fetchEvery = time.Minute      // whatever identifiers are made up
	fetchFor   = 10 * time.Second // one fetch, the answer's body included
	maxKeys    = 100              // in an answer
)

// published are keys that the scanner publishes. One fetch runs at a time; whoever
// needs it waits for it.
type published struct {
	url    string
	client *http.Client
	now    func() time.Time

	mu      sync.Mutex
	keys    map[string]*ecdsa.PublicKey
	etag    string
	fetched time.Time     // when keys were right
	tried   time.Time     // when the last fetch began
	failed  bool          // the last fetch
	running chan struct{} // closed when the fetch that runs is over; nil: none runs
}

func (p *published) find(ctx context.Context, id string) (*ecdsa.PublicKey, error) {
	for waited := false; ; waited = true {
		key, fetch, wait, err := p.look(id, waited)
		switch {
		case fetch:
			p.fetch(ctx)
		case wait != nil:
			select {
			case <-wait:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		default:
			return key, err
		}
	}
}

// look finds the key in what is known. Where that is not enough it says that the caller
// fetches, or what it waits for; not again to who has waited.
func (p *published) look(id string, waited bool) (key *ecdsa.PublicKey, fetch bool, wait chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	key = p.keys[id]
	if key != nil && within(p.fetched, now, keysFresh) {
		return key, false, nil, nil
	}
	switch {
	case waited:
	case p.running != nil:
		return nil, false, p.running, nil
	case !within(p.tried, now, fetchEvery):
		p.running, p.tried = make(chan struct{}), now
		return nil, true, nil, nil
	}
	switch {
	case key != nil && within(p.fetched, now, keysStale):
		return key, false, nil, nil
	case p.failed || p.keys == nil:
		return nil, false, nil, later{min(fetchEvery, fetchEvery-now.Sub(p.tried))}
	}
	return nil, false, nil, ErrBadSignature
}

// within reports that now is no more than d after since; a clock that was set back is
// not within anything.
func within(since, now time.Time, d time.Duration) bool {
	age := now.Sub(since)
	return !since.IsZero() && age >= 0 && age < d
}

// fetch asks the scanner, on behalf of all that wait: it does not end with the request
// that happened to be first.
func (p *published) fetch(ctx context.Context) {
	keys, etag, unchanged, err := map[string]*ecdsa.PublicKey(nil), "", false, errors.New("it did not come to its end")
	defer func() { // also when the host's transport panics
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.failed = err != nil; !p.failed {
			p.fetched = p.tried
			if !unchanged {
				p.keys, p.etag = keys, etag
			}
		}
		close(p.running)
		p.running = nil
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchFor)
	defer cancel()
	p.mu.Lock()
	etag = p.etag
	p.mu.Unlock()
	keys, etag, unchanged, err = p.get(ctx, etag)
	if err != nil {
		slog.WarnContext(ctx, "quitrent: the public keys of a secret scanner could not be fetched", "url", p.url, "err", err)
	}
}

func (p *published) get(ctx context.Context, known string) (keys map[string]*ecdsa.PublicKey, etag string, unchanged bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return nil, "", false, err
	}
	r.Header.Set("Accept", "application/json")
	if known != "" {
		r.Header.Set("If-None-Match", known)
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return nil, "", false, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusNotModified && known != "" {
		return nil, known, true, nil
	}
	if answer.StatusCode != http.StatusOK {
		return nil, "", false, fmt.Errorf("status %d", answer.StatusCode)
	}
	var list struct {
		PublicKeys []struct {
			ID  string `json:"key_identifier"`
			Key string `json:"key"`
		} `json:"public_keys"`
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&list); err != nil {
		return nil, "", false, err
	}
	if len(list.PublicKeys) > maxKeys {
		return nil, "", false, fmt.Errorf("%d keys: more than %d", len(list.PublicKeys), maxKeys)
	}
	// A key that is no longer current still signs what was under way; one that is
	// withdrawn is not listed. What is of another kind is none that we can use.
	keys = map[string]*ecdsa.PublicKey{}
	for _, k := range list.PublicKeys {
		if key, err := publicKey(k.Key); err == nil && k.ID != "" {
			keys[k.ID] = key
		}
	}
	if len(keys) == 0 {
		return nil, "", false, errors.New("no ECDSA P-256 key is in the answer")
	}
	return keys, answer.Header.Get("ETag"), false, nil
}
