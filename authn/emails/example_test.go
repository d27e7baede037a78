package emails_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/emails"
	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
)

// Ada has forgotten her password.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "app.db")) // a host opens its own
	check(err)
	defer func() { _ = db.Close() }()
	check(authn.Migrate(ctx, db))

	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	accounts := tenancy.New(tenancy.Config{Now: clock})
	_, err = accounts.Ensure(ctx, db, tenancy.Plan{Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, TrialDays: 14})
	check(err)
	passwords := authn.NewPasswords(accounts, authn.PasswordConfig{Now: clock})
	_, err = passwords.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"}, "tall green giraffes")
	check(err)

	var mail, link string // to Ada
	mails := emails.New(accounts, passwords, emails.Config{
		Now: clock,
		Notify: func(_ context.Context, m emails.Message) error {
			mail = fmt.Sprint(m.Kind, " to ", m.To, " until ", m.ExpiresAt.Format(time.TimeOnly))
			link = "https://app.example.com/password#" + string(m.Token)
			return nil
		},
		AfterReset: []emails.Hook{func(_ context.Context, _ bun.IDB, _ tenancy.UserID) error {
			fmt.Println("her sessions end")
			return nil
		}},
	})
	handler := mails.Handler(db, passwords.Person(db))
	post := func(path, body string) {
		r := httptest.NewRequestWithContext(ctx, "POST", path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(path, w.Code)
	}
	post("/emails/reset", `{"email": "nobody@example.com"}`) // the same answer
	post("/emails/reset", `{"email": "ada@example.com"}`)
	check(mails.Wait(ctx)) // the mail goes out behind the answer
	fmt.Println(mail)

	_, token, _ := strings.Cut(link, "#")
	post("/emails/reset/confirm", `{"token": "`+token+`", "password": "short blue elephants"}`)
	post("/emails/reset/confirm", `{"token": "`+token+`", "password": "wide red crocodiles"}`)
	ada, err := passwords.SignIn(ctx, db, authn.SignIn{Email: "ada@example.com", Password: "short blue elephants"})
	check(err)
	fmt.Println(ada.Name, "signs in, and the address is hers:", !ada.VerifiedAt.IsZero())
	// Output:
	// /emails/reset 202
	// /emails/reset 202
	// password_reset to ada@example.com until 10:00:00
	// her sessions end
	// /emails/reset/confirm 200
	// /emails/reset/confirm 404
	// Ada signs in, and the address is hers: true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
