package tenancy_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/quitrent/quitrent/tenancy"
)

func TestParseAccountID(t *testing.T) {
	for _, s := range []string{"a", "acc_01", "7", "550e8400-e29b-41d4-a716-446655440000", "a.b:c-D_9", strings.Repeat("x", 64)} {
		if id, err := tenancy.ParseAccountID(s); err != nil || string(id) != s {
			t.Errorf("%q: %q, %v", s, id, err)
		}
	}
	for _, s := range []string{"", " ", "a b", "a/b", "é", "a\x00", "\xff", "a\n", "'", strings.Repeat("x", 65)} {
		id, err := tenancy.ParseAccountID(s)
		wantErr(t, strconv.Quote(s), err, tenancy.ErrInvalid)
		if id != "" {
			t.Errorf("%q is returned as %q", s, id)
		}
	}
}

func TestAccount_IsShownWithoutEmptyInstants(t *testing.T) {
	b, err := json.Marshal(tenancy.Account{ID: "acc_1", State: tenancy.State{Status: tenancy.StatusActive}, CreatedAt: t0, UpdatedAt: t0})
	want := `{"id":"acc_1","name":"","status":"active","plan":"","owner":"","zone":"","created_at":"2026-03-01T09:00:00.123456Z","updated_at":"2026-03-01T09:00:00.123456Z"}`
	if string(b) != want || err != nil {
		t.Errorf("%s, %v", b, err)
	}
}
