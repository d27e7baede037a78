package tenancy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
)

// Audit is one line of the audit log: who did what, to what, and why. The log is
// append-only and holds ids, never personal data.
type Audit struct {
	// Account is whose log it is; "" is the installation's own: plans, jobs.
	Account AccountID
	// ID orders the log; Record assigns it.
	ID string
	At time.Time
	Actor
	// Action is a verb in its package's name: "tenancy.suspend".
	Action string
	// Target names what was acted on, if not the account: a key, a transfer.
	Target string
	// Reason is the actor's own words.
	Reason string
	// Data is what else is worth knowing, as a JSON object. Default: {}.
	Data json.RawMessage
}

type auditRow struct {
	bun.BaseModel `bun:"table:tenancy_audit,alias:au"`

	Account   AccountID `bun:"account_id,pk"`
	ID        string    `bun:"audit_id,pk"`
	At        time.Time `bun:"at"`
	ActorKind ActorKind `bun:"actor_kind"`
	ActorID   string    `bun:"actor_id"`
	Action    string    `bun:"action"`
	Target    string    `bun:"target"`
	Reason    string    `bun:"reason"`
	Data      string    `bun:"data"`
}

// The most that a line of the log holds, in bytes.
const (
	maxReason = 1000
	maxName   = 200 // of an actor, an action, a target
)

// Validate returns ErrInvalid when the actor or the action is missing (nothing
// happens unsigned), when a text is over its limit (a reason 1000 bytes, a name
// 200) and when Data is no JSON in UTF-8. Record calls it; who changes something first and
// records it last calls it before the change, which a host may commit all the same.
func (a Audit) Validate() error {
	if a.Action == "" {
		return fmt.Errorf("%w: an audited action has a name", ErrInvalid)
	}
	if err := a.Actor.validate(); err != nil {
		return err
	}
	if len(a.Data) > 0 && !(json.Valid(a.Data) && utf8.Valid(a.Data)) {
		return fmt.Errorf("%w: the data of an audited action is JSON in UTF-8", ErrInvalid)
	}
	return cmp.Or(CheckText("action", a.Action, maxName), CheckText("target", a.Target, maxName), CheckText("reason", a.Reason, maxReason))
}

func (a Actor) validate() error {
	if a.Kind == "" || a.ID == "" {
		return fmt.Errorf("%w: an actor has a kind and an id", ErrInvalid)
	}
	if plainText(string(a.Kind)) && plainText(a.ID) { // as nearly all are, and each request asks
		return nil
	}
	return cmp.Or(CheckText("actor's kind", string(a.Kind), maxName), CheckText("actor's id", a.ID, maxName))
}

// Record appends to the audit log in the caller's transaction. It returns what
// Audit.Validate returns, and ErrInvalid for an Account that cannot be an account's
// id.
func Record(ctx context.Context, db bun.IDB, a Audit) error {
	if err := a.Validate(); err != nil {
		return err
	}
	if a.Account != "" {
		if _, err := ParseAccountID(string(a.Account)); err != nil {
			return err
		}
	}
	if len(a.Data) == 0 {
		a.Data = json.RawMessage("{}")
	}
	_, err := db.NewInsert().Model(&auditRow{
		Account: a.Account, ID: id.New("aud"), At: a.At, ActorKind: a.Kind, ActorID: a.Actor.ID,
		Action: a.Action, Target: a.Target, Reason: a.Reason, Data: string(a.Data),
	}).Exec(ctx)
	return err
}

// AuditLog asks for a page of the log, newest first.
type AuditLog struct {
	Account AccountID
	// Before continues a page: the ID of its last line.
	Before string
	// Limit is 1 to 500. Default: 50.
	Limit int
}

// Audits reads a page of the audit log. ErrInvalid: Before is no ID.
func (a *Accounts) Audits(ctx context.Context, db bun.IDB, page AuditLog) ([]Audit, error) {
	if err := CheckText("place to go on from", page.Before, maxName); err != nil {
		return nil, err
	}
	if page.Account != "" && !page.Account.known() {
		return []Audit{}, nil
	}
	var rows []auditRow
	q := db.NewSelect().Model(&rows).Where("account_id = ?", page.Account).
		OrderExpr("audit_id DESC").Limit(pageSize(page.Limit))
	if page.Before != "" {
		q = q.Where("audit_id < ?", page.Before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	out := make([]Audit, len(rows))
	for i, r := range rows {
		out[i] = Audit{
			Account: r.Account, ID: r.ID, At: r.At.UTC(), Actor: Actor{Kind: r.ActorKind, ID: r.ActorID},
			Action: r.Action, Target: r.Target, Reason: r.Reason, Data: json.RawMessage(r.Data),
		}
	}
	return out, nil
}

func pageSize(limit int) int64 {
	if limit <= 0 {
		return 50
	}
	return int64(min(limit, 500))
}
