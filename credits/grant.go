package credits

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
	// Operations are those that the credits are for; Deduct.Operation and Hold.Operation
	// name them. Default: all. 20 at most, 100 bytes each.
	Operations []string
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
	// Unit is the ledger's, where that is not "credit".
	Unit string `json:"unit,omitempty"`
}

// EventKind implements tenancy.Fact.
func (Granted) EventKind() string { return "credits.granted" }

// Grant puts credits into an account, once for its key, and writes the grant to the
// audit log and the outbox. It returns the entry it made, or the one it made when
// the key was first used, with Replayed set.
//
// It returns ErrInvalid, ErrOverflow, and ErrKeyReused when the key was used with
// another Amount, Category, Priority, EffectiveAt, ExpiresAt or other Operations, in
// whichever order those are.
func (l *Ledger) Grant(ctx context.Context, db bun.IDB, g Grant) (Entry, error) {
	if g.Category == "" {
		g.Category = CategoryAdjustment
	}
	if g.Actor == (tenancy.Actor{}) {
		g.Actor = ownActor
	}
	g.EffectiveAt, g.ExpiresAt = micro(g.EffectiveAt), micro(g.ExpiresAt)
	if err := g.validate(); err != nil {
		return Entry{}, err
	}
	out, err := l.ask(ctx, db, request{
		account: g.Account, key: g.Key,
		hash:  l.digestGrant(g),
		do:    func(_ context.Context, b *book) (outcome, error) { return b.grantNew(g) },
		alone: true,
	})
	return out.entry, err
}

func (l *Ledger) digestGrant(g Grant) string {
	return l.digest([]any{KindGrant, g.Amount, g.Category, g.Priority, g.EffectiveAt, g.ExpiresAt},
		named{"operations", lines(g.Operations)})
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
	if err := checkOperations(g.Operations); err != nil {
		return err
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

// The most operations of a grant, and the longest of them in bytes.
const (
	maxOperations = 20
	maxOperation  = 100
)

func checkOperations(operations []string) error {
	if len(operations) > maxOperations {
		return fmt.Errorf("%w: credits are for %d operations at most", ErrInvalid, maxOperations)
	}
	for _, o := range operations {
		if o == "" || tenancy.CheckText("operation", o, maxOperation) != nil {
			return fmt.Errorf("%w: an operation has 1 to %d bytes, all of which print", ErrInvalid, maxOperation)
		}
	}
	return nil
}

func (g Grant) audit() tenancy.Audit {
	return tenancy.Audit{Account: g.Account, Actor: g.Actor, Action: "credits.grant", Reason: g.Note}
}

func (b *book) grantNew(g Grant) (outcome, error) {
	if err := b.room(g.Amount); err != nil {
		return outcome{}, err
	}
	_, entry := b.put(g)
	return outcome{entry: entry}, nil
}

// put makes a grant that there is room for, and notes it.
func (b *book) put(g Grant) (*grantRow, Entry) {
	row := &grantRow{
		Category: g.Category, Priority: int64(g.Priority), Amount: g.Amount,
		Operations: lines(g.Operations), EffectiveAt: g.EffectiveAt, ExpiresAt: g.ExpiresAt,
	}
	if row.EffectiveAt.IsZero() {
		row.EffectiveAt = b.now
	}
	b.add(row)
	line := entryRow{Kind: KindGrant, Key: g.Key, Note: g.Note, ActorKind: g.Actor.Kind, ActorID: g.Actor.ID}
	entry := b.enter(line, b.incoming(row), b.now).entry()
	b.lapse(b.now)
	audit := g.audit()
	audit.At, audit.Target = b.now, row.ID
	audit.Data = fmt.Appendf(nil, `{"number":%d,"amount":%d,"category":%q%s}`, entry.Number, g.Amount, g.Category, b.ledger.dataUnit())
	b.note(func(ctx context.Context, db bun.IDB) error {
		return tenancy.Note(ctx, db, audit, Granted{
			Number: entry.Number, Amount: g.Amount, Category: g.Category, ExpiresAt: g.ExpiresAt, Unit: b.ledger.otherUnit(),
		})
	})
	return row, entry
}

// add gives the account a grant that nothing is in yet: the entry that comes next puts
// its amount in.
func (b *book) add(g *grantRow) {
	g.Account, g.ID, g.Unit, g.made = b.account, id.New("grt"), b.ledger.cfg.Unit, true
	g.Number, g.CreatedAt = b.row.number+1, b.now
	b.grants = append(b.grants, g)
	b.expect(g)
	if g.inEffect(b.now) {
		i, _ := slices.BinarySearchFunc(b.live, g, func(x, y *grantRow) int { return burnOrder(*x, *y) })
		b.live = slices.Insert(b.live, i, g)
		b.scoped = b.scoped || g.Operations != ""
	}
}

// incoming is what a grant puts in: it repays a debt first, where it can be spent for
// anything at once.
func (b *book) incoming(g *grantRow) []part {
	parts := []part{{g, g.Amount}}
	if n := min(b.row.debt, g.Amount); n > 0 && g.Operations == "" && g.inEffect(b.now) {
		parts = append(parts, part{g, -n}, part{nil, n})
	}
	return parts
}

// lines is the texts in order, one a line.
func lines(texts []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(texts))), "\n")
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

// Seed grants an account the credits it is born with, once in its life whoever asks;
// each unit has a seed of its own. It returns what Grant returns: ErrKeyReused when the
// account was seeded with another Amount, Category or ExpiresAt.
func (l *Ledger) Seed(ctx context.Context, db bun.IDB, s Seed) (Entry, error) {
	if s.Category == "" {
		s.Category = CategoryPromo
	}
	return l.Grant(ctx, db, Grant{
		Account: s.Account, Amount: s.Amount, Key: seedKey, Category: s.Category, ExpiresAt: s.ExpiresAt,
		Note: "credits to begin with",
	})
}
