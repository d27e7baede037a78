package tenancy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// Fact is something that happened: a typed event. Each package declares its own.
type Fact interface {
	// EventKind names the fact in its package's name: "tenancy.account_registered".
	EventKind() string
}

// Event is a fact in the outbox, as Config.Deliver receives it.
type Event struct {
	Account AccountID
	// Number counts the account's events: 1, 2, 3. With Account it is the key by
	// which a receiver recognises a repeat.
	Number int64
	Kind   string
	// Data is the fact as JSON; Decode reads it.
	Data json.RawMessage
	At   time.Time
}

// ErrKind says that an event holds another kind of fact.
var ErrKind = errors.New("the event holds another kind of fact")

// Decode reads the fact of type F out of e, or returns ErrKind.
func Decode[F Fact](e Event) (F, error) {
	var f F
	if e.Kind != f.EventKind() {
		return f, fmt.Errorf("%w: %s, not %s", ErrKind, e.Kind, f.EventKind())
	}
	return f, json.Unmarshal(e.Data, &f)
}

// AccountRegistered says that somebody signed up.
type AccountRegistered struct {
	User        UserID    `json:"user"`
	Plan        string    `json:"plan"`
	Status      Status    `json:"status"`
	TrialEndsAt time.Time `json:"trial_ends_at,omitzero"`
}

// EventKind implements Fact.
func (AccountRegistered) EventKind() string { return "tenancy.account_registered" }

// AccountChanged says that an account has another status or plan.
type AccountChanged struct {
	From     Status `json:"from"`
	To       Status `json:"to"`
	FromPlan string `json:"from_plan"`
	ToPlan   string `json:"to_plan"`
}

// EventKind implements Fact.
func (AccountChanged) EventKind() string { return "tenancy.account_changed" }

// MemberAdded says that a user belongs to the account from now on.
type MemberAdded struct {
	User  UserID `json:"user"`
	Roles []Role `json:"roles"`
}

// EventKind implements Fact.
func (MemberAdded) EventKind() string { return "tenancy.member_added" }

// MemberRemoved says that a user belongs to the account no more.
type MemberRemoved struct {
	User UserID `json:"user"`
}

// EventKind implements Fact.
func (MemberRemoved) EventKind() string { return "tenancy.member_removed" }

type eventRow struct {
	bun.BaseModel `bun:"table:tenancy_events,alias:ev"`

	Account AccountID `bun:"account_id,pk"`
	Number  int64     `bun:"number,pk"`
	Kind    string    `bun:"kind"`
	Data    string    `bun:"data"`
	At      time.Time `bun:"at"`
}

func (r eventRow) event() Event {
	return Event{Account: r.Account, Number: r.Number, Kind: r.Kind, Data: json.RawMessage(r.Data), At: r.At.UTC()}
}

// Publish appends a fact to the account's outbox in the caller's transaction: it
// is delivered if that commits and never if it does not. Call it last: it locks
// the account's numbering until the transaction ends.
func Publish(ctx context.Context, db bun.IDB, account AccountID, at time.Time, f Fact) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	var number int64
	err = db.NewRaw(`INSERT INTO tenancy_event_heads (account_id, number, due_at) VALUES (?, 1, ?)
		ON CONFLICT (account_id) DO UPDATE SET number = tenancy_event_heads.number + 1
		RETURNING number`, account, at).Scan(ctx, &number)
	if err != nil {
		return err
	}
	_, err = db.NewInsert().Model(&eventRow{Account: account, Number: number, Kind: f.EventKind(), Data: string(data), At: at}).Exec(ctx)
	return err
}

// Note writes a change to both: a line to the audit log, and the fact to the outbox
// of the line's account at the line's time. Like Publish it is called last.
func Note(ctx context.Context, db bun.IDB, line Audit, f Fact) error {
	if err := Record(ctx, db, line); err != nil {
		return err
	}
	return Publish(ctx, db, line.Account, line.At, f)
}
