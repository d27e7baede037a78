package throttle

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
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
	known := l.policies.of(policy, d.Limit)
	// Keys in canonical form, which Add makes anew each time.
	if len(h) == 0 {
		h["Ratelimit-Policy"], h["Ratelimit"] = known.field, known.state(d)
		return
	}
	add(h, "Ratelimit-Policy", known.field)
	add(h, "Ratelimit", known.state(d))
}

// add adds a list of one whose capacity is one, so that what is added to it goes
// elsewhere.
func add(h http.Header, key string, list []string) {
	if before := h[key]; before != nil {
		list = append(before, list...)
	}
	h[key] = list
}

const (
	// maxPolicies bounds the descriptions that are kept: a plan has one.
	maxPolicies = 1000
	// atHand is how many of them are found without a lock, and how many states each
	// keeps.
	atHand   = 1 << handBits
	handBits = 6
)

// policies keeps what is said of limits again and again.
type policies struct {
	hand  [atHand]atomic.Pointer[description]
	mu    sync.RWMutex
	known map[limited]*description
}

type limited struct {
	policy string
	limit  Limit
}

// description is what is said of a limit.
type description struct {
	limited
	field  []string
	body   []byte // of a refusal
	states [atHand]atomic.Pointer[state]
}

// state is what is said of a bucket. Most are nearly full, and say the same.
type state struct {
	remaining int
	seconds   int64
	field     []string
}

func (p *policies) of(policy string, l Limit) *description {
	key := limited{policy, l}
	place := &p.hand[(math.Float64bits(float64(l.Rate))^uint64(l.Burst))*0x9e3779b97f4a7c15>>(64-handBits)]
	if d := place.Load(); d != nil && d.limited == key {
		return d
	}
	d := p.find(key)
	place.Store(d)
	return d
}

func (p *policies) find(key limited) *description {
	p.mu.RLock()
	d, ok := p.known[key]
	p.mu.RUnlock()
	if ok {
		return d
	}
	d = &description{
		limited: key,
		field:   []string{policyField(key.policy, key.limit)},
		body:    problem.Body(&LimitedError{Policy: key.policy, Decision: Decision{Limit: key.limit}}),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= maxPolicies {
		p.known = map[limited]*description{}
	}
	p.known[key] = d
	return d
}

// state is the field of a decision under this limit.
func (of *description) state(d Decision) []string {
	place, left := &of.states[d.Remaining%atHand], seconds(d.Reset)
	s := place.Load()
	if s == nil || s.remaining != d.Remaining || s.seconds != left {
		s = &state{remaining: d.Remaining, seconds: left, field: []string{stateField(of.policy, d)}}
		place.Store(s)
	}
	return s.field
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
