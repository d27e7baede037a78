package throttle

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/quitrent/quitrent/internal/problem"
)

const (
	// maxSeconds keeps times within what clients parse (RFC 9111, section 1.2.2).
	maxSeconds = math.MaxInt32
	// maxQuota is the largest Integer of a structured field (RFC 9651, section 3.3.1).
	maxQuota = 999_999_999_999_999
)

// announce adds the policy and its state to an answer. Both fields are lists, so
// another policy's stay.
func (l *Limiter) announce(h http.Header, policy string, d Decision) {
	// Keys in canonical form, which Add makes anew each time.
	if known := l.policies.of(policy, d.Limit); h["Ratelimit-Policy"] == nil {
		h["Ratelimit-Policy"] = known.field
	} else {
		h["Ratelimit-Policy"] = append(h["Ratelimit-Policy"], known.field...)
	}
	h["Ratelimit"] = append(h["Ratelimit"], stateField(policy, d))
}

// maxPolicies bounds the descriptions that are kept: a plan has one.
const maxPolicies = 1000

// policies keeps what is said of limits again and again.
type policies struct {
	mu    sync.RWMutex
	known map[limited]description
}

type limited struct {
	policy string
	limit  Limit
}

// description is what is said of a limit.
type description struct {
	field []string // a list of one whose capacity is one: what is added to it goes elsewhere
	body  []byte   // of a refusal
}

func (p *policies) of(policy string, l Limit) description {
	key := limited{policy, l}
	p.mu.RLock()
	d, ok := p.known[key]
	p.mu.RUnlock()
	if ok {
		return d
	}
	d = description{
		field: []string{policyField(policy, l)},
		body:  problem.Body(&LimitedError{Policy: policy, Decision: Decision{Limit: l}}),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= maxPolicies {
		p.known = map[limited]description{}
	}
	p.known[key] = d
	return d
}

func policyField(policy string, l Limit) string {
	fill := math.Ceil(float64(l.Burst) / float64(l.Rate))
	b := append(make([]byte, 0, 48), '"')
	b = append(b, policy...)
	b = append(b, `";q=`...)
	b = strconv.AppendInt(b, min(int64(l.Burst), maxQuota), 10)
	b = append(b, ";w="...)
	b = strconv.AppendInt(b, int64(min(fill, maxSeconds)), 10)
	return string(b)
}

func stateField(policy string, d Decision) string {
	b := append(make([]byte, 0, 48), '"')
	b = append(b, policy...)
	b = append(b, `";r=`...)
	b = strconv.AppendInt(b, min(int64(d.Remaining), maxQuota), 10)
	b = append(b, ";t="...)
	b = strconv.AppendInt(b, seconds(d.Reset), 10)
	return string(b)
}

// seconds rounds up: a client told less would come back too early.
func seconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	return min(s, maxSeconds)
}
