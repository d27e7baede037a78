package credits

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

type holdRow struct {
	bun.BaseModel `bun:"table:credits_holds,alias:h"`

	Account tenancy.AccountID `bun:"account_id,pk"`
	ID      string            `bun:"hold_id,pk"`
	Unit    string            `bun:"unit"`
	State   HoldState         `bun:"state"`
	Amount  int64             `bun:"amount"`
	// Used is what of the amount was charged, Settled what was charged in all.
	Used    int64 `bun:"used"`
	Settled int64 `bun:"settled"`
	// Parts is what the amount is made of, a grant and its share a line.
	Parts     string            `bun:"parts"`
	AtEnd     AtEnd             `bun:"at_end"`
	Operation string            `bun:"operation"`
	Note      string            `bun:"note"`
	ActorKind tenancy.ActorKind `bun:"actor_kind"`
	ActorID   string            `bun:"actor_id"`

	OnBehalfKind tenancy.ActorKind `bun:"on_behalf_kind"`
	OnBehalfID   string            `bun:"on_behalf_id"`

	ExpiresAt time.Time `bun:"expires_at"`
	CreatedAt time.Time `bun:"created_at"`

	parts         []share
	made, changed bool // it is to be written
}

const holdColumns = `h.account_id, h.hold_id, h.unit, h.state, h.amount, h.used, h.settled, h.parts, h.at_end,
	h.operation, h.note, h.actor_kind, h.actor_id, h.on_behalf_kind, h.on_behalf_id, h.expires_at, h.created_at`

func scanHold(scan func(...any) error) (*holdRow, error) {
	h := &holdRow{}
	err := scan(&h.Account, &h.ID, &h.Unit, &h.State, &h.Amount, &h.Used, &h.Settled, &h.Parts, &h.AtEnd,
		&h.Operation, &h.Note, &h.ActorKind, &h.ActorID, &h.OnBehalfKind, &h.OnBehalfID, &h.ExpiresAt, &h.CreatedAt)
	if err != nil {
		return nil, err
	}
	h.ExpiresAt, h.CreatedAt = h.ExpiresAt.UTC(), h.CreatedAt.UTC()
	h.parts, err = parseParts(h.Parts)
	return h, err
}

// holding reports that the hold still holds something.
func (h *holdRow) holding() bool { return h.State == HoldOpen || h.State == HoldReview }

// left is what is still held.
func (h *holdRow) left() int64 {
	if !h.holding() {
		return 0
	}
	return h.Amount - h.Used
}

func (h *holdRow) held() Held {
	return Held{
		Account: h.Account, ID: h.ID, State: h.State, Amount: h.Amount, Left: h.left(), Settled: h.Settled,
		Operation: h.Operation, Note: h.Note, Actor: tenancy.Actor{Kind: h.ActorKind, ID: h.ActorID},
		OnBehalf: tenancy.Actor{Kind: h.OnBehalfKind, ID: h.OnBehalfID}, AtEnd: h.AtEnd, ExpiresAt: h.ExpiresAt, CreatedAt: h.CreatedAt,
	}
}

func formatParts(parts []share) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%s %d\n", p.grant, p.amount)
	}
	return b.String()
}

func parseParts(text string) ([]share, error) {
	var parts []share
	for line := range strings.Lines(text) {
		id, amount, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		n, err := strconv.ParseInt(amount, 10, 64)
		if err != nil || id == "" || n <= 0 {
			return nil, fmt.Errorf("credits: a hold has the part %q: run Verify", line)
		}
		parts = append(parts, share{id, n})
	}
	return parts, nil
}

// keep remembers a hold that was read or made.
func (b *book) keep(h *holdRow) {
	if b.holds == nil {
		b.holds = map[string]*holdRow{}
	}
	b.holds[h.ID] = h
}

// letGo lets go of n of what the hold still holds, from its first part on, and returns
// the shares it let go of.
func (b *book) letGo(ctx context.Context, h *holdRow, n int64) ([]part, error) {
	if n == 0 {
		return nil, nil
	}
	budgets, err := b.budgetsOf(ctx, h.spenders())
	if err != nil {
		return nil, err
	}
	count(budgets, 0, -n)
	var out []part
	skip := h.Used
	for _, p := range h.parts {
		if skip >= p.amount {
			skip -= p.amount
			continue
		}
		take := min(n, p.amount-skip)
		skip = 0
		if take == 0 {
			break
		}
		g, err := b.grant(ctx, p.grant)
		if err != nil {
			return nil, err
		}
		b.move(g, 0, -take)
		out = append(out, part{g, -take})
		n -= take
	}
	return out, nil
}

