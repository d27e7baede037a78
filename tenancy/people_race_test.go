package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// act does one thing to an account, as the words of args say: verb, account, who
// acts ("" is an operator), and whom to.
func act(ctx context.Context, db bun.IDB, verb string, account tenancy.AccountID, who, whom tenancy.UserID) (err error) {
	accounts := tenancy.New(tenancy.Config{Now: tenancytest.NewClock(t0).Now})
	actor := operator
	if who != "" {
		actor = as(who)
	}
	switch verb {
	case "add":
		_, err = accounts.AddMember(ctx, db, tenancy.AddMember{Account: account, User: whom, Roles: viewer, Actor: actor})
	case "remove":
		err = accounts.RemoveMember(ctx, db, tenancy.RemoveMember{Account: account, User: whom, Actor: actor})
	case "demote":
		_, err = accounts.SetRoles(ctx, db, tenancy.SetRoles{Account: account, User: whom, Roles: viewer, Actor: actor})
	case "site":
		_, err = accounts.SetObjectRoles(ctx, db, tenancy.SetObjectRoles{Account: account, User: whom, Object: site("1"), Roles: viewer, Actor: actor})
	case "offer":
		_, err = accounts.OfferOwnership(ctx, db, tenancy.OfferOwnership{Account: account, To: whom, Actor: actor})
	case "accept":
		_, err = accounts.AcceptOwnership(ctx, db, tenancy.AcceptOwnership{Account: account, Actor: actor})
	case "decline":
		err = accounts.DeclineOwnership(ctx, db, tenancy.DeclineOwnership{Account: account, Actor: actor})
	default:
		err = fmt.Errorf("no verb %q", verb)
	}
	return err
}

// code is how a test in another process learns which refusal it was.
func code(err error) (string, error) {
	if err == nil {
		return "ok", nil
	}
	var s *problem.Sentinel
	if !errors.As(err, &s) {
		return "", err
	}
	return s.Code, nil
}

// actAndTell says "waiting" when it is about to write its first, which is the lock
// that another holds, and then what it was answered.
func actAndTell(ctx context.Context, db *bun.DB, tell func(string), verb, account, who, whom string) error {
	w := &waiting{signs: []string{"UPDATE", "INSERT", "DELETE"}, tell: tell}
	if db.Dialect().Name() == dialect.SQLite {
		w.signs = []string{"BEGIN"} // which waits for the file
	}
	said, err := code(act(ctx, db.WithQueryHook(w), verb, tenancy.AccountID(account), tenancy.UserID(who), tenancy.UserID(whom)))
	tell(said)
	return err
}

func actChild(ctx context.Context, db *bun.DB, args []string) error {
	return actAndTell(ctx, db, func(s string) { fmt.Println(s) }, args[0], args[1], args[2], args[3])
}

// another does the same on a pool of its own, in another process or, since that
// takes long to start, in this one. Each call of what it returns is its next word.
func another(t *testing.T, db *bun.DB, process bool, args ...string) (start func(), next func() string) {
	t.Helper()
	if process {
		p := dbtest.Spawn(t, "act", dbtest.DSN(db), args...)
		return p.Go, p.Line
	}
	own, err := dbtest.Open(dbtest.DSN(db))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dbtest.Close(own) })
	said := make(chan string, 2)
	start = func() {
		go func() {
			defer close(said)
			if err := actAndTell(t.Context(), own, func(s string) { said <- s }, args[0], args[1], args[2], args[3]); err != nil {
				t.Error(err)
			}
		}()
	}
	return start, func() string { return <-said }
}

type waiting struct {
	signs []string
	tell  func(string)
	said  bool
}

func (w *waiting) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	begins := func(sign string) bool { return strings.HasPrefix(e.Query, sign) }
	if !w.said && slices.ContainsFunc(w.signs, begins) {
		w.said = true
		w.tell("waiting")
	}
	return ctx
}

func (w *waiting) AfterQuery(context.Context, *bun.QueryEvent) {}

