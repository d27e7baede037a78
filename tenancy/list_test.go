package tenancy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// crowd is accounts on two plans and in several statuses, in the order of their ids.
func crowd(t *testing.T, db *bun.DB, accounts *tenancy.Accounts) []tenancy.Account {
	t.Helper()
	for i, status := range []tenancy.Status{
		tenancy.StatusTrial, tenancy.StatusActive, tenancy.StatusActive, tenancy.StatusSuspended, tenancy.StatusActive, tenancy.StatusClosed, tenancy.StatusErased,
	} {
		id := tenancytest.Register(t, db, accounts, fmt.Sprintf("p%d@example.com", i)).Account.ID
		if i%2 == 0 {
			if _, err := accounts.Change(t.Context(), db, tenancy.Change{Account: id, Plan: "starter", Actor: operator}); err != nil {
				t.Fatal(err)
			}
		}
		setStatus(t, db, id, status)
	}
	var ids []tenancy.AccountID
	if err := db.NewRaw("SELECT account_id FROM tenancy_accounts ORDER BY account_id").Scan(t.Context(), &ids); err != nil {
		t.Fatal(err)
	}
	all := make([]tenancy.Account, len(ids))
	for i, id := range ids {
		var err error
		if all[i], err = accounts.Get(t.Context(), db, id); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// of are those of the list.
func of(all []tenancy.Account, page tenancy.List) []tenancy.Account {
	out := []tenancy.Account{}
	for _, a := range all {
		if (page.Plan == "" || a.Plan == page.Plan) && (a.Status == page.Status || page.Status == "" && a.Status != tenancy.StatusErased) {
			out = append(out, a)
		}
	}
	return out
}

func across(t *testing.T, db bun.IDB, accounts *tenancy.Accounts) context.Context {
	t.Helper()
	ctx, err := accounts.System(t.Context(), db, operator, "a report")
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

func TestM1_List_GoesPageByPageThroughAPlanOrAStatus(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		all := crowd(t, db, accounts)
		ctx := across(t, db, accounts)
		for _, plan := range []string{"", "starter", "free-trial", "nobodys"} {
			for _, status := range []tenancy.Status{"", tenancy.StatusActive, tenancy.StatusSuspended, tenancy.StatusClosed, tenancy.StatusErased, tenancy.StatusPastDue} {
				for limit := range 4 {
					page := tenancy.List{Plan: plan, Status: status, Limit: limit}
					want, got := of(all, page), []tenancy.Account{}
					for {
						found, err := accounts.List(ctx, db, page)
						if err != nil {
							t.Fatal(err)
						}
						if limit > 0 && len(found) > limit || len(got) > len(all) {
							t.Fatalf("%+v: %d on a page, after %d", page, len(found), len(got))
						}
						got = append(got, found...)
						if len(found) == 0 {
							break
						}
						page.After = found[len(found)-1].ID
					}
					if d := cmp.Diff(want, got); d != "" {
						t.Errorf("%s %s by %d (-want +got):\n%s", plan, status, limit, d)
					}
				}
			}
		}
	})
}

func TestM11_List_IsForWorkAcrossAccountsOnly(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		ada := tenancytest.Register(t, db, accounts, "ada@example.com")
		entered, err := accounts.Enter(t.Context(), db, ada.Account.ID, self(ada), tenancy.Read)
		if err != nil {
			t.Fatal(err)
		}
		again, err := accounts.Enter(across(t, db, accounts), db, ada.Account.ID, operator, tenancy.Read)
		if err != nil {
			t.Fatal(err)
		}
		for what, ctx := range map[string]context.Context{"no scope": t.Context(), "an account's": entered, "the operator's in an account": again} {
			list, err := accounts.List(ctx, db, tenancy.List{})
			wantErr(t, what, err, tenancy.ErrForbidden)
			if len(list) != 0 {
				t.Errorf("%s: %+v", what, list)
			}
		}
	})
}

func TestList_RefusesWhatMakesNoSense(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		err := db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			ctx, err := accounts.System(ctx, tx, operator, "a report")
			if err != nil {
				return err
			}
			for _, page := range []tenancy.List{
				{After: "a b"}, {After: "\x00"}, {Plan: "Starter"}, {Plan: "\x00"}, {Plan: "a\xff"}, {Status: "gone"}, {Status: "\x00"},
			} {
				_, err := accounts.List(ctx, tx, page)
				wantErr(t, fmt.Sprintf("%#v", page), err, tenancy.ErrInvalid)
			}
			_, err = accounts.List(ctx, tx, tenancy.List{})
			return err
		})
		wantErr(t, "after the refusals", err, nil)
	})
}

type queries struct{ said []string }

func (q *queries) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }
func (q *queries) AfterQuery(_ context.Context, e *bun.QueryEvent)                    { q.said = append(q.said, e.Query) }

