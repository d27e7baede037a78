package tenancy

import (
	"context"
	"hash/maphash"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/changes"
)

// known is what was read of an account, for Check.
type known struct {
	standing standing
	account  AccountID
	plan     *Plan           // shared by all that are on it
	lives    []*changes.Life // nil: it was read for one question
	readAt   time.Time
	epoch    int64
	state    State
}

// remembers what Validate needs of accounts.
type memory struct {
	feed     *changes.Feed
	accounts *changes.Memo[AccountID, *known]
	epochs   *changes.Memo[Subject, int64]
}

var hashSeed = maphash.MakeSeed()

func newMemory(cfg Config) memory {
	feed := changes.New("tenancy_changes", cfg.RevocationBound, 2*cfg.MaxCached)
	feed.Share(string(planSubject("")))
	return memory{
		feed: feed,
		accounts: changes.NewMemo[AccountID, *known](feed, cfg.MaxCached, func(id AccountID) uint64 {
			return maphash.String(hashSeed, string(id))
		}),
		epochs: changes.NewMemo[Subject, int64](feed, cfg.MaxCached, func(s Subject) uint64 {
			return maphash.String(hashSeed, string(s))
		}),
	}
}

// Feed is for the packages of this library that remember what belongs to accounts and
// users, as this one remembers accounts.
func (a *Accounts) Feed() *changes.Feed { return a.memory.feed }

// known finds what Validate needs of an account: what came with the credential, what
// is remembered, or what the database says.
func (a *Accounts) known(ctx context.Context, db bun.IDB, who *Principal, now changes.Instant) (*known, error) {
	if k := who.known; k != nil && k.account == who.Account && a.stillKnown(k, db, now) {
		return k, nil
	}
	if !who.Account.known() {
		return nil, ErrNoAccount
	}
	if k, ok := a.memory.accounts.Get(db, now, who.Account); ok {
		return k, nil
	}
	ticket := a.memory.feed.Begin()
	k, err := a.read(ctx, db, who.Account)
	if err != nil {
		return nil, err
	}
	a.remember(ticket, db, k)
	return k, nil
}

// stillKnown reports that nothing has changed since k was read, or that it was read a
// moment ago, for the question that is being asked.
func (a *Accounts) stillKnown(k *known, db bun.IDB, now changes.Instant) bool {
	if k.lives == nil {
		return now.Sub(k.readAt) < a.justRead
	}
	return !changes.Over(k.lives) && a.memory.feed.Fresh(db, now) && now.Sub(k.readAt) < changes.MaxAge
}

// read asks the database, or the host's Loader.
func (a *Accounts) read(ctx context.Context, db bun.IDB, id AccountID) (*known, error) {
	if a.cfg.Loader == nil {
		return load(ctx, db, id)
	}
	k := &known{account: id, readAt: changes.Now().Time}
	state, plan, err := a.cfg.Loader(ctx, db, id)
	k.state, k.plan = state, &plan
	k.standing = standingOf(&k.state, k.plan)
	return k, err
}

// remember keeps k until its account or its plan changes. What a Loader says may
// change without a word, and of a plan that is missing nobody knows which one it is
// that Ensure is to announce.
func (a *Accounts) remember(t changes.Ticket, db bun.IDB, k *known) {
	if a.cfg.Loader != nil && !a.cfg.LoaderAnnounces || k.plan.Slug == "" {
		return
	}
	a.memory.accounts.Keep(t, db, k.account, func(lives []*changes.Life) *known {
		k.lives = lives
		return k
	}, string(k.account.Subject()), string(planSubject(k.plan.Slug)))
}
