package tenancy

import (
	"context"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// Visible is the condition on a query that leaves those objects for which Can would
// say yes: the list that a page shows, in one statement and without a list of ids in
// between.
//
//	db.NewSelect().Model(&sites).
//		Where("s.account_id = ?", tenancy.From(ctx).Account).
//		Where("?", accounts.Visible(ctx, tenancy.PermContentRead, "site", "s.id"))
//
// kind is Object.Kind; column is the column of the query's own table that holds
// Object.ID, with its table's name or alias where there are several, of whatever
// type. It is quoted and may not come from a visitor.
//
// It speaks of the account that the context has entered, and lets who holds p on
// the account see every row: which rows are the account's, the query says itself.
func (a *Accounts) Visible(ctx context.Context, p Permission, kind, column string) schema.QueryAppender {
	s := From(ctx)
	user, held := UserID(""), a.policy.holders(p)
	switch d := s.Delegation; {
	case d != nil && !d.covers(p):
	case d != nil && d.User == "":
		return bun.SafeQuery("1 = 1")
	case d != nil:
		user = d.User
	case s.Actor.Kind == ActorOperator, s.Actor.Kind == ActorSystem:
		return bun.SafeQuery("1 = 1")
	case s.Actor.Kind == ActorUser:
		user = UserID(s.Actor.ID)
	}
	if !user.known() || len(held) == 0 || a.cfg.MemberLoader != nil {
		return bun.SafeQuery("1 = 0")
	}
	if !AccountID(kind).known() {
		kind = "" // which no row has
	}
	// The column stands outside of the inner query, so that it cannot be taken for one
	// of the inner table.
	return bun.SafeQuery(`(EXISTS (SELECT 1 FROM tenancy_member_roles WHERE account_id = ? AND user_id = ? AND role IN (?))
		OR CAST(? AS TEXT) IN (SELECT object_id FROM tenancy_object_roles
			WHERE account_id = ? AND user_id = ? AND object_kind = ? AND role IN (?)))`,
		s.Account, user, bun.List(held), bun.Ident(column), s.Account, user, kind, bun.List(held))
}