// A page costs as much as it shows, however many accounts there are.
func TestList_FindsAPageByIndexAndSortsNothing(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		id := crowd(t, db, accounts)[0].ID
		ctx, said := across(t, db, accounts), &queries{}
		for _, page := range []tenancy.List{{}, {Plan: "starter"}, {Status: tenancy.StatusActive}, {Status: tenancy.StatusClosed}, {Plan: "starter", Status: tenancy.StatusActive}} {
			for _, page.After = range []tenancy.AccountID{"", id} {
				if _, err := accounts.List(ctx, db.WithQueryHook(said), page); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(said.said) != 10 {
			t.Fatalf("%d queries", len(said.said))
		}
		explain := "EXPLAIN QUERY PLAN ?"
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		if db.Dialect().Name() == dialect.PG { // which reads a small table as it lies, if it may
			explain = "EXPLAIN ?"
			for _, how := range []string{"enable_seqscan", "enable_sort", "enable_bitmapscan"} {
				if _, err := tx.NewRaw("SET LOCAL ? = off", bun.Ident(how)).Exec(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, query := range said.said {
			var plan []map[string]any
			if err := tx.NewRaw(explain, bun.Safe(query)).Scan(t.Context(), &plan); err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprint(plan)
			indexes := []string{"pkey", "sqlite_autoindex"} // the primary key's
			if strings.Contains(query, "plan = ") || strings.Contains(query, "status = ") {
				indexes = []string{"tenancy_accounts_plan", "tenancy_accounts_status", "tenancy_accounts_closed"}
			}
			byIndex := slices.ContainsFunc(indexes, func(index string) bool { return strings.Contains(text, index) })
			if !byIndex || strings.Contains(text, "Sort") || strings.Contains(text, "TEMP B-TREE") || strings.Contains(text, "Seq Scan") {
				t.Errorf("%s\n%s", query, text)
			}
		}
	})
}

func TestM1_Operator_ListsAccounts(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		h := accounts.Operator(db, func(*http.Request) (tenancy.Actor, error) { return operator, nil })
		if a := call(t, h, "GET", "/accounts", ""); a.status != 200 || strings.TrimSpace(a.body) != `{"accounts":[]}` {
			t.Errorf("nobody: %d %s", a.status, a.body)
		}
		all := crowd(t, db, accounts)
		for query, page := range map[string]tenancy.List{
			"":                                   {},
			"plan=starter":                       {Plan: "starter"},
			"status=erased":                      {Status: tenancy.StatusErased},
			"plan=starter&status=active&limit=1": {Plan: "starter", Status: tenancy.StatusActive},
			"limit=2":                            {},
			"limit=500&plan=":                    {},
			"plan=nobodys":                       {Plan: "nobodys"},
		} {
			unchanged(t, db, query, func() {
				got := []tenancy.Account{}
				for next := ""; ; {
					a := call(t, h, "GET", "/accounts?"+query+"&after="+next, "")
					var page struct {
						Accounts []tenancy.Account `json:"accounts"`
						Next     string            `json:"next"`
					}
					if err := json.Unmarshal([]byte(a.body), &page); err != nil || a.status != 200 {
						t.Fatalf("%s: %d %s", query, a.status, a.body)
					}
					got = append(got, page.Accounts...)
					if next = page.Next; next == "" {
						break
					}
				}
				if d := cmp.Diff(of(all, page), got); d != "" {
					t.Errorf("%s (-want +got):\n%s", query, d)
				}
			})
		}
	})
}

func TestM1_Operator_RefusesAListThatMakesNoSense(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		crowd(t, db, accounts)
		for _, c := range []struct {
			actor  tenancy.Actor
			err    error
			query  string
			status int
			code   string
		}{
			{operator, problem.New(http.StatusUnauthorized, "no_credential", "say who you are"), "", 401, "no_credential"},
			{operator, tenancy.ErrForbidden, "", 403, "forbidden"},
			{tenancy.Actor{Kind: tenancy.ActorOperator}, nil, "", 403, "forbidden"},
			{person, nil, "", 403, "forbidden"},
			{key, nil, "", 403, "forbidden"},
			{operator, nil, "plan=Starter", 422, "invalid"},
			{operator, nil, "plan=%00", 422, "invalid"},
			{operator, nil, "status=open", 422, "invalid"},
			{operator, nil, "after=%ff", 422, "invalid"},
			{operator, nil, "limit=0", 422, "invalid"},
			{operator, nil, "limit=501", 422, "invalid"},
			{operator, nil, "limit=many", 422, "invalid"},
		} {
			h := accounts.Operator(db, func(*http.Request) (tenancy.Actor, error) { return c.actor, c.err })
			if a := call(t, h, "GET", "/accounts?"+c.query, ""); a.status != c.status || a.Code != c.code || strings.Contains(a.body, "acc_") {
				t.Errorf("%s by %v: %d %s", c.query, c.actor, a.status, a.body)
			}
		}
		h := accounts.Operator(db, func(*http.Request) (tenancy.Actor, error) { return operator, nil })
		if a := call(t, h, "POST", "/accounts", `{}`); a.status != 405 {
			t.Errorf("another method: %d %s", a.status, a.body)
		}
	})
}

func TestM15_Listing_ComesAndGoesWithRows(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		all := of(crowd(t, db, accounts), tenancy.List{})
		for range 2 {
			if err := tenancy.Down(t.Context(), db, 9); err != nil {
				t.Fatal(err)
			}
			if _, pending, err := tenancy.MigrationStatus(t.Context(), db); err != nil || !slices.Equal(pending, []string{"0010_listing"}) {
				t.Errorf("pending %v, %v", pending, err)
			}
			got, err := accounts.List(across(t, db, accounts), db, tenancy.List{}) // slower, and the same
			if d := cmp.Diff(all, got); d != "" || err != nil {
				t.Errorf("without the index (-want +got):\n%s%v", d, err)
			}
			if err := tenancy.Migrate(t.Context(), db); err != nil {
				t.Fatal(err)
			}
		}
	})
}
