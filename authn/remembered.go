package authn

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/cache"
	"github.com/quitrent/quitrent/internal/changes"
	"github.com/quitrent/quitrent/internal/clientaddr"
	"github.com/quitrent/quitrent/tenancy"
)

const (
	// maxUnknown bounds the keys that are remembered as none, apart from those that
	// are: who tries many pushes out no customer's.
	maxUnknown = 1 << 16
	// unknownFor is how long: nothing makes a key of such a text but a restored backup.
	unknownFor = time.Minute
)

// digest stands for a key in memory, so that no key is there: the text has 178 bits of
// chance, which no hash of it gives away. To find an entry by it is to compare it, and
// the time that takes tells nothing about the text.
type digest [sha256.Size]byte

// digestOf hashes all of a key but its brand: its environment by number, so that one
// block of SHA-256 is enough.
func digestOf(env int, rest string) digest {
	var b [maxKeyLength + 1]byte // no allocation
	n := copy(b[:maxKeyLength], rest)
	b[n] = byte(env)
	return sha256.Sum256(b[:n+1])
}

func (d digest) hash() uint64 { return binary.LittleEndian.Uint64(d[:]) }

// memory is what Keys remembers. All of it counts only while the feed of the accounts
// is fresh.
type memory struct {
	feed    *changes.Feed
	opened  *changes.Memo[digest, *opened]
	unknown *cache.Map[digest, time.Time] // until when
}

func newMemory(accounts *tenancy.Accounts, most int) memory {
	return memory{
		feed:    accounts.Feed(),
		opened:  changes.NewMemo[digest, *opened](accounts.Feed(), most, digest.hash),
		unknown: cache.New[digest, time.Time](maxUnknown, digest.hash, nil),
	}
}

// refused reports that a text is remembered as no key.
func (m *memory) refused(db bun.IDB, now changes.Instant, d digest) bool {
	until, ok := m.unknown.Get(d)
	return ok && now.Time.Before(until) && m.feed.Fresh(db, now)
}

// refuse remembers a text as no key.
func (m *memory) refuse(db bun.IDB, now changes.Instant, d digest) {
	if m.feed.Fresh(db, now) {
		m.unknown.Put(d, now.Add(unknownFor))
	}
}

// opened is what the text of a key opens.
type opened struct {
	who       Principal
	refusal   error // whatever the time and the address
	ends      time.Time
	used      atomic.Int64 // when it was last noted down, in seconds
	stands    atomic.Bool  // the maker was a member, and a change would be announced
	addresses []netip.Prefix
	key       useOf
}

// standing refuses a key whose maker has left an account of which a host's MemberLoader
// knows the members. The answer is no part of what was found: it may be asked for each
// time, and a maker who comes back is announced to nobody.
func (k *Keys) standing(ctx context.Context, db bun.IDB, o *opened) error {
	lasting := true
	if maker := o.who.Delegation.User; maker != "" {
		var (
			member bool
			err    error
		)
		if member, lasting, err = k.accounts.StillMember(ctx, db, o.who.Account, maker); err != nil {
			return err
		} else if !member {
			return ErrOrphaned
		}
	}
	o.stands.Store(lasting)
	return nil
}

// at is what it opens at an instant for who has shown it.
func (o *opened) at(now time.Time, s *arrived) (*Principal, error) {
	switch {
	case o.refusal != nil:
		return nil, o.refusal
	case over(o.ends, now):
		return nil, errExpired
	case len(o.addresses) > 0 && !clientaddr.Contains(o.addresses, s.address()):
		return nil, ErrAddress
	}
	return &o.who, nil
}

// over reports that end, if there is one, has come.
func over(end, now time.Time) bool { return !end.IsZero() && !now.Before(end) }
