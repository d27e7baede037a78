package tenancy

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
)

// statuses are all that an account can have.
var statuses = []Status{
	StatusTrial, StatusActive, StatusPastDue, StatusPendingPayment, StatusSuspended, StatusCancelled, StatusClosed, StatusErased,
}

// List asks for a page of everybody's accounts, in the order of their ids.
type List struct {
	// Plan leaves only those that are on the plan of that slug, whether or not the
	// catalogue has it. "": on any.
	Plan string
	// Status leaves only those that have it. "": all but the erased.
	Status Status
	// After continues a page: the ID of its last account.
	After AccountID
	// Limit is 1 to 500. Default: 50.
	Limit int
}

// List reads a page of everybody's accounts, for work across them: ctx is of System. A
// page shorter than its limit is the last one. An account that is registered, or comes
// to the plan or the status, while somebody goes from page to page may be on none.
//
// It returns ErrForbidden for any other ctx, that of an account among them, and
// ErrInvalid where After is no account's id, Plan no slug or Status no status.
func (a *Accounts) List(ctx context.Context, db bun.IDB, page List) ([]Account, error) {
	if _, ok := AcrossAccounts(ctx); !ok {
		return nil, ErrForbidden
	}
	return page.read(ctx, db)
}

func (page List) read(ctx context.Context, db bun.IDB) ([]Account, error) {
	q := db.NewSelect()
	if page.Plan != "" {
		if !slugForm.MatchString(page.Plan) {
			return nil, fmt.Errorf("%w: that is no plan's slug", ErrInvalid)
		}
		q = q.Where("plan = ?", page.Plan)
	}
	switch {
	case page.Status == "":
		q = q.Where("status <> ?", StatusErased)
	case slices.Contains(statuses, page.Status):
		q = q.Where("status = ?", page.Status)
	default:
		return nil, fmt.Errorf("%w: an account's status is one of %v", ErrInvalid, statuses)
	}
	return accountsAfter(ctx, q, page.After, page.Limit)
}

// accountsAfter reads a page of the accounts that q leaves, in the order of their ids.
func accountsAfter(ctx context.Context, q *bun.SelectQuery, after AccountID, limit int) ([]Account, error) {
	var rows []accountRow
	q = q.Model(&rows).OrderExpr("account_id").Limit(pageSize(limit))
	if after != "" {
		if _, err := ParseAccountID(string(after)); err != nil {
			return nil, err
		}
		q = q.Where("account_id > ?", after)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	accounts := make([]Account, len(rows))
	for i, r := range rows {
		accounts[i] = r.account()
	}
	return accounts, nil
}

// parse reads what is asked for.
func (page *List) parse(r *http.Request) error {
	q := r.URL.Query()
	page.Plan, page.Status, page.After = q.Get("plan"), Status(q.Get("status")), AccountID(q.Get("after"))
	var err error
	page.Limit, err = problem.Limit(r, ErrInvalid)
	return err
}

// next is the After of the page that follows found, "" if found is the last.
func (page List) next(found []Account) AccountID {
	if int64(len(found)) < pageSize(page.Limit) {
		return ""
	}
	return found[len(found)-1].ID
}
