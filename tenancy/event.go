package tenancy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/internal/tx"
)

// Fact is something that happened: a typed event. Each package declares its own.
type Fact interface {
	// EventKind names the fact in its package's name: "tenancy.account_registered".
	EventKind() string
}

// Event is a fact in the outbox, as Config.Deliver receives it.
type Event struct {
	Account AccountID
	// ID is the event's place in the account's order ("evt_…"), compared byte by
	// byte. With Account it is the key by which a receiver recognises a repeat.
	ID   string
	Kind string
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

// AccountChanged says that an account has another status, another plan, or another
// end of what it may do.
type AccountChanged struct {
	From     Status `json:"from"`
	To       Status `json:"to"`
	FromPlan string `json:"from_plan"`
	ToPlan   string `json:"to_plan"`
	// PaidUntil is how far the account is paid now; zero: without end.
	PaidUntil time.Time `json:"paid_until,omitzero"`
	// PurgeAt is when an account that is closed will be erased.
	PurgeAt time.Time `json:"purge_at,omitzero"`
}

// EventKind implements Fact.
func (AccountChanged) EventKind() string { return "tenancy.account_changed" }

// AccountOverridden says what an account has otherwise than its plan says from now on.
type AccountOverridden struct {
	Overrides
}

// EventKind implements Fact.
func (AccountOverridden) EventKind() string { return "tenancy.account_overridden" }

// MemberAdded says that a user belongs to the account from now on.
type MemberAdded struct {
	User    UserID       `json:"user"`
	Roles   []Role       `json:"roles"`
	Objects []ObjectRole `json:"objects,omitempty"`
}

// EventKind implements Fact.
func (MemberAdded) EventKind() string { return "tenancy.member_added" }

// MemberRemoved says that a user belongs to the account no more.
type MemberRemoved struct {
	User UserID `json:"user"`
}

// EventKind implements Fact.
func (MemberRemoved) EventKind() string { return "tenancy.member_removed" }

// RolesChanged says that a member holds other roles from now on.
type RolesChanged struct {
	User UserID `json:"user"`
	// Object is what the roles are on; zero: the account.
	Object Object `json:"object,omitzero"`
	From   []Role `json:"from"`
	To     []Role `json:"to"`
}

// EventKind implements Fact.
func (RolesChanged) EventKind() string { return "tenancy.roles_changed" }

// ObjectForgotten says that nobody holds a role on an object any more.
type ObjectForgotten struct {
	Object Object `json:"object"`
}

// EventKind implements Fact.
func (ObjectForgotten) EventKind() string { return "tenancy.object_forgotten" }

// OwnershipOffered says that a member may become the owner.
type OwnershipOffered struct {
	User      UserID    `json:"user"`
	ExpiresAt time.Time `json:"expires_at"`
}

// EventKind implements Fact.
func (OwnershipOffered) EventKind() string { return "tenancy.ownership_offered" }

// OwnershipDeclined says that an offer is open no more, and nothing came of it.
type OwnershipDeclined struct {
	User UserID `json:"user"` // to whom it was made
}

// EventKind implements Fact.
func (OwnershipDeclined) EventKind() string { return "tenancy.ownership_declined" }

// OwnershipTransferred says that an account has another owner.
type OwnershipTransferred struct {
	From UserID `json:"from"`
	To   UserID `json:"to"`
}

// EventKind implements Fact.
func (OwnershipTransferred) EventKind() string { return "tenancy.ownership_transferred" }

type eventRow struct {
	bun.BaseModel `bun:"table:tenancy_events,alias:ev"`

	Account AccountID `bun:"account_id,pk"`
	ID      string    `bun:"event_id,pk"`
	Kind    string    `bun:"kind"`
	Data    string    `bun:"data"`
	At      time.Time `bun:"at"`
}

type deliveryRow struct {
	bun.BaseModel `bun:"table:tenancy_deliveries,alias:d"`

	Account  AccountID `bun:"account_id,pk"`
	Event    string    `bun:"event_id,pk"`
	Attempts int64     `bun:"attempts"`
	DueAt    time.Time `bun:"due_at"`
}

// atOnce is when an event is due that nobody tried to deliver yet: a time on no
// clock, so that a fast one delays nothing.
var atOnce = time.Unix(0, 0).UTC()

// Publish appends a fact to the account's outbox in the caller's transaction: it
// is delivered if that commits and never if it does not. It locks nothing, so it
// may be called anywhere in the transaction, as often as there are facts. Given a
// *bun.DB it opens a transaction of its own. ErrInvalid: account cannot be an
// account's id.
//
// The event comes after every event of the account that the transaction can see,
// whatever the machine's clock shows: what one fact follows from is delivered
// before it.
func Publish(ctx context.Context, db bun.IDB, account AccountID, at time.Time, f Fact) error {
	if _, err := ParseAccountID(string(account)); err != nil {
		return err
	}
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return tx.Join(ctx, db, func(db bun.IDB) error {
		var last string
		err := db.NewRaw("SELECT COALESCE(MAX(event_id), '') FROM tenancy_events WHERE account_id = ?", account).Scan(ctx, &last)
		if err != nil {
			return err
		}
		row := eventRow{Account: account, ID: id.After("evt", last), Kind: f.EventKind(), Data: string(data), At: at}
		if _, err := db.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		_, err = db.NewInsert().Model(&deliveryRow{Account: account, Event: row.ID, DueAt: atOnce}).Exec(ctx)
		return err
	})
}

// Note writes a change to both: a line to the audit log, and the fact to the outbox
// of the line's account at the line's time. It returns what Record and Publish do.
func Note(ctx context.Context, db bun.IDB, line Audit, f Fact) error {
	return tx.Join(ctx, db, func(db bun.IDB) error {
		if err := Record(ctx, db, line); err != nil {
			return err
		}
		return Publish(ctx, db, line.Account, line.At, f)
	})
}
