package tenancy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
)

// OwnershipOffer is an open offer of an account's ownership. An account has one at
// most.
type OwnershipOffer struct {
	Account AccountID `json:"account"`
	From    UserID    `json:"from"` // the owner
	To      UserID    `json:"to"`
	// CreatedAt is when it was made, ExpiresAt the instant from which it is void.
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

type offerRow struct {
	bun.BaseModel `bun:"table:tenancy_ownership_offers,alias:oo"`

	Account   AccountID `bun:"account_id,pk"`
	Owner     UserID    `bun:"owner_id"`
	User      UserID    `bun:"user_id"`
	CreatedAt time.Time `bun:"created_at"`
	ExpiresAt time.Time `bun:"expires_at"`
}

func (r offerRow) offer() OwnershipOffer {
	return OwnershipOffer{Account: r.Account, From: r.Owner, To: r.User, CreatedAt: r.CreatedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC()}
}

// Offer reads an account's open offer. ErrNoOffer: there is none, or it has expired
// or is from somebody who is no owner any more. ErrNoAccount.
func (a *Accounts) Offer(ctx context.Context, db bun.IDB, account AccountID) (OwnershipOffer, error) {
	row, err := readAccount(ctx, db, account)
	if err != nil {
		return OwnershipOffer{}, err
	}
	return a.offer(ctx, db, row)
}

func (a *Accounts) offer(ctx context.Context, db bun.IDB, account accountRow) (OwnershipOffer, error) {
	var row offerRow
	err := db.NewSelect().Model(&row).Where("account_id = ?", account.ID).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return OwnershipOffer{}, ErrNoOffer
	}
	if err != nil {
		return OwnershipOffer{}, err
	}
	if row.Owner != account.Owner || !a.now().Before(row.ExpiresAt) {
		return OwnershipOffer{}, ErrNoOffer
	}
	return row.offer(), nil
}

// OfferOwnership offers an account to one of its members.
type OfferOwnership struct {
	Account AccountID
	// To is a member, who becomes the owner by AcceptOwnership and not before.
	To     UserID
	Actor  Actor
	Reason string
}

// OfferOwnership offers the ownership to a member, for Config.OfferLifetime. A new
// offer takes the place of the one before. Only the owner, an operator and the
// system may, whatever the account's status but closed.
//
// It returns ErrInvalid when the actor is missing or the member is the owner
// already, ErrForbidden, ErrNoAccount, and ErrNoUser for one who is no member.
func (a *Accounts) OfferOwnership(ctx context.Context, db bun.IDB, o OfferOwnership) (OwnershipOffer, error) {
	line := Audit{Account: o.Account, Actor: o.Actor, Action: "tenancy.offer_ownership", Target: string(o.To), Reason: o.Reason}
	var out OwnershipOffer
	err := a.ownership(ctx, db, line, func(db bun.IDB, account accountRow, now time.Time) (Fact, UserID, error) {
		if !disposes(o.Actor, account) {
			return nil, "", ErrForbidden
		}
		if _, err := a.Member(ctx, db, o.Account, o.To); err != nil {
			return nil, "", err
		}
		if account.Owner == o.To {
			return nil, "", fmt.Errorf("%w: that member is the owner already", ErrInvalid)
		}
		if err := dropOffer(ctx, db, o.Account); err != nil {
			return nil, "", err
		}
		row := offerRow{Account: o.Account, Owner: account.Owner, User: o.To, CreatedAt: now, ExpiresAt: now.Add(a.cfg.OfferLifetime).Truncate(time.Microsecond)}
		if _, err := db.NewInsert().Model(&row).Exec(ctx); err != nil {
			return nil, "", err
		}
		out = row.offer()
		return OwnershipOffered{User: o.To, ExpiresAt: row.ExpiresAt}, o.To, nil
	})
	if err != nil {
		return OwnershipOffer{}, err
	}
	return out, nil
}

// AcceptOwnership makes the member to whom an account was offered its owner.
type AcceptOwnership struct {
	Account AccountID
	// Actor is the user to whom it was offered: nobody accepts for somebody else.
	Actor  Actor
	Reason string
}

