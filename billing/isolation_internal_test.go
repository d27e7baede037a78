package billing

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy/owned"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// Every table is kept to an account, in its keys and under every verb that the
// database lets through, or it is named here as one that belongs to no account. A new one belongs into
// this test.
func TestM11_OwnTablesAreKeptApart(t *testing.T) {
	models := []any{
		(*accountRow)(nil), (*subscriptionRow)(nil), (*transferRow)(nil),
	}
	var tables []owned.Table
	for _, m := range models {
		tables = append(tables, owned.Table{Model: m})
	}
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		tenancytest.Run(t, db, owned.New(owned.Config{Tables: tables}),
			&subscriptionRow{Periods: 1, PeriodStart: time.Unix(0, 0), PeriodEnd: time.Unix(1, 0)},
			tenancytest.Exempt("billing_references"))
		want := dbtest.Named(db, models,
			"billing_references") // finds the account of a payment
		if d := cmp.Diff(want, dbtest.Tables(t, db, "billing_")); d != "" {
			t.Errorf("the tables of the package (-named in this test +there):\n%s", d)
		}
	}, Migrate)
}
