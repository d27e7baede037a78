package tenancy

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/changes"
)

// Subject is something whose changes processes must learn of: an account with its
// keys and members, a user with its sessions, a plan.
type Subject string

// Subject names the account among what changes.
func (id AccountID) Subject() Subject { return "account:" + Subject(id) }

// Subject names the user among what changes.
func (id UserID) Subject() Subject { return "user:" + Subject(id) }

func planSubject(slug string) Subject { return "plan:" + Subject(slug) }

// Changed says, in the caller's transaction, that what processes remember of the
// subjects is true no more. This library calls it in every transaction that takes
// something away; a host that keeps accounts or members in tables of its own calls it
// in those that change them. It comes after the account's lock, and waits for others
// that change the same subject. Several are announced in one order, so that nobody
// waits in a circle.
func (a *Accounts) Changed(ctx context.Context, db bun.IDB, subjects ...Subject) error {
	for _, s := range slices.Compact(slices.Sorted(slices.Values(subjects))) {
		if err := a.memory.feed.Announce(ctx, db, string(s)); err != nil {
			return err
		}
	}
	return nil
}

// Epoch is how often a subject has changed, remembered like an account: it may be late
// by Config.RevocationBound. It only grows: what was made at an older one, such as a
// token, can be refused.
func (a *Accounts) Epoch(ctx context.Context, db bun.IDB, of Subject) (int64, error) {
	if n, ok := a.memory.epochs.Get(db, changes.Now(), of); ok {
		return n, nil
	}
	ticket := a.memory.feed.Begin()
	var version int64
	err := db.NewRaw("SELECT version FROM tenancy_changes WHERE subject = ?", of).Scan(ctx, &version)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	a.memory.epochs.Keep(ticket, db, of, func([]*changes.Life) int64 { return version }, string(of))
	return version, nil
}

// LockEpoch is Epoch in the caller's transaction, from the database, and keeps every
// change of the subject waiting until that ends: for what must not be made after
// something has ended what it is made of.
func (a *Accounts) LockEpoch(ctx context.Context, db bun.IDB, of Subject) (int64, error) {
	var version int64
	err := db.NewRaw(`INSERT INTO tenancy_changes (subject, version, recent) VALUES (?, 0, FALSE)
		ON CONFLICT (subject) DO UPDATE SET version = tenancy_changes.version RETURNING version`, of).Scan(ctx, &version)
	return version, err
}
