package credits

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

// lockedRow is written by SQL alone otherwise.
type lockedRow struct {
	bun.BaseModel `bun:"table:credits_accounts"`

	Account   tenancy.AccountID `bun:"account_id,pk"`
	Unit      string            `bun:"unit,pk"`
	Booked    int64             `bun:"booked"`
	Number    int64             `bun:"number"`
	CreatedAt time.Time         `bun:"created_at"`
}

// priceRow is that of package prices, which writes it.
type priceRow struct {
	bun.BaseModel `bun:"table:credits_prices"`

	Account     tenancy.AccountID `bun:"account_id,pk"`
	Operation   string            `bun:"operation,pk"`
	Version     int64             `bun:"version,pk"`
	Ended       bool              `bun:"ended"`
	Fixed       int64             `bun:"fixed"`
	Minimum     int64             `bun:"minimum"`
	Rounding    string            `bun:"rounding"`
	Components  string            `bun:"components"`
	EffectiveAt time.Time         `bun:"effective_at"`
	CreatedAt   time.Time         `bun:"created_at"`
}

// Every table is kept to an account, in its keys and under every verb that the
// database lets through. A new one belongs into
// this test.
func TestM11_OwnTablesAreKeptApart(t *testing.T) {
	t.Parallel()
	models := []any{
		(*lockedRow)(nil), (*grantRow)(nil), (*entryRow)(nil), (*splitRow)(nil), (*keyRow)(nil), (*holdRow)(nil), (*priceRow)(nil),
		(*budgetRow)(nil), (*thresholdRow)(nil), (*allotmentRow)(nil), (*sealTable)(nil),
	}
	var tables []owned.Table
	for _, m := range models {
		tables = append(tables, owned.Table{Model: m})
	}
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		tenancytest.Run(t, db, owned.New(owned.Config{Tables: tables}), &grantRow{Amount: 100, Remaining: 50}, &thresholdRow{Low: 50, Reset: 100})
		want := dbtest.Named(db, models)
		if d := cmp.Diff(want, dbtest.Tables(t, db, "credits_")); d != "" {
			t.Errorf("the tables of the package (-named in this test +there):\n%s", d)
		}
	}, Migrate)
}
