package tenancy

import (
	"context"
	"net/http"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
)

// Membership is an account that a user belongs to, as the user sees it.
type Membership struct {
	Account AccountID `json:"account"`
	Name    string    `json:"name"`
	Status  Status    `json:"status"`
	Roles   []Role    `json:"roles"`
	// Objects are the roles on single objects, by kind and id.
	Objects []ObjectRole `json:"objects,omitempty"`
	// Since is when the user became a member.
	Since time.Time `json:"since"`
}

// AccountsOf lists the accounts that a user belongs to, in the order of joining,
// without those that are closed: what a page shows on which a person chooses. What
// the account may do now is not asked: Enter does.
func (a *Accounts) AccountsOf(ctx context.Context, db bun.IDB, user UserID) ([]Membership, error) {
	if !user.known() {
		return []Membership{}, nil
	}
	var rows []accountRow
	err := db.NewSelect().Model(&rows).Column("account_id", "name", "status").
		Where("account_id IN (SELECT account_id FROM tenancy_members WHERE user_id = ?)", user).
		Where("status NOT IN (?, ?)", StatusClosed, StatusErased).Scan(ctx)
	if err != nil {
		return nil, err
	}
	// The accounts are named for the tables of roles, whose keys begin with them.
	members, err := readMembers(ctx, db, "account_id IN (SELECT account_id FROM tenancy_members WHERE user_id = ?) AND user_id = ?", user, user)
	if err != nil {
		return nil, err
	}
	accounts := make(map[AccountID]accountRow, len(rows))
	for _, r := range rows {
		accounts[r.ID] = r
	}
	out := []Membership{}
	for _, m := range members {
		if r, ok := accounts[m.Account]; ok {
			out = append(out, Membership{
				Account: r.ID, Name: r.Name, Status: r.Status, Roles: none(m.Roles), Objects: m.Objects, Since: m.CreatedAt,
			})
		}
	}
	return out, nil
}

// AccountOf is the account that a user acts for: the one wanted, or with "" the
// only one the user belongs to. One that is closed does not count. It returns
// ErrNoAccount when the user does not belong to the one wanted or to none, and
// ErrWhichAccount when "" leaves a choice.
func (a *Accounts) AccountOf(ctx context.Context, db bun.IDB, user UserID, wanted AccountID) (AccountID, error) {
	if !user.known() || wanted != "" && !wanted.known() {
		return "", ErrNoAccount
	}
	q := db.NewSelect().Model((*memberRow)(nil)).Column("m.account_id").
		Join("JOIN tenancy_accounts AS a ON a.account_id = m.account_id").
		Where("m.user_id = ? AND a.status NOT IN (?, ?)", user, StatusClosed, StatusErased).Limit(2)
	if wanted != "" {
		q = q.Where("m.account_id = ?", wanted)
	}
	var ids []AccountID
	if err := q.Scan(ctx, &ids); err != nil {
		return "", err
	}
	switch len(ids) {
	case 0:
		return "", ErrNoAccount
	case 1:
		return ids[0], nil
	default:
		return "", ErrWhichAccount
	}
}

// Person serves what a signed-in person may see who has entered no account, and may
// have none. who names the person; what is no user is refused with ErrForbidden.
//
//	GET /accounts    {"accounts": […]}: those the person may choose from
func (a *Accounts) Person(db *bun.DB, who Authorizer) http.Handler {
	mux := problem.NewMux(a.cfg.OnError)
	mux.Route("GET /accounts", func(w http.ResponseWriter, r *http.Request) error {
		actor, err := who.Authorize(r)
		if err != nil {
			return err
		}
		if actor.Kind != ActorUser {
			return ErrForbidden
		}
		accounts, err := a.AccountsOf(r.Context(), db, UserID(actor.ID))
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, struct {
			Accounts []Membership `json:"accounts"`
		}{accounts})
		return nil
	})
	return mux
}
