package retention

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// LegalHold keeps an account from being erased: a dispute, an order of a court. An
// account may be under several, and is until each of them is lifted.
type LegalHold struct {
	Account tenancy.AccountID `json:"account"`
	ID      string            `json:"id"`
	// Reason names the case, and no person.
	Reason   string        `json:"reason"`
	PlacedAt time.Time     `json:"placed_at"`
	PlacedBy tenancy.Actor `json:"placed_by"`
	// LiftedAt is zero while it holds.
	LiftedAt time.Time `json:"lifted_at,omitzero"`
}

type legalHoldRow struct {
	bun.BaseModel `bun:"table:tenancy_legal_holds,alias:lh"`

	Account      tenancy.AccountID `bun:"account_id,pk"`
	ID           string            `bun:"hold_id,pk"`
	Reason       string            `bun:"reason"`
	PlacedAt     time.Time         `bun:"placed_at"`
	PlacedByKind tenancy.ActorKind `bun:"placed_by_kind"`
	PlacedByID   string            `bun:"placed_by_id"`
	LiftedAt     time.Time         `bun:"lifted_at,nullzero"`
}

func (r legalHoldRow) hold() LegalHold {
	h := LegalHold{
		Account: r.Account, ID: r.ID, Reason: r.Reason,
		PlacedAt: r.PlacedAt.UTC(), PlacedBy: tenancy.Actor{Kind: r.PlacedByKind, ID: r.PlacedByID},
	}
	if !r.LiftedAt.IsZero() {
		h.LiftedAt = r.LiftedAt.UTC()
	}
	return h
}

// PlaceLegalHold puts a legal hold on an account.
type PlaceLegalHold struct {
	Account tenancy.AccountID
	Actor   tenancy.Actor
	Reason  string
}

// PlaceLegalHold keeps an account, and the rows that were soft-deleted in it, from
// being erased until the hold is lifted. It closes nothing, and the account does not
// learn of it: it is written to the installation's own audit log.
//
// It returns tenancy.ErrForbidden for an actor that is neither operator nor system,
// tenancy.ErrInvalid without a reason, tenancy.ErrNoAccount, and
// tenancy.ErrTransition for an account that is erased already.
func (k *Keeper) PlaceLegalHold(ctx context.Context, db bun.IDB, p PlaceLegalHold) (LegalHold, error) {
	line := tenancy.Audit{Actor: p.Actor, Action: "retention.place_legal_hold", Target: string(p.Account), Reason: p.Reason}
	if err := validate(line); err != nil {
		return LegalHold{}, err
	}
	var row legalHoldRow
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		account, err := k.accounts.Lock(ctx, db, p.Account)
		if err != nil {
			return err
		}
		if account.Status == tenancy.StatusErased {
			return fmt.Errorf("%w: it is erased", tenancy.ErrTransition)
		}
		row = legalHoldRow{
			Account: p.Account, ID: id.New("lgh"), Reason: p.Reason,
			PlacedAt: k.now(), PlacedByKind: p.Actor.Kind, PlacedByID: p.Actor.ID,
		}
		if _, err := db.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		return recordHold(ctx, db, line, row.ID, row.PlacedAt)
	})
	if err != nil {
		return LegalHold{}, err
	}
	return row.hold(), nil
}

// LiftLegalHold ends a legal hold.
type LiftLegalHold struct {
	Account tenancy.AccountID
	// ID is the LegalHold's.
	ID     string
	Actor  tenancy.Actor
	Reason string
}

// LiftLegalHold ends one legal hold; others of the account go on. Lifting twice
// changes nothing. It returns ErrNoLegalHold, and what PlaceLegalHold does for the
// actor and the reason.
func (k *Keeper) LiftLegalHold(ctx context.Context, db bun.IDB, l LiftLegalHold) (LegalHold, error) {
	line := tenancy.Audit{Actor: l.Actor, Action: "retention.lift_legal_hold", Target: string(l.Account), Reason: l.Reason}
	if err := validate(line); err != nil {
		return LegalHold{}, err
	}
	if tenancy.CheckText("id", l.ID, 64) != nil {
		return LegalHold{}, ErrNoLegalHold
	}
	var row legalHoldRow
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		if _, err := k.accounts.Lock(ctx, db, l.Account); errors.Is(err, tenancy.ErrNoAccount) {
			return ErrNoLegalHold
		} else if err != nil {
			return err
		}
		row = legalHoldRow{}
		err := db.NewSelect().Model(&row).Where("account_id = ? AND hold_id = ?", l.Account, l.ID).Scan(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNoLegalHold
		}
		if err != nil || !row.LiftedAt.IsZero() {
			return err
		}
		row.LiftedAt = k.now()
		if _, err := db.NewUpdate().Model(&row).Column("lifted_at").WherePK().Exec(ctx); err != nil {
			return err
		}
		return recordHold(ctx, db, line, row.ID, row.LiftedAt)
	})
	if err != nil {
		return LegalHold{}, err
	}
	return row.hold(), nil
}

// LegalHolds are those of an account, the oldest first, with those that were lifted.
func (k *Keeper) LegalHolds(ctx context.Context, db bun.IDB, account tenancy.AccountID) ([]LegalHold, error) {
	if _, err := tenancy.ParseAccountID(string(account)); err != nil {
		return []LegalHold{}, nil
	}
	var rows []legalHoldRow
	err := db.NewSelect().Model(&rows).Where("account_id = ?", account).OrderExpr("hold_id").Scan(ctx)
	holds := make([]LegalHold, len(rows))
	for i, r := range rows {
		holds[i] = r.hold()
	}
	return holds, err
}

func held(ctx context.Context, db bun.IDB, account tenancy.AccountID) (bool, error) {
	return db.NewSelect().Model((*legalHoldRow)(nil)).Where("account_id = ? AND lifted_at IS NULL", account).Exists(ctx)
}

func recordHold(ctx context.Context, db bun.IDB, line tenancy.Audit, hold string, at time.Time) error {
	data, err := json.Marshal(map[string]string{"hold": hold})
	if err != nil {
		return err
	}
	line.At, line.Data = at, data
	return tenancy.Record(ctx, db, line)
}

// validate is for what only those do who run the service, and only with a reason.
func validate(line tenancy.Audit) error {
	if err := line.Validate(); err != nil {
		return err
	}
	if line.Actor.Kind != tenancy.ActorOperator && line.Actor.Kind != tenancy.ActorSystem {
		return tenancy.ErrForbidden
	}
	if strings.TrimSpace(line.Reason) == "" {
		return fmt.Errorf("%w: it needs a reason", tenancy.ErrInvalid)
	}
	return nil
}
