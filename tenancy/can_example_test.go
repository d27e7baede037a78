package tenancy_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
)

// A host with a permission of its own, and somebody who may do it on one site only.
func ExampleAccounts_Can() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "app.db")) // a host opens its own
	check(err)
	defer func() { _ = db.Close() }()
	check(tenancy.Migrate(ctx, db))

	const publish tenancy.Permission = "sites.publish"
	accounts := tenancy.New(tenancy.Config{Roles: map[tenancy.Role][]tenancy.Permission{
		tenancy.RoleAdmin:  {publish},
		tenancy.RoleEditor: {publish},
	}})
	_, err = accounts.Ensure(ctx, db, tenancy.Plan{Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, TrialDays: 14})
	check(err)
	ada, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
	check(err)
	bob, err := accounts.CreateUser(ctx, db, tenancy.CreateUser{Name: "Bob", Email: "bob@example.com"})
	check(err)

	shop, blog := tenancy.Object{Kind: "site", ID: "1"}, tenancy.Object{Kind: "site", ID: "2"}
	_, err = accounts.AddMember(ctx, db, tenancy.AddMember{
		Account: ada.Account.ID, User: bob.ID, Roles: []tenancy.Role{tenancy.RoleViewer},
		Objects: []tenancy.ObjectRole{{Object: shop, Role: tenancy.RoleEditor}},
		Actor:   tenancy.Actor{Kind: tenancy.ActorUser, ID: string(ada.User.ID)},
	})
	check(err)

	inside, err := accounts.Enter(ctx, db, ada.Account.ID, tenancy.Actor{Kind: tenancy.ActorUser, ID: string(bob.ID)}, tenancy.Use)
	check(err)
	fmt.Println("read the blog:", accounts.Can(inside, db, tenancy.PermContentRead, blog))
	fmt.Println("publish the shop:", accounts.Can(inside, db, publish, shop))
	fmt.Println("publish the blog:", accounts.Can(inside, db, publish, blog))
	// Output:
	// read the blog: <nil>
	// publish the shop: <nil>
	// publish the blog: this credential may not do that: it needs the permission sites.publish
}
