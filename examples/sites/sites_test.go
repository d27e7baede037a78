package sites_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/examples/catalogue"
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

// A key asks Can like a person: what its scopes do not name it may not do, whatever
// its maker may.
func TestM12_AKeyDoesWhatItsScopesName(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		accounts := tenancy.New(tenancy.Config{})
		keys, err := authn.New(accounts, authn.Config{Peppers: []authn.Pepper{{ID: "test", Secret: []byte(strings.Repeat("p", 32))}}})
		if err != nil {
			t.Fatal(err)
		}
		app := sites.Sites{DB: db, Accounts: accounts, Tables: sites.Tables()}
		_, err = accounts.Ensure(t.Context(), db, catalogue.FreeTrial())
		if err := errors.Join(err, app.Tables.Bind(t.Context(), db)); err != nil {
			t.Fatal(err)
		}
		ada, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []struct {
			name                  string
			scopes                []tenancy.Permission
			creates, adds, seesIt bool
		}{
			{"without scopes", nil, false, false, false},
			{"a reader", []tenancy.Permission{tenancy.PermContentRead}, false, false, false}, // there is none yet
			{"a writer", []tenancy.Permission{tenancy.PermContentWrite}, true, true, false},
			{"a reader, later", []tenancy.Permission{tenancy.PermContentRead}, false, false, true},
		} {
			issued, err := keys.Issue(t.Context(), db, authn.Issue{Account: ada.Account.ID, Name: key.name, Actor: user(ada.User), Scopes: key.scopes})
			if err != nil {
				t.Fatal(err)
			}
			ctx, err := keys.Verify(t.Context(), db, issued.Secret, tenancy.Use)
			if err != nil {
				t.Fatal(err)
			}
			site, err := app.Create(ctx, "news")
			if key.creates != (err == nil) || err != nil && !errors.Is(err, tenancy.ErrForbidden) {
				t.Errorf("%s creates a site: %v", key.name, err)
			}
			id := "none"
			if err == nil {
				id = site.ID
			}
			if err := app.AddSector(ctx, id, "sports"); key.adds != (err == nil) || err != nil && !errors.Is(err, tenancy.ErrForbidden) {
				t.Errorf("%s adds a sector: %v", key.name, err)
			}
			if list, err := app.List(ctx); err != nil || key.seesIt != (len(list) == 1) {
				t.Errorf("%s lists %d sites, %v", key.name, len(list), err)
			}
		}
	}, authn.Migrate, sites.Migrate)
}