// AcceptOwnership takes an open offer up: the actor becomes the owner, and the owner
// an admin, at once. The new owner's other roles on the account end, since the
// owner's is more than all of them; roles on objects stay with both.
//
// It returns ErrInvalid when the actor is missing, ErrForbidden for what is no user,
// ErrNoAccount, and ErrNoOffer where no offer is open for this user: it was made to
// somebody else, declined, replaced, has expired, or is from somebody who is no
// owner any more.
func (a *Accounts) AcceptOwnership(ctx context.Context, db bun.IDB, o AcceptOwnership) (Account, error) {
	line := Audit{Account: o.Account, Actor: o.Actor, Action: "tenancy.accept_ownership", Reason: o.Reason}
	var out Account
	err := a.ownership(ctx, db, line, func(db bun.IDB, account accountRow, now time.Time) (Fact, UserID, error) {
		if o.Actor.Kind != ActorUser {
			return nil, "", ErrForbidden
		}
		offer, err := a.offer(ctx, db, account)
		if err != nil {
			return nil, "", err
		}
		if offer.To != UserID(o.Actor.ID) {
			return nil, "", ErrNoOffer
		}
		if err := dropOffer(ctx, db, o.Account); err != nil {
			return nil, "", err
		}
		account.Owner, account.UpdatedAt = offer.To, now
		if _, err := db.NewUpdate().Model(&account).Column("owner_id", "updated_at").WherePK().Exec(ctx); err != nil {
			return nil, "", err
		}
		_, err = db.NewDelete().Model((*memberRoleRow)(nil)).
			Where("account_id = ? AND (user_id = ? OR user_id = ? AND role IN (?, ?))", o.Account, offer.To, offer.From, RoleOwner, RoleAdmin).Exec(ctx)
		if err != nil {
			return nil, "", err
		}
		if err := a.Changed(ctx, db, o.Account.Subject()); err != nil {
			return nil, "", err
		}
		switch _, err := a.Member(ctx, db, o.Account, offer.From); {
		case errors.Is(err, ErrNoUser): // an account that came without its owner among the members
		case err != nil:
			return nil, "", err
		default:
			if err := insertRoles(ctx, db, o.Account, offer.From, []Role{RoleAdmin}); err != nil {
				return nil, "", err
			}
		}
		out = account.account()
		return OwnershipTransferred{From: offer.From, To: offer.To}, offer.From, insertRoles(ctx, db, o.Account, offer.To, []Role{RoleOwner})
	})
	if err != nil {
		return Account{}, err
	}
	return out, nil
}

// DeclineOwnership ends an open offer: the member to whom it was made declines it,
// the owner, an operator or the system withdraws it.
type DeclineOwnership struct {
	Account AccountID
	Actor   Actor
	Reason  string
}

// DeclineOwnership ends the open offer. It returns ErrInvalid when the actor is
// missing, ErrForbidden for anybody else, ErrNoAccount and ErrNoOffer.
func (a *Accounts) DeclineOwnership(ctx context.Context, db bun.IDB, o DeclineOwnership) error {
	line := Audit{Account: o.Account, Actor: o.Actor, Action: "tenancy.decline_ownership", Reason: o.Reason}
	return a.ownership(ctx, db, line, func(db bun.IDB, account accountRow, _ time.Time) (Fact, UserID, error) {
		offer, err := a.offer(ctx, db, account)
		mine := err == nil && o.Actor == Actor{Kind: ActorUser, ID: string(offer.To)}
		if !mine && !disposes(o.Actor, account) {
			return nil, "", ErrForbidden
		}
		if err != nil {
			return nil, "", err
		}
		return OwnershipDeclined{User: offer.To}, offer.To, dropOffer(ctx, db, o.Account)
	})
}

// ownership runs one of the three under the account's lock and writes to both logs
// what happened to whom.
func (a *Accounts) ownership(ctx context.Context, db bun.IDB, line Audit,
	do func(db bun.IDB, account accountRow, now time.Time) (Fact, UserID, error),
) error {
	if err := line.Validate(); err != nil {
		return err
	}
	return tx.Join(ctx, db, func(db bun.IDB) error {
		account, err := a.lockOpen(ctx, db, line.Account)
		if err != nil {
			return err
		}
		line.At = a.now()
		fact, whom, err := do(db, account, line.At)
		if err != nil {
			return err
		}
		line.Target = string(whom)
		data, err := json.Marshal(fact)
		if err != nil {
			return err
		}
		line.Data = data
		return Note(ctx, db, line, fact)
	})
}

// disposes reports that an actor may offer the account, and take an offer back.
func disposes(actor Actor, account accountRow) bool {
	switch actor.Kind {
	case ActorOperator, ActorSystem:
		return true
	case ActorUser:
		return actor.ID == string(account.Owner)
	}
	return false
}

func dropOffer(ctx context.Context, db bun.IDB, account AccountID) error {
	_, err := db.NewDelete().Model((*offerRow)(nil)).Where("account_id = ?", account).Exec(ctx)
	return err
}
