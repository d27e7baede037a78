package adoption

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// existing is what the new system has of what the rows are about.
type existing struct {
	accounts map[tenancy.AccountID]tenancy.Account
	gone     map[tenancy.AccountID]bool // adopted once, and removed since
	erased   map[tenancy.UserID]bool
	members  map[tenancy.AccountID]map[tenancy.UserID][]tenancy.Role
	users    map[tenancy.UserID]tenancy.User
	emails   map[string]tenancy.UserID
}

// page is how many names one statement asks for.
const page = 500

func (s *survey) look(ctx context.Context, db bun.IDB) (existing, error) {
	have := existing{
		accounts: map[tenancy.AccountID]tenancy.Account{}, gone: map[tenancy.AccountID]bool{}, erased: map[tenancy.UserID]bool{},
		members: map[tenancy.AccountID]map[tenancy.UserID][]tenancy.Role{}, users: map[tenancy.UserID]tenancy.User{}, emails: map[string]tenancy.UserID{},
	}
	var accounts []tenancy.AccountID
	for _, acc := range s.accounts {
		accounts = append(accounts, acc.ID)
	}
	for ids := range slices.Chunk(names(accounts), page) {
		if err := have.readAccounts(ctx, db, ids); err != nil {
			return have, err
		}
	}
	if err := have.readTombstones(ctx, db); err != nil {
		return have, err
	}
	var users, keys []string
	for _, u := range s.users {
		users = append(users, string(u.ID))
		keys = append(keys, u.key)
	}
	for _, acc := range s.accounts {
		users = append(users, acc.owner)
	}
	for _, r := range s.rows {
		users = append(users, r.user)
	}
	for ids := range slices.Chunk(names(users), page) {
		if err := have.readUsers(ctx, db, "user_id", ids); err != nil {
			return have, err
		}
	}
	slices.Sort(keys)
	for keys := range slices.Chunk(slices.DeleteFunc(slices.Compact(keys), func(k string) bool { return k == "" }), page) {
		if err := have.readUsers(ctx, db, "email_key", keys); err != nil {
			return have, err
		}
	}
	return have, nil
}

// names are the ids that can be one, each once, in order.
func names[S ~string](ids []S) []S {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.DeleteFunc(slices.Compact(ids), func(id S) bool {
		_, err := tenancy.ParseAccountID(string(id))
		return err != nil
	})
}

func (e existing) readAccounts(ctx context.Context, db bun.IDB, ids []tenancy.AccountID) error {
	var rows []struct {
		AccountID     tenancy.AccountID
		Name          string
		Status        tenancy.Status
		SuspendedFrom tenancy.Status
		Plan          string
		OwnerID       tenancy.UserID
		Zone          string
		TrialEndsAt   time.Time `bun:",nullzero"`
		GraceEndsAt   time.Time `bun:",nullzero"`
		PaidUntil     time.Time `bun:",nullzero"`
		CreatedAt     time.Time
	}
	err := db.NewRaw(`SELECT account_id, name, status, suspended_from, plan, owner_id, zone, trial_ends_at, grace_ends_at, paid_until, created_at
		FROM tenancy_accounts WHERE account_id IN (?)`, bun.List(ids)).Scan(ctx, &rows)
	if err != nil {
		return err
	}
	for _, r := range rows {
		e.accounts[r.AccountID] = tenancy.Account{
			ID: r.AccountID, Name: r.Name, SuspendedFrom: r.SuspendedFrom, Plan: r.Plan, Owner: r.OwnerID, Zone: r.Zone, CreatedAt: r.CreatedAt,
			State: tenancy.State{Status: r.Status, TrialEndsAt: r.TrialEndsAt, GraceEndsAt: r.GraceEndsAt, PaidUntil: r.PaidUntil},
		}
	}
	// The log outlives the account.
	var adopted []tenancy.AccountID
	err = db.NewRaw("SELECT account_id FROM tenancy_audit WHERE account_id IN (?) AND action = 'tenancy.adopt'", bun.List(ids)).Scan(ctx, &adopted)
	if err != nil {
		return err
	}
	for _, id := range adopted {
		if _, there := e.accounts[id]; !there {
			e.gone[id] = true
		}
	}
	var held []struct {
		AccountID tenancy.AccountID
		UserID    tenancy.UserID
		Role      tenancy.Role
	}
	err = db.NewRaw("SELECT account_id, user_id, role FROM tenancy_member_roles WHERE account_id IN (?)", bun.List(ids)).Scan(ctx, &held)
	if err != nil {
		return err
	}
	for _, h := range held {
		if e.members[h.AccountID] == nil {
			e.members[h.AccountID] = map[tenancy.UserID][]tenancy.Role{}
		}
		e.members[h.AccountID][h.UserID] = append(e.members[h.AccountID][h.UserID], h.Role)
	}
	return nil
}

func (e existing) readUsers(ctx context.Context, db bun.IDB, column string, values []string) error {
	var rows []struct {
		UserID    tenancy.UserID
		Email     *string
		EmailKey  *string
		Name      string
		CreatedAt time.Time
	}
	err := db.NewRaw("SELECT user_id, email, email_key, name, created_at FROM tenancy_users WHERE ? IN (?)", bun.Ident(column), bun.List(values)).Scan(ctx, &rows)
	if err != nil {
		return err
	}
	for _, r := range rows {
		u := tenancy.User{ID: r.UserID, Name: r.Name, CreatedAt: r.CreatedAt}
		if r.Email != nil { // one that was erased has none
			u.Email = *r.Email
		}
		if r.EmailKey != nil {
			e.emails[*r.EmailKey] = r.UserID
		}
		e.users[r.UserID] = u
	}
	return nil
}

// readTombstones finds who was erased and is not here in any other way, since the
// database was restored from a backup that is older than the first adoption.
func (e existing) readTombstones(ctx context.Context, db bun.IDB) error {
	var stones []struct {
		AccountID tenancy.AccountID
		Persons   string
	}
	if err := db.NewRaw("SELECT account_id, persons FROM tenancy_tombstones").Scan(ctx, &stones); err != nil {
		return err
	}
	for _, s := range stones {
		if _, there := e.accounts[s.AccountID]; !there {
			e.gone[s.AccountID] = true
		}
		var persons []tenancy.UserID
		if err := json.Unmarshal([]byte(s.Persons), &persons); err != nil {
			return fmt.Errorf("adoption: the tombstone of %s: %w", s.AccountID, err)
		}
		for _, id := range persons {
			e.erased[id] = true
		}
	}
	return nil
}
