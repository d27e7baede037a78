package tenancy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// Rows of the packages below this one, whose tables are in its migrations.
type (
	invitationRow struct {
		bun.BaseModel `bun:"table:tenancy_invitations"`
		owned.Row

		ID          string    `bun:"invitation_id,pk"`
		Email       string    `bun:"email"`
		EmailKey    string    `bun:"email_key"`
		Roles       string    `bun:"roles"`
		Objects     string    `bun:"objects"`
		InviterKind string    `bun:"inviter_kind"`
		InviterID   string    `bun:"inviter_id"`
		CreatedAt   time.Time `bun:"created_at"`
		ExpiresAt   time.Time `bun:"expires_at"`
		AcceptedAt  time.Time `bun:"accepted_at,nullzero"`
		RevokedAt   time.Time `bun:"revoked_at,nullzero"`
	}
	sealRow struct {
		bun.BaseModel `bun:"table:tenancy_audit_seals"`
		owned.Row

		Number int64  `bun:"number,pk"`
		Audit  string `bun:"audit_id"`
		Hash   string `bun:"hash"`
	}
	holdRow struct {
		bun.BaseModel `bun:"table:tenancy_legal_holds"`
		owned.Row

		ID       string    `bun:"hold_id,pk"`
		Reason   string    `bun:"reason"`
		PlacedAt time.Time `bun:"placed_at"`
		ByKind   string    `bun:"placed_by_kind"`
		ByID     string    `bun:"placed_by_id"`
		LiftedAt time.Time `bun:"lifted_at,nullzero"`
	}
)

// Every table is kept to an account, in its keys and under every verb that the
// database lets through, or it is named here as one that belongs to no account. A new
// one belongs into this test.
func TestM11_OwnTablesAreKeptApart(t *testing.T) {
	models := []any{
		(*tenancy.AccountRow)(nil), (*tenancy.MemberRow)(nil), (*tenancy.MemberRoleRow)(nil), (*tenancy.ObjectRoleRow)(nil),
		(*tenancy.OfferRow)(nil), (*tenancy.EventRow)(nil), (*tenancy.DeliveryRow)(nil), (*tenancy.AuditRow)(nil),
		(*invitationRow)(nil), (*sealRow)(nil), (*holdRow)(nil),
	}
	var tables []owned.Table
	for _, m := range models {
		tables = append(tables, owned.Table{Model: m})
	}
	each(t, func(t *testing.T, db *bun.DB) {
		tenancytest.Run(t, db, owned.New(owned.Config{Tables: tables}), tenancytest.Exempt("tenancy_invitation_tokens"), tenancytest.Exempt("tenancy_tombstones"))
		want := dbtest.Named(db, models,
			"tenancy_plans", "tenancy_users", "tenancy_leases",
			"tenancy_invitation_tokens", // finds the account of an invitation
			"tenancy_changes",           // accounts, users and plans, by name
			"tenancy_tombstones")        // of accounts that are no more: operators read it
		if d := cmp.Diff(want, dbtest.Tables(t, db, "tenancy_")); d != "" {
			t.Errorf("the tables of the package (-named in this test +there):\n%s", d)
		}
	})
}
