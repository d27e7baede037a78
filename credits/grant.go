package credits

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
)

// Grant puts credits into an account.
type Grant struct {
	Account tenancy.AccountID
	// Amount is in credits, above zero.
	Amount int64
	// Key makes the grant happen once, whatever is retried: name the economic event,
	// "invoice:4711", and use the same name on every path that may grant for it.
	// Required, 200 bytes at most. Keys that begin with "quitrent:" are this
	// library's own.
	Key string
	// Category is where the credits come from. Default: CategoryAdjustment.
	Category Category
	// Priority is spent in ascending order. Default: 0.
	Priority int
	// EffectiveAt is when the credits can be spent. Default: at once.
	EffectiveAt time.Time
	// ExpiresAt is from when on they can't be spent any more. Default: never.
	ExpiresAt time.Time
	// Note is for the statement, 500 bytes at most.
	Note string
	// Actor is who grants, for the audit log. Default: the system.
	Actor tenancy.Actor
}

// Granted says that credits came in.
type Granted struct {
	Number    int64     `json:"number"`
	Amount    int64     `json:"amount"`
	Category  Category  `json:"category"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// EventKind implements tenancy.Fact.
func (Granted) EventKind() string { return "credits.granted" }

// Grant puts credits into an account, once for its key, and writes the grant to the
// audit log and the outbox. It returns the entry it made, or the one it made when
// the key was first used, with Replayed set.
//
// It returns ErrInvalid, ErrOverflow, and ErrKeyReused when the key was used with
// another amount, category, priority or date.
func (l *Ledger) Grant(ctx context.Context, db bun.IDB, g Grant) (Entry, error) {
	if g.Category == "" {
		g.Category = CategoryAdjustment
	}
	if g.Actor == (tenancy.Actor{}) {
		g.Actor = tenancy.Actor{Kind: tenancy.ActorSystem, ID: "credits"}
	}
	g.EffectiveAt, g.ExpiresAt = micro(g.EffectiveAt), micro(g.ExpiresAt)
	if err := g.validate(); err != nil {
		return Entry{}, err
	}
	r := request{account: g.Account, key: g.Key, actor: g.Actor, content: []any{
		KindGrant, g.Amount, g.Category, g.Priority, g.EffectiveAt, g.ExpiresAt,
	}}
	return l.post(ctx, db, r, func(p *posting) (Entry, error) { return p.grant(ctx, g) })
}

func (g Grant) validate() error {
	if err := checkAccount(g.Account); err != nil {
		return err
	}
	if err := checkAmount(g.Amount); err != nil {
		return err
	}
	if err := checkKey(g.Key, true); err != nil {
		return err
	}
	if !slices.Contains(categories, g.Category) {
		return fmt.Errorf("%w: the category is none of %v", ErrInvalid, categories)
	}
	for _, at := range []time.Time{g.EffectiveAt, g.ExpiresAt} {
		if y := at.Year(); y < 1 || y > 9999 {
			return fmt.Errorf("%w: a date is not within the years 1 to 9999", ErrInvalid)
		}
	}
	if !g.ExpiresAt.IsZero() && !g.ExpiresAt.After(g.EffectiveAt) {
		return fmt.Errorf("%w: the credits expire before they take effect", ErrInvalid)
	}
	if err := checkText("note", g.Note); err != nil {
		return err
	}
	// Before anything is written: a host may commit in spite of a refusal.
	if g.audit().Validate() != nil {
		return fmt.Errorf("%w: the actor has a kind and an id, in text that prints, 200 bytes each", ErrInvalid)
	}
	return nil
}

func (g Grant) audit() tenancy.Audit {
	return tenancy.Audit{Account: g.Account, Actor: g.Actor, Action: "credits.grant", Reason: g.Note}
}

func (p *posting) grant(ctx context.Context, g Grant) (Entry, error) {
	if err := p.room(g.Amount); err != nil {
		return Entry{}, err
	}
	_, live, err := liveGrants(ctx, p.db, p.account, p.now)
	if err != nil {
		return Entry{}, err
	}
	row := grantRow{
		Account: p.account, ID: id.New("grt"), Unit: unit, Category: g.Category, Priority: g.Priority,
		Amount: g.Amount, Remaining: g.Amount, EffectiveAt: g.EffectiveAt, ExpiresAt: g.ExpiresAt,
		Number: p.next(), CreatedAt: p.now,
	}
	if row.EffectiveAt.IsZero() {
		row.EffectiveAt = p.now
	}
	if _, err := p.db.NewInsert().Model(&row).Exec(ctx); err != nil {
		return Entry{}, err
	}
	if row.inEffect(p.now) {
		live += g.Amount
	}
	entry, err := p.write(ctx, entryRow{
		Kind: KindGrant, Amount: g.Amount, Spendable: max(0, live-p.held), Note: g.Note,
	}, []split{{row.ID, g.Amount}}, false)
	if err != nil {
		return Entry{}, err
	}
	line := g.audit()
	line.At, line.Target = p.now, row.ID
	line.Data = fmt.Appendf(nil, `{"number":%d,"amount":%d,"category":%q}`, entry.Number, g.Amount, g.Category)
	return entry, tenancy.Note(ctx, p.db, line, Granted{
		Number: entry.Number, Amount: g.Amount, Category: g.Category, ExpiresAt: g.ExpiresAt,
	})
}

// Seed is the grant that an account is born with.
type Seed struct {
	Account tenancy.AccountID
	Amount  int64
	// Category is where the credits come from. Default: CategoryPromo.
	Category Category
	// ExpiresAt is from when on they can't be spent any more. Default: never.
	ExpiresAt time.Time
}

// seedKey is the key of every account's seed, so that there can be only one.
const seedKey = ownKeys + "seed"

// Seed grants an account the credits it is born with, once in its life whoever
// asks. It returns what Grant returns.
func (l *Ledger) Seed(ctx context.Context, db bun.IDB, s Seed) (Entry, error) {
	if s.Category == "" {
		s.Category = CategoryPromo
	}
	return l.Grant(ctx, db, Grant{
		Account: s.Account, Amount: s.Amount, Key: seedKey, Category: s.Category, ExpiresAt: s.ExpiresAt,
		Note: "credits to begin with",
	})
}
