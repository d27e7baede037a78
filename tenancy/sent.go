package tenancy

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
)

// RevokeSentBy takes back what a user holds out to others.
type RevokeSentBy struct {
	User  UserID
	Actor Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// RevokeSentBy revokes the open invitations that a user sent, in all accounts, also
// those the user has left, and ends the open offers of the ownership of those that the
// user owns, whoever made them. Each is written to its account's audit log and outbox, as if it had been
// taken back by itself. It returns how many there were. It is for a user who turns out to
// be another person than was thought, and asks for no right: package emails calls it. All
// accounts are locked first, in the order of their ids, those too in which the user could
// be sending one just now.
//
// It returns ErrInvalid when the actor is missing or the reason is no text.
func (a *Accounts) RevokeSentBy(ctx context.Context, db bun.IDB, r RevokeSentBy) (int, error) {
	line := Audit{Actor: r.Actor, Action: "tenancy.revoke_sent_by", Reason: r.Reason}
	if err := line.Validate(); err != nil {
		return 0, err
	}
	if !r.User.known() {
		return 0, nil
	}
	revoked := 0
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		revoked = 0
		var accounts []AccountID
		err := db.NewRaw(`SELECT account_id FROM tenancy_members WHERE user_id = ?
			UNION SELECT account_id FROM tenancy_ownership_offers WHERE owner_id = ?
			UNION SELECT account_id FROM tenancy_invitations WHERE inviter_id = ? AND accepted_at IS NULL AND revoked_at IS NULL`,
			r.User, r.User, r.User).Scan(ctx, &accounts)
		if err != nil {
			return err
		}
		slices.Sort(accounts) // byte by byte: a database may have an order of its own
		for _, account := range accounts {
			if _, err := lockAccount(ctx, db, account); err != nil {
				return err
			}
		}
		line.At = a.now()
		for _, line.Account = range accounts {
			n, err := revokeSent(ctx, db, r.User, line)
			if err != nil {
				return err
			}
			revoked += n
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return revoked, nil
}

// revokeSent takes back what a user holds out in one account, which is locked.
func revokeSent(ctx context.Context, db bun.IDB, user UserID, line Audit) (int, error) {
	var sent []string
	err := db.NewRaw(`UPDATE tenancy_invitations SET revoked_at = ? WHERE account_id = ? AND inviter_kind = ? AND inviter_id = ?
		AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > ? RETURNING invitation_id`,
		line.At, line.Account, ActorUser, user, line.At).Scan(ctx, &sent)
	if err != nil {
		return 0, err
	}
	for _, id := range slices.Sorted(slices.Values(sent)) {
		line.Action, line.Target = "invitations.revoke", id
		if err := Note(ctx, db, line, invitationRevoked{Invitation: id}); err != nil {
			return 0, err
		}
	}
	var offered []UserID
	err = db.NewRaw("DELETE FROM tenancy_ownership_offers WHERE account_id = ? AND owner_id = ? AND expires_at > ? RETURNING user_id",
		line.Account, user, line.At).Scan(ctx, &offered)
	if err != nil {
		return 0, err
	}
	for _, to := range offered { // one at most
		fact := OwnershipDeclined{User: to}
		line.Action, line.Target = "tenancy.decline_ownership", string(to)
		if line.Data, err = json.Marshal(fact); err != nil {
			return 0, err
		}
		if err := Note(ctx, db, line, fact); err != nil {
			return 0, err
		}
	}
	return len(sent) + len(offered), nil
}

// invitationRevoked is Revoked of package invitations, which imports this one: whoever
// receives the fact need not know which of the two took the invitation back.
type invitationRevoked struct {
	Invitation string `json:"invitation"`
}

// EventKind implements Fact.
func (invitationRevoked) EventKind() string { return "invitations.revoked" }
