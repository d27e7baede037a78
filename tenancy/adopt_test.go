package tenancy_test

import (
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// brought is two accounts of another system.
func brought() tenancy.Adopt {
	what := tenancy.Adopt{Actor: operator}
	for _, id := range []string{"1", "2"} {
		what.Users = append(what.Users, tenancy.User{ID: tenancy.UserID(id), Email: id + "@example.com", Name: id, CreatedAt: t0})
		acc := tenancy.Account{ID: tenancy.AccountID(id), Name: id, Plan: "starter", Owner: tenancy.UserID(id), CreatedAt: t0}
		acc.Status = tenancy.StatusActive
		what.Accounts = append(what.Accounts, acc)
		what.Members = append(what.Members, tenancy.Member{Account: acc.ID, User: acc.Owner, Roles: []tenancy.Role{tenancy.RoleOwner}})
	}
	return what
}

func TestM18_Adopt_WritesNothingThatCannotBe(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		for what, spoil := range map[string]func(a *tenancy.Adopt){
			"no actor":              func(a *tenancy.Adopt) { a.Actor = tenancy.Actor{} },
			"user's id":             func(a *tenancy.Adopt) { a.Users[1].ID = "a b" },
			"user's name":           func(a *tenancy.Adopt) { a.Users[1].Name = "" },
			"user's address":        func(a *tenancy.Adopt) { a.Users[1].Email = "nobody" },
			"account's id":          func(a *tenancy.Adopt) { a.Accounts[1].ID = "" },
			"account's name":        func(a *tenancy.Adopt) { a.Accounts[1].Name = "\x00" },
			"account's owner":       func(a *tenancy.Adopt) { a.Accounts[1].Owner = "" },
			"account's zone":        func(a *tenancy.Adopt) { a.Accounts[1].Zone = "Local" },
			"account's plan":        func(a *tenancy.Adopt) { a.Accounts[1].Plan = "no slug\x00" },
			"unknown status":        func(a *tenancy.Adopt) { a.Accounts[1].Status = "frozen" },
			"closed":                func(a *tenancy.Adopt) { a.Accounts[1].Status = tenancy.StatusClosed },
			"active, was suspended": func(a *tenancy.Adopt) { a.Accounts[1].SuspendedFrom = tenancy.StatusTrial },
			"suspended from closed": func(a *tenancy.Adopt) {
				a.Accounts[1].Status, a.Accounts[1].SuspendedFrom = tenancy.StatusSuspended, tenancy.StatusClosed
			},
			"unknown role": func(a *tenancy.Adopt) { a.Members[1].Roles = []tenancy.Role{tenancy.RoleOwner, "boss"} },
			"a role on a site": func(a *tenancy.Adopt) {
				a.Members[1].Objects = []tenancy.ObjectRole{{Object: tenancy.Object{Kind: "site", ID: "1"}, Role: tenancy.RoleEditor}}
			},
			"no role":            func(a *tenancy.Adopt) { a.Members[1].Roles = nil },
			"owner without role": func(a *tenancy.Adopt) { a.Members[1].Roles = []tenancy.Role{tenancy.RoleAdmin} },
			"a second owner": func(a *tenancy.Adopt) {
				a.Members = append(a.Members, tenancy.Member{Account: "1", User: "2", Roles: []tenancy.Role{tenancy.RoleOwner}})
			},
			"no member":            func(a *tenancy.Adopt) { a.Members = a.Members[:1] },
			"another's member":     func(a *tenancy.Adopt) { a.Members[1].Account = "acc_3" },
			"an account twice":     func(a *tenancy.Adopt) { a.Accounts = append(a.Accounts, a.Accounts[1]) },
			"a place twice":        func(a *tenancy.Adopt) { a.Members = append(a.Members, a.Members[1]) },
			"reason of NUL":        func(a *tenancy.Adopt) { a.Reason = "\x00" },
			"member with no user ": func(a *tenancy.Adopt) { a.Members[1].User = "" },
		} {
			unchanged(t, db, what, func() {
				a := brought()
				spoil(&a)
				wantErr(t, what, accounts.Adopt(t.Context(), db, a), tenancy.ErrInvalid)
			})
		}
		wantErr(t, "as it is", accounts.Adopt(t.Context(), db, brought()), nil)
		for what, change := range map[string]func(a *tenancy.Adopt){
			"again":              func(*tenancy.Adopt) {},
			"a taken account id": func(a *tenancy.Adopt) { a.Users = nil },
			"a taken address": func(a *tenancy.Adopt) {
				a.Accounts, a.Members, a.Users = nil, nil, []tenancy.User{{ID: "3", Email: "2@EXAMPLE.com", Name: "3", CreatedAt: t0}}
			},
		} {
			unchanged(t, db, what, func() {
				a := brought()
				change(&a)
				wantErr(t, what, accounts.Adopt(t.Context(), db, a), tenancy.ErrAdoptTaken)
			})
		}
	})
}
