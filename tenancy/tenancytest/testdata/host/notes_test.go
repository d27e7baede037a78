package host

import (
	"testing"

	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestNoLeaks(t *testing.T) {
	db := tenancytest.SQLite(t, migrate)
	tenancytest.Run(t, db, tables, (*Note)(nil), (*Memo)(nil))
}
