package retention

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

// erasure is one run over the rows of one account.
type erasure struct {
	keeper   *Keeper
	rows     *owned.DB // across accounts: every statement here names the account itself
	account  tenancy.Account
	postgres bool
}

// all goes through the lookups, which may refer to the tables, and then through the
// tables, children before parents.
func (e erasure) all(ctx context.Context, tables []table, persons []tenancy.UserID) (reports []TableReport, err error) {
	for _, l := range e.keeper.cfg.Lookups {
		t := table{Table: owned.Table{Account: l.Account, Keep: l.Keep}, name: l.Name}
		r, err := e.one(ctx, t, nil)
		if err != nil {
			return nil, fmt.Errorf("retention: erasing %s: %w", t.name, err)
		}
		reports = append(reports, r)
	}
	for _, t := range slices.Backward(tables) {
		if e.account.Status == tenancy.StatusErased && outbox[t.name] {
			continue // what is in it says that the account was erased
		}
		r, err := e.one(ctx, t, persons)
		if err != nil {
			return nil, fmt.Errorf("retention: erasing %s: %w", t.name, err)
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// one erases the rows of one table: the account's, or those of the persons.
func (e erasure) one(ctx context.Context, t table, persons []tenancy.UserID) (TableReport, error) {
	report := TableReport{Table: t.name}
	if t.User == "" {
		if err := e.some(ctx, t, bun.SafeQuery("? = ?", bun.Ident(t.Account), e.account.ID), &report); err != nil || t.name != invited {
			return report, err
		}
		return report, e.accepted(ctx, persons, &report)
	}
	for some := range slices.Chunk(persons, 1000) {
		if err := e.some(ctx, t, bun.SafeQuery("? IN (?)", bun.Ident(t.User), bun.List(some)), &report); err != nil {
			return report, err
		}
	}
	return report, nil
}

// invited is the table of the invitations, which say who a person is in accounts that
// the person has left.
const invited = "tenancy_invitations"

// accepted blanks the address in the invitations that the persons came by: beside it
// stands the id that the audit log and the ledger keep.
func (e erasure) accepted(ctx context.Context, persons []tenancy.UserID, report *TableReport) error {
	for some := range slices.Chunk(persons, 1000) {
		res, err := e.rows.NewRaw("UPDATE tenancy_invitations SET email = '', email_key = '' WHERE accepted_by IN (?) AND email <> ''", bun.List(some)).Exec(ctx)
		if err := count(&report.Blanked, res, err); err != nil {
			return err
		}
	}
	report.Kept += report.Blanked
	return nil
}

func (e erasure) some(ctx context.Context, t table, whose schema.QueryAppender, report *TableReport) error {
	if !t.Keep {
		res, err := e.rows.NewRaw("DELETE FROM ? WHERE ?", bun.Ident(t.name), whose).Exec(ctx)
		return count(&report.Deleted, res, err)
	}
	var kept int64
	if err := e.rows.NewRaw("SELECT COUNT(*) FROM ? WHERE ?", bun.Ident(t.name), whose).Scan(ctx, &kept); err != nil {
		return err
	}
	report.Kept += kept
	blanks := blanks{columns: t.personal(), postgres: e.postgres}
	if len(blanks.columns) == 0 {
		return nil
	}
	res, err := e.rows.NewRaw("UPDATE ? SET ? WHERE ? AND (?)", bun.Ident(t.name), assignments{blanks}, whose, remains{blanks}).Exec(ctx)
	return count(&report.Blanked, res, err)
}

func count(to *int64, res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	*to += n
	return err
}
