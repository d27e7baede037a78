package billing

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Transfers asks for a page of transfers, newest first.
type Transfers struct {
	// Account is whose.
	Account tenancy.AccountID
	// Everybody asks for the transfers of all accounts, instead: an operator's list.
	Everybody bool
	// Status is which; "" is all.
	Status TransferStatus
	// Before continues a page: the ID of its last transfer.
	Before string
	// Limit is 1 to 500. Default: 50.
	Limit int
}

func (what Transfers) limit() int {
	if what.Limit <= 0 {
		return 50
	}
	return min(what.Limit, 500)
}

// next is the Before of the page that follows found, "" if found is the last.
func (what Transfers) next(found []Transfer) string {
	if len(found) < what.limit() {
		return ""
	}
	return found[len(found)-1].ID
}

func (what Transfers) validate() error {
	switch {
	case what.Everybody && what.Account != "":
		return fmt.Errorf("%w: the transfers are one account's or everybody's", ErrInvalid)
	case !what.Everybody && !known(what.Account):
		return fmt.Errorf("%w: whose transfers? That is no account id", ErrInvalid)
	case what.Status != "" && !slices.Contains(transferStatuses, what.Status):
		return fmt.Errorf("%w: a transfer's status is one of %v", ErrInvalid, transferStatuses)
	}
	if err := tenancy.CheckText("page mark", what.Before, 64); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// Transfers reads a page of transfers. It returns ErrInvalid when neither an account
// nor Everybody is named, and for a status that there is not.
func (s *Subscriptions) Transfers(ctx context.Context, db bun.IDB, what Transfers) ([]Transfer, error) {
	if err := what.validate(); err != nil {
		return nil, err
	}
	var rows []transferRow
	q := db.NewSelect().Model(&rows).OrderExpr("transfer_id DESC").Limit(int64(what.limit()))
	if !what.Everybody {
		q = q.Where("account_id = ?", what.Account)
	}
	if what.Status != "" {
		q = q.Where("status = ?", what.Status)
	}
	if what.Before != "" {
		q = q.Where("transfer_id < ?", what.Before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	out := make([]Transfer, len(rows))
	for i, r := range rows {
		out[i] = r.transfer()
	}
	return out, nil
}

// Transfer finds a transfer by its reference as people type it. It returns
// ErrReference and ErrNoTransfer.
func (s *Subscriptions) Transfer(ctx context.Context, db bun.IDB, reference string) (Transfer, error) {
	row, err := findTransfer(ctx, db, reference)
	return row.transfer(), err
}

func findTransfer(ctx context.Context, db bun.IDB, reference string) (transferRow, error) {
	ref, err := ParseReference(reference)
	if err != nil {
		return transferRow{}, err
	}
	var at referenceRow
	err = db.NewSelect().Model(&at).Where("reference = ?", ref).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return transferRow{}, ErrNoTransfer
	}
	if err != nil {
		return transferRow{}, err
	}
	return readTransfer(ctx, db, at.Account, at.Transfer)
}

func readTransfer(ctx context.Context, db bun.IDB, account tenancy.AccountID, transfer string) (transferRow, error) {
	var row transferRow
	err := db.NewSelect().Model(&row).Where("account_id = ? AND transfer_id = ?", account, transfer).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return transferRow{}, ErrNoTransfer
	}
	return row, err
}
