package invitations_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/invitations"
)

// Ada invites Bob, who has no user yet, and Bob comes in.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "app.db")) // a host opens its own
	check(err)
	defer func() { _ = db.Close() }()
	check(tenancy.Migrate(ctx, db))

	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	accounts := tenancy.New(tenancy.Config{Now: clock})
	_, err = accounts.Ensure(ctx, db, tenancy.Plan{Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, TrialDays: 14})
	check(err)
	ada, err := accounts.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"})
	check(err)

	var link string // what the mail to Bob holds
	inv := invitations.New(accounts, invitations.Config{Now: clock, Notify: func(_ context.Context, m invitations.Message) error {
		fmt.Println("mail to", m.To, "from", m.AccountName)
		link = "https://app.example.com/join#" + string(m.Token)
		return nil
	}})
	inside, err := accounts.Enter(ctx, db, ada.Account.ID, tenancy.Actor{Kind: tenancy.ActorUser, ID: string(ada.User.ID)}, tenancy.SignIn)
	check(err)
	r := httptest.NewRequestWithContext(inside, "POST", "/invitations", strings.NewReader(`{"email": "bob@example.com", "roles": ["editor"]}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	inv.Handler(db).ServeHTTP(w, r) // behind a middleware that enters
	fmt.Println(w.Code)

	_, text, _ := strings.Cut(link, "#")
	token := invitations.Token(text)
	page, err := inv.Peek(ctx, db, token)
	check(err)
	fmt.Println("join", page.AccountName, "as", page.Roles, "until", page.ExpiresAt.Format(time.DateOnly))

	bob, err := inv.AcceptNew(ctx, db, invitations.AcceptNew{Token: token, Name: "Bob"})
	check(err)
	fmt.Println(bob.User.Name, "is", bob.Member.Roles, "of", bob.Account.Name)

	_, err = inv.Peek(ctx, db, token)
	fmt.Println(err)
	// Output:
	// mail to bob@example.com from Ada
	// 201
	// join Ada as [editor] until 2026-03-08
	// Bob is [editor] of Ada
	// there is no such invitation, or it is over: ask for a new one
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
