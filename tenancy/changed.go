package tenancy

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/uptrace/bun"
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
// that change the same subject.
func (a *Accounts) Changed(ctx context.Context, db bun.IDB, subjects ...Subject) error {
	subjects = slices.Compact(slices.Sorted(slices.Values(subjects))) // in one order, so that nobody waits in a circle
	for _, s := range subjects {
		_, err := db.NewRaw(`INSERT INTO tenancy_changes (subject, version, recent) VALUES (?, 1, TRUE)
			ON CONFLICT (subject) DO UPDATE SET version = tenancy_changes.version + 1, recent = TRUE`, s).Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

// Epoch is how often a subject has changed. It only grows: what was made at an older
// one, such as a token, can be refused.
func (a *Accounts) Epoch(ctx context.Context, db bun.IDB, of Subject) (int64, error) {
	var version int64
	err := db.NewRaw("SELECT version FROM tenancy_changes WHERE subject = ?", of).Scan(ctx, &version)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return version, err
}
