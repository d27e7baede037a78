// Package examples_test runs what the README says and no example shows.
package examples_test

import (
	"context"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/emails"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/credits/prices"
	"github.com/quitrent/quitrent/credits/seals"
	"github.com/quitrent/quitrent/examples/catalogue"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/invitations"
)

// The role that the README makes can do everything a serving process does, and can
// change or delete nothing that is append-only.
func TestReadme_TheServingRoleServesAndRewritesNothing(t *testing.T) {
	owner := dbtest.Postgres(t, authn.Migrate, billing.Migrate)
	role := id.New("app")
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "```sql\n")
	script, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("README.md has no block of SQL")
	}
	exec(t, owner, strings.ReplaceAll(script, "quitrent_app", role))
	t.Cleanup(func() { exec(t, owner, "DROP OWNED BY "+role+"; DROP ROLE "+role) })

	u, err := url.Parse(dbtest.DSN(owner))
	if err != nil {
		t.Fatal(err)
	}
	exec(t, owner, "ALTER ROLE "+role+" PASSWORD 'secret'")
	u.User = url.UserPassword(role, "secret")
	db, err := dbtest.Open(u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dbtest.Close(db) })

	// It can ask whether the schema is up to date, and start with migrations that are.
	if _, pending, err := billing.MigrationStatus(t.Context(), db); err != nil || len(pending) > 0 {
		t.Errorf("pending %v, %v", pending, err)
	}
	if err := billing.Migrate(t.Context(), db); err != nil {
		t.Error(err)
	}
	serve(t, db, "ada")
	creditstest.RequireSound(t, credits.New(credits.Config{}), db, "")
	for _, table := range []string{"credits_entries", "credits_splits", "credits_prices", "credits_seals", "tenancy_events", "tenancy_audit", "tenancy_audit_seals"} {
		for _, statement := range []string{"UPDATE " + table + " SET account_id = account_id", "DELETE FROM " + table} {
			if _, err := db.Exec(statement); err == nil || !strings.Contains(err.Error(), "permission denied") {
				t.Errorf("%s: %v", statement, err)
			}
		}
	}
}