// endedHolds are the open ones whose time is over, in the order in which it was.
func (b *book) endedHolds(ctx context.Context) ([]*holdRow, error) {
	var ended []*holdRow
	rows, err := b.db.QueryContext(ctx, `SELECT `+holdColumns+` FROM credits_holds AS h
		WHERE h.account_id = ? AND h.unit = ? AND h.state = 'open' AND h.expires_at <= ?
		ORDER BY h.expires_at, h.hold_id`, b.account, b.ledger.cfg.Unit, b.now) // sqltext: constant
	err = each(rows, err, func(scan func(...any) error) error {
		h, err := scanHold(scan)
		if err != nil {
			return err
		}
		if known := b.holds[h.ID]; known != nil {
			h = known
		}
		b.keep(h)
		ended = append(ended, h)
		return nil
	})
	return ended, err
}

// nextHold is when the first of the open holds ends; zero if there are none.
func (b *book) nextHold(ctx context.Context) (next time.Time, err error) {
	rows, err := b.db.QueryContext(ctx, `SELECT expires_at FROM credits_holds
		WHERE account_id = ? AND unit = ? AND state = 'open' AND expires_at > ?
		ORDER BY expires_at LIMIT 1`, b.account, b.ledger.cfg.Unit, b.now)
	err = each(rows, err, func(scan func(...any) error) error { return scan(&next) })
	return next.UTC(), err
}

// HoldParked says that a hold's time is over and somebody has to settle or release it.
type HoldParked struct {
	Hold      string `json:"hold"`
	Left      int64  `json:"left"`
	Operation string `json:"operation,omitempty"`
	// Unit is the ledger's, where that is not "credit".
	Unit string `json:"unit,omitempty"`
}

// EventKind implements tenancy.Fact.
func (HoldParked) EventKind() string { return "credits.hold_parked" }

// runOut is what becomes of an open hold when its time is over.
func (b *book) runOut(ctx context.Context, h *holdRow) error {
	switch h.AtEnd {
	case AtEndReview:
		h.State, h.changed = HoldReview, true
		at, fact := h.ExpiresAt, HoldParked{Hold: h.ID, Left: h.left(), Operation: h.Operation, Unit: b.ledger.otherUnit()}
		b.note(func(ctx context.Context, db bun.IDB) error { return tenancy.Publish(ctx, db, b.account, at, fact) })
		return nil
	case AtEndCharge:
		if n := h.left(); n > 0 {
			if _, err := b.charge(ctx, h, n, entryRow{Note: h.Note}); err != nil {
				return err
			}
		}
	}
	return b.giveUp(ctx, h)
}

// flushHolds writes the holds that were made and those that changed.
func flushHolds(ctx context.Context, db bun.IDB, books []*book) error {
	changed := newLookup(db, "text", "text", "text", "bigint", "bigint", "text", "timestamptz")
	var made []*holdRow
	for _, b := range books {
		for _, h := range b.holds {
			switch {
			case h.made:
				made = append(made, h)
			case h.changed:
				changed.text(string(h.Account))
				changed.text(h.ID)
				changed.text(string(h.State))
				changed.int(h.Used)
				changed.int(h.Settled)
				changed.text(string(h.AtEnd))
				changed.time(h.ExpiresAt)
			}
		}
	}
	if len(made) > 0 {
		if _, err := db.NewInsert().Model(&made).Exec(ctx); err != nil {
			return err
		}
	}
	if changed.rows == 0 {
		return nil
	}
	return moved(changed.rows)(db.ExecContext(ctx, `WITH d (account_id, hold_id, state, used, settled, at_end, expires_at) AS (?)
		UPDATE credits_holds SET state = d.state, used = d.used, settled = d.settled, at_end = d.at_end, expires_at = d.expires_at
		FROM d WHERE credits_holds.account_id = d.account_id AND credits_holds.hold_id = d.hold_id`, changed))
}