// One has done something and not committed yet; another one does the opposite, waits, and is answered by what is so after the commit. What it read
// before it waited would have let it through.
func TestM9_Race_WhoWaitedIsAnsweredByWhatIsSoNow(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		admin := []tenancy.Role{tenancy.RoleAdmin}
		for i, c := range []struct {
			what          string
			offered       string // to whom the account is offered before
			first, second [3]string
			want          string
			process       bool
		}{
			{"two admins demote each other", "", [3]string{"demote", "ann", "ben"}, [3]string{"demote", "ben", "ann"}, "forbidden", true},
			{"two admins remove each other", "", [3]string{"remove", "ann", "ben"}, [3]string{"remove", "ben", "ann"}, "forbidden", true},
			{"one is demoted and removes the other", "", [3]string{"demote", "ann", "ben"}, [3]string{"remove", "ben", "ann"}, "forbidden", false},
			{"one is demoted and adds somebody", "", [3]string{"demote", "ada", "ben"}, [3]string{"add", "ben", "new"}, "forbidden", false},
			{"one is removed and lets somebody onto a site", "", [3]string{"remove", "ada", "ben"}, [3]string{"site", "ben", "cat"}, "forbidden", false},
			{"one is removed and leaves", "", [3]string{"remove", "ada", "ben"}, [3]string{"remove", "ben", "ben"}, "no_user", false},
			{"one is removed by both", "", [3]string{"remove", "ann", "cat"}, [3]string{"remove", "ben", "cat"}, "no_user", false},
			{"one accepts and is removed", "ben", [3]string{"accept", "ben", ""}, [3]string{"remove", "", "ben"}, "last_owner", true},
			{"one accepts and is demoted", "ben", [3]string{"accept", "ben", ""}, [3]string{"demote", "ada", "ben"}, "last_owner", false},
			{"one is removed and accepts", "ben", [3]string{"remove", "ada", "ben"}, [3]string{"accept", "ben", ""}, "no_offer", true},
			{"one leaves and accepts", "ben", [3]string{"remove", "ben", "ben"}, [3]string{"accept", "ben", ""}, "no_offer", false},
			{"two accept", "ben", [3]string{"accept", "ben", ""}, [3]string{"accept", "ben", ""}, "no_offer", false},
			{"one accepts and the owner offers on", "ben", [3]string{"accept", "ben", ""}, [3]string{"offer", "ada", "ann"}, "forbidden", false},
			{"one accepts and the owner withdraws", "ben", [3]string{"accept", "ben", ""}, [3]string{"decline", "ada", ""}, "forbidden", false},
			{"the owner withdraws and one accepts", "ben", [3]string{"decline", "ada", ""}, [3]string{"accept", "ben", ""}, "no_offer", false},
			{"the owner offers on and one accepts", "ben", [3]string{"offer", "ada", "ann"}, [3]string{"accept", "ben", ""}, "no_offer", false},
			{"one accepts and the old owner goes", "ben", [3]string{"accept", "ben", ""}, [3]string{"remove", "ben", "ada"}, "ok", false},
			{"one accepts and the other is offered it", "ben", [3]string{"accept", "ben", ""}, [3]string{"offer", "ben", "ada"}, "ok", false},
			{"the last seat", "", [3]string{"add", "ada", "new"}, [3]string{"add", "ann", "too"}, "plan_limit", true},
			{"one user is added by both", "", [3]string{"add", "ada", "new"}, [3]string{"add", "ann", "new"}, "member_exists", false},
		} {
			mail := func(name string) string { return fmt.Sprintf("%s%d@example.com", name, i) }
			plan := tenancytest.Plans()[0]
			plan.Slug, plan.Limits = "five", map[string]int64{tenancy.LimitUsers: 5}
			if _, err := accounts.Ensure(t.Context(), db, plan); err != nil {
				t.Fatal(err)
			}
			ada, err := accounts.Register(t.Context(), db, tenancy.Register{Name: "Ada", Email: mail("ada"), Plan: "five"})
			if err != nil {
				t.Fatal(err)
			}
			account := ada.Account.ID
			users := map[string]tenancy.UserID{
				"": "", "ada": ada.User.ID, "ann": addMember(t, db, accounts, account, mail("ann"), admin), "ben": addMember(t, db, accounts, account, mail("ben"), admin),
				"cat": addMember(t, db, accounts, account, mail("cat"), viewer), "new": createUser(t, db, accounts, mail("new")), "too": createUser(t, db, accounts, mail("too")),
			}
			if c.offered != "" {
				offer(t, db, accounts, account, users[c.offered], self(ada))
			}
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			start, next := another(t, db, c.process, c.second[0], string(account), string(users[c.second[1]]), string(users[c.second[2]]))
			if err := act(t.Context(), tx, c.first[0], account, users[c.first[1]], users[c.first[2]]); err != nil {
				t.Fatalf("%s: %v", c.what, err)
			}
			start()
			if said := next(); said != "waiting" {
				t.Errorf("%s: it did not wait but said %s", c.what, said)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			if said := next(); said != c.want {
				t.Errorf("%s: %s, want %s", c.what, said, c.want)
			}
			a, err := accounts.Get(t.Context(), db, account)
			if err != nil {
				t.Fatal(err)
			}
			requireOwner(t, db, accounts, account, a.Owner)
			if n, err := db.NewSelect().TableExpr("tenancy_members").Where("account_id = ?", account).Count(t.Context()); n > 5 || err != nil {
				t.Errorf("%s: %d members, %v", c.what, n, err)
			}
		}
	})
}

