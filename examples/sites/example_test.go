package sites_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/quitrent/quitrent/examples/catalogue"
	"github.com/quitrent/quitrent/examples/sites"
	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
)

// Which account a person acts for: the only one, or the one that is named.
func Example_accountChosen() {
	ctx := context.Background()
	app, ada, done := setUp()
	defer done()

	acting := func(wanted tenancy.AccountID) {
		account, err := app.Accounts.AccountOf(ctx, app.DB, ada.User.ID, wanted)
		switch {
		case errors.Is(err, tenancy.ErrWhichAccount):
			fmt.Println("409: name one") // over HTTP in X-Account-ID
		case errors.Is(err, tenancy.ErrNoAccount):
			fmt.Println("404: not yours")
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Println("own account:", account == ada.Account.ID)
		}
	}
	acting("")

	ben := signUp(app, "Ben")
	_, err := app.Accounts.AddMember(ctx, app.DB, tenancy.AddMember{
		Account: ben.Account.ID, User: ada.User.ID, Roles: []tenancy.Role{tenancy.RoleEditor}, Actor: user(ben.User),
	})
	check(err)
	acting("")
	acting(ada.Account.ID)
	acting(ben.Account.ID)
	acting(signUp(app, "Cem").Account.ID)
	// Output:
	// own account: true
	// 409: name one
	// own account: true
	// own account: false
	// 404: not yours
}

// A queue worker holds an account's id and no credential. It enters the account like
// everybody else, so it does nothing for one that is suspended.
func Example_queueWorker() {
	ctx := context.Background()
	app, ada, done := setUp()
	defer done()

	type job struct {
		Account tenancy.AccountID
		Slug    string
	}
	work := func(j job) error {
		worker := tenancy.Actor{Kind: tenancy.ActorSystem, ID: "worker"}
		ctx, err := app.Accounts.Enter(ctx, app.DB, j.Account, worker, tenancy.Write)
		if err != nil {
			return err // the job has no business now: drop it, or try later
		}
		_, err = app.Create(ctx, j.Slug)
		return err
	}
	fmt.Println(work(job{ada.Account.ID, "news"}))
	fmt.Println(work(job{ada.Account.ID, "blog"}))
	_, err := app.Accounts.Suspend(ctx, app.DB, tenancy.Suspend{
		Account: ada.Account.ID, Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "desk"}, Reason: "spam",
	})
	check(err)
	fmt.Println(work(job{ada.Account.ID, "spam"}))
	// Output:
	// <nil>
	// the plan allows no more of these: choose a larger plan: 1 sites
	// the account is suspended: ask support
}

// A member whose role is on one site sees and changes that one.
func Example_siteRole() {
	ctx := context.Background()
	app, ada, done := setUp()
	defer done()
	_, err := app.Accounts.Override(ctx, app.DB, tenancy.Override{
		Account: ada.Account.ID, Limits: map[string]int64{"sites": 2},
		Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "desk"}, Reason: "asked for",
	})
	check(err)
	ben, err := app.Accounts.CreateUser(ctx, app.DB, tenancy.CreateUser{Name: "Ben", Email: "ben@example.com"})
	check(err)

	asAda, err := app.Accounts.Enter(ctx, app.DB, ada.Account.ID, user(ada.User), tenancy.Use)
	check(err)
	news, err := app.Create(asAda, "news")
	check(err)
	shop, err := app.Create(asAda, "shop")
	check(err)
	_, err = app.Accounts.AddMember(ctx, app.DB, tenancy.AddMember{
		Account: ada.Account.ID, User: ben.ID, Actor: user(ada.User),
		Objects: []tenancy.ObjectRole{{Object: tenancy.Object{Kind: "site", ID: news.ID}, Role: tenancy.RoleEditor}},
	})
	check(err)

	asBen, err := app.Accounts.Enter(ctx, app.DB, ada.Account.ID, user(ben), tenancy.Use)
	check(err)
	list, err := app.List(asBen)
	check(err)
	fmt.Println("Ben sees", len(list), "of 2:", list[0].Slug)
	fmt.Println("a sector there:", app.AddSector(asBen, news.ID, "sports"))
	fmt.Println("elsewhere:", app.AddSector(asBen, shop.ID, "shoes"))
	fmt.Println("nowhere:", app.AddSector(asAda, "none", "x"))
	_, err = app.Create(asBen, "mine")
	fmt.Println("a site:", err)
	list, err = app.List(asAda)
	check(err)
	fmt.Println("Ada sees", len(list), "with", len(list[0].Sectors), "sector")
	// Output:
	// Ben sees 1 of 2: news
	// a sector there: <nil>
	// elsewhere: this credential may not do that: it needs the permission content.write
	// nowhere: there is no such thing in this account
	// a site: this credential may not do that: it needs the permission content.write
	// Ada sees 2 with 1 sector
}

func setUp() (app sites.Sites, ada tenancy.Registered, done func()) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "sites-")
	check(err)
	db, err := sqlite.Open(filepath.Join(dir, "sites.db"))
	check(err)
	db.SetMaxOpenConns(1)
	check(errors.Join(tenancy.Migrate(ctx, db), sites.Migrate(ctx, db)))
	app = sites.Sites{DB: db, Accounts: tenancy.New(tenancy.Config{}), Tables: sites.Tables()}
	check(app.Tables.Bind(ctx, db))
	plan := catalogue.FreeTrial()
	plan.Limits[tenancy.LimitUsers] = 3
	_, err = app.Accounts.Ensure(ctx, db, plan)
	check(err)
	return app, signUp(app, "Ada"), func() {
		check(db.Close())
		check(os.RemoveAll(dir))
	}
}

func signUp(app sites.Sites, name string) tenancy.Registered {
	who, err := app.Accounts.Register(context.Background(), app.DB, tenancy.Register{
		Name: name, Email: name + "@example.com",
	})
	check(err)
	return who
}

func user(u tenancy.User) tenancy.Actor {
	return tenancy.Actor{Kind: tenancy.ActorUser, ID: string(u.ID)}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
