package tenancytest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Events are all events of an account's outbox, delivered or not, in order.
func Events(t testing.TB, db bun.IDB, account tenancy.AccountID) []tenancy.Event {
	t.Helper()
	var rows []struct {
		EventID string
		Kind    string
		Data    string
		At      time.Time
	}
	err := db.NewRaw("SELECT event_id, kind, data, at FROM tenancy_events WHERE account_id = ? ORDER BY event_id", account).Scan(t.Context(), &rows)
	if err != nil {
		t.Fatal(err)
	}
	events := make([]tenancy.Event, len(rows))
	for i, r := range rows {
		events[i] = tenancy.Event{Account: account, ID: r.EventID, Kind: r.Kind, Data: json.RawMessage(r.Data), At: r.At.UTC()}
	}
	return events
}

// RequireEvent is the latest fact of type F in the account's outbox. The test
// fails where there is none.
func RequireEvent[F tenancy.Fact](t testing.TB, db bun.IDB, account tenancy.AccountID) F {
	t.Helper()
	var (
		fact  F
		kinds []string
	)
	events := Events(t, db, account)
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Kind != fact.EventKind() {
			kinds = append(kinds, events[i].Kind)
			continue
		}
		fact, err := tenancy.Decode[F](events[i])
		if err != nil {
			t.Fatal(err)
		}
		return fact
	}
	t.Fatalf("account %s has no event %s; newest first it has %q", account, fact.EventKind(), kinds)
	return fact
}

// RequireAudit is the latest line of the account's audit log, of its last 500,
// that has the action. The test fails where there is none. The account "" is the
// installation's own log.
func RequireAudit(t testing.TB, db bun.IDB, account tenancy.AccountID, action string) tenancy.Audit {
	t.Helper()
	lines, err := tenancy.New(tenancy.Config{}).Audits(t.Context(), db, tenancy.AuditLog{Account: account, Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, line := range lines {
		if line.Action == action {
			return line
		}
		actions = append(actions, line.Action)
	}
	t.Fatalf("account %q has no audit of %s; newest first it has %q", account, action, actions)
	return tenancy.Audit{}
}
