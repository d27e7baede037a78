package tenancy_test

import (
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

func TestSeat_SaysWhetherOneMoreMemberHasRoom(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		r, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: "ada@example.com", Plan: "starter"}) // 2 users
		if err != nil {
			t.Fatal(err)
		}
		wantErr(t, "one of two", accounts.Seat(t.Context(), db, r.Account.ID), nil)
		_, err = accounts.AddMember(t.Context(), db, tenancy.AddMember{
			Account: r.Account.ID, User: createUser(t, db, accounts, "bob@example.com"), Roles: viewer, Actor: operator,
		})
		if err != nil {
			t.Fatal(err)
		}
		wantErr(t, "two of two", accounts.Seat(t.Context(), db, r.Account.ID), tenancy.ErrLimit)
		wantErr(t, "no account", accounts.Seat(t.Context(), db, "acc_none"), tenancy.ErrNoAccount)
		wantErr(t, "no account's id", accounts.Seat(t.Context(), db, "a\x00"), tenancy.ErrNoAccount)
	})
}

func TestParseEmail_FindsTheFormUnderWhichAnAddressIsUnique(t *testing.T) {
	email, key, err := tenancy.ParseEmail(" Bob@Example.com ")
	if email != "Bob@Example.com" || key != "bob@example.com" || err != nil {
		t.Errorf("%q, %q, %v", email, key, err)
	}
	_, _, err = tenancy.ParseEmail("Bob")
	wantErr(t, "no address", err, tenancy.ErrInvalid)
}
