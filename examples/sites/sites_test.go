package sites_test

import (
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/examples/sites"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestMain(m *testing.M) { dbtest.Main(m, nil) }

// This one test is what a host writes to know that its tables keep accounts apart.
func TestM11_NoAccountReachesAnothersSites(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		tenancytest.Run(t, db, sites.Tables())
	}, tenancy.Migrate, sites.Migrate)
}
