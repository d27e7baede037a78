package authn

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// lockRow is written by SQL alone otherwise.
type lockRow struct {
	bun.BaseModel `bun:"table:authn_accounts"`

	Account tenancy.AccountID `bun:"account_id,pk"`
	Issued  int64             `bun:"issued"`
}

// Every table is kept to an account, in its keys and under every verb that the
// database lets through, or it is named here as one that belongs to no account. A new one belongs into
// this test.
func TestM11_OwnTablesAreKeptApart(t *testing.T) {
	models := []any{
		(*lockRow)(nil), (*keyRow)(nil), (*secretRow)(nil), (*useRow)(nil),
	}
	var tables []owned.Table
	for _, m := range models {
		tables = append(tables, owned.Table{Model: m})
	}
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		tenancytest.Run(t, db, owned.New(owned.Config{Tables: tables}), tenancytest.Exempt("authn_key_ids"), tenancytest.Exempt("authn_sessions"), tenancytest.Exempt("authn_imported_keys"))
		want := dbtest.Named(db, models,
			"authn_passwords",                      // a person's
			"authn_email_tokens",                   // a person's
			"authn_sessions",                       // a person's, with the account it acts for
			"authn_key_ids", "authn_imported_keys") // find the account of a key
		if d := cmp.Diff(want, dbtest.Tables(t, db, "authn_")); d != "" {
			t.Errorf("the tables of the package (-named in this test +there):\n%s", d)
		}
	}, Migrate)
}