// everyoneChild lets one admin of every account act on the other, and prints how
// often that worked.
func everyoneChild(ctx context.Context, db *bun.DB, args []string) error {
	counts := map[string]int{}
	var pairs []struct {
		Account, A, B string
	}
	if err := db.NewRaw(`SELECT account_id AS account, MIN(user_id) AS a, MAX(user_id) AS b FROM tenancy_member_roles
		WHERE role = 'admin' GROUP BY account_id HAVING COUNT(*) = 2 ORDER BY account_id`).Scan(ctx, &pairs); err != nil {
		return err
	}
	// A free-for-all in each account, of this process's two and the other one's. Where
	// that one was first, a single admin is left, who could well leave too.
	for i, p := range pairs {
		verb := args[i%len(args)]
		for j, err := range dbtest.Together(2, func(j int) error {
			who, whom := p.A, p.B
			if j == 1 {
				who, whom = p.B, p.A
			}
			return act(ctx, db, verb, tenancy.AccountID(p.Account), tenancy.UserID(who), tenancy.UserID(whom))
		}) {
			said, err := code(err)
			if err != nil {
				return fmt.Errorf("%d: %w", j, err)
			}
			counts[said]++
		}
	}
	fmt.Print(counts["ok"])
	return nil
}

// Two admins of each account put each other out, from two processes and as fast as
// they can: in each account one of them is left, and the owner.
func TestM9_Race_OfTwoWhoPutEachOtherOutOneIsLeft(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB) {
		accounts, _ := newAccounts(t, db, tenancy.Config{})
		const n = 20
		owners := map[tenancy.AccountID]tenancy.UserID{}
		for i := range n {
			ada := tenancytest.Register(t, db, accounts, fmt.Sprintf("ada%d@example.com", i))
			owners[ada.Account.ID] = ada.User.ID
			for _, name := range []string{"ann", "ben"} {
				addMember(t, db, accounts, ada.Account.ID, fmt.Sprintf("%s%d@example.com", name, i), []tenancy.Role{tenancy.RoleAdmin})
			}
		}
		dbtest.Processes(t, 2, "everyone", dbtest.DSN(db), "remove", "demote")
		for account, owner := range owners {
			requireOwner(t, db, accounts, account, owner)
			left, err := db.NewSelect().TableExpr("tenancy_member_roles").Where("account_id = ? AND role = 'admin'", account).Count(t.Context())
			if left != 1 || err != nil {
				t.Errorf("%s has %d admins left, %v", account, left, err)
			}
		}
	})
}