// serve does what a process does that serves: sign-up, keys, spending, paying,
// suspending, members, events. It may be called at once for several people.
func serve(t *testing.T, db *bun.DB, who string) {
	t.Helper()
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ledger := credits.New(credits.Config{})
	accounts := tenancy.New(tenancy.Config{
		OnRegister: []tenancy.Hook{ledger.OnRegister},
		OnChange:   []tenancy.ChangeHook{billing.Allotments(ledger)},
		Deliver:    func(context.Context, tenancy.Event) error { return nil },
	})
	keys, err := authn.New(accounts, authn.Config{Peppers: []authn.Pepper{{ID: "1", Secret: make([]byte, 32)}}})
	must(keys, err)
	subscriptions, err := billing.New(accounts, ledger, billing.Config{Bank: billing.Bank{Holder: "Us", IBAN: "DE02120300000000202051"}})
	must(subscriptions, err)
	must(accounts.Ensure(ctx, db, catalogue.Plans()...))
	passwords := authn.NewPasswords(accounts, authn.PasswordConfig{})
	ada, err := passwords.Register(ctx, db, tenancy.Register{Name: who, Email: who + "@example.com"}, "correct-horse-battery")
	must(ada, err)
	account, self := ada.Account.ID, tenancy.Actor{Kind: tenancy.ActorUser, ID: string(ada.User.ID)}
	must(passwords.SignIn(ctx, db, authn.SignIn{Email: who + "@example.com", Password: "correct-horse-battery"}))
	key, err := keys.Issue(ctx, db, authn.Issue{Account: account, Name: "first", Actor: self})
	must(key, err)
	must(keys.Verify(ctx, db, key.Secret, tenancy.Use))
	must(accounts.Enter(ctx, db, account, self, tenancy.Use))
	must(ledger.Grant(ctx, db, credits.Grant{Account: account, Amount: 7, Key: "gift"}))
	spent, err := ledger.Deduct(ctx, db, credits.Deduct{Account: account, Amount: 10, Key: "work"})
	must(spent, err)
	must(ledger.Deduct(ctx, db, credits.Deduct{Account: account, Amount: 10, Key: "work"}))
	list := prices.New(prices.Config{})
	must(list.Set(ctx, db, prices.Set{Account: account, Operation: "work", Price: prices.Price{Fixed: 10}}))
	must(list.Quote(ctx, db, prices.Quote{Account: account, Operation: "work"}))
	must(ledger.Refund(ctx, db, credits.Refund{Account: account, Entry: spent.Number, Key: "failed"}))
	must(seals.New(seals.Config{}).SealDue(ctx, db))
	transfer, err := subscriptions.RequestTransfer(ctx, db, billing.RequestTransfer{Account: account, Plan: "starter", Actor: self})
	must(transfer, err)
	operator := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "desk"}
	must(subscriptions.ConfirmTransfer(ctx, db, billing.ConfirmTransfer{Reference: transfer.Reference, Actor: operator}))
	bob, err := accounts.CreateUser(ctx, db, tenancy.CreateUser{Name: "Bob", Email: "bob." + who + "@example.com"})
	must(bob, err)
	must(accounts.AddMember(ctx, db, tenancy.AddMember{Account: account, User: bob.ID, Roles: []tenancy.Role{tenancy.RoleViewer}, Actor: self}))
	must(accounts.SetObjectRoles(ctx, db, tenancy.SetObjectRoles{
		Account: account, User: bob.ID, Object: tenancy.Object{Kind: "site", ID: "1"}, Roles: []tenancy.Role{tenancy.RoleEditor}, Actor: self,
	}))
	must(nil, accounts.ForgetObject(ctx, db, tenancy.ForgetObject{Account: account, Object: tenancy.Object{Kind: "site", ID: "1"}, Actor: self}))
	must(accounts.SetRoles(ctx, db, tenancy.SetRoles{Account: account, User: bob.ID, Roles: []tenancy.Role{tenancy.RoleAdmin}, Actor: self}))
	must(accounts.OfferOwnership(ctx, db, tenancy.OfferOwnership{Account: account, To: bob.ID, Actor: self}))
	must(nil, accounts.DeclineOwnership(ctx, db, tenancy.DeclineOwnership{Account: account, Actor: self}))
	must(nil, accounts.RemoveMember(ctx, db, tenancy.RemoveMember{Account: account, User: bob.ID, Actor: self}))
	people := invitations.New(accounts, invitations.Config{})
	invited, err := people.Invite(ctx, db, invitations.Invite{Account: account, Email: bob.Email, Roles: []tenancy.Role{tenancy.RoleViewer}, Actor: self})
	must(invited, err)
	invited, err = people.Resend(ctx, db, invitations.Resend{Account: account, Invitation: invited.Invitation.ID, Actor: self})
	must(invited, err)
	must(people.Accept(ctx, db, invitations.Accept{Token: invited.Token, User: bob.ID}))
	must(people.Purge(ctx, db, time.Now()))
	signedIn, err := sessions.New(accounts, sessions.Config{})
	must(signedIn, err)
	session, err := signedIn.Start(ctx, db, sessions.Start{User: ada.User.ID})
	must(session, err)
	session, err = signedIn.SwitchAccount(ctx, db, sessions.SwitchAccount{Token: session.Token, Account: account})
	must(session, err)
	must(signedIn.Authenticate(ctx, db, authn.Credential{Scheme: sessions.Scheme, Value: string(session.Token)}))
	must(signedIn.RevokeAll(ctx, db, sessions.RevokeAll{User: ada.User.ID, Actor: self}))
	must(signedIn.Purge(ctx, db, time.Now()))
	must(accounts.Override(ctx, db, tenancy.Override{Account: account, Limits: map[string]int64{"sites": 9}, Actor: operator}))
	must(accounts.Close(ctx, db, tenancy.Close{Account: account, Actor: self}))
	must(accounts.Restore(ctx, db, tenancy.Restore{Account: account, Actor: operator}))
	must(accounts.Suspend(ctx, db, tenancy.Suspend{Account: account, Actor: operator, Reason: "test"}))
	must(accounts.Resume(ctx, db, tenancy.Resume{Account: account, Actor: operator}))
	must(keys.Revoke(ctx, db, authn.Revoke{Account: account, Key: key.Key.ID, Actor: self}))
	mails := emails.New(accounts, passwords, emails.Config{Keys: keys})
	verification, err := mails.IssueVerification(ctx, db, emails.IssueVerification{User: ada.User.ID})
	must(verification, err)
	must(mails.Verify(ctx, db, emails.Verify{Token: verification.Token, User: ada.User.ID}))
	reset, err := mails.IssueReset(ctx, db, emails.IssueReset{Email: who + "@example.com"})
	must(reset, err)
	must(mails.Reset(ctx, db, emails.Reset{Token: reset.Token, Password: "staple-horse-battery"}))
	must(subscriptions.LapseDue(ctx, db))
	must(subscriptions.AllotAll(ctx, db, billing.AllotAll{}))
	must(accounts.DeliverDue(ctx, db))
	creditstest.RequireSound(t, ledger, db, account)
	creditstest.RequireBalance(t, ledger, db, account, 3_007)

	run, stop := context.WithCancel(ctx)
	stop()
	must(nil, accounts.Run(run, db)) // gives its lease back
}

var comments = regexp.MustCompile(`--[^\n]*`)

func exec(t *testing.T, db *bun.DB, script string) {
	t.Helper()
	for statement := range strings.SplitSeq(script, ";") {
		if statement = strings.TrimSpace(comments.ReplaceAllString(statement, "")); statement == "" {
			continue
		}
		if _, err := db.DB.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}
