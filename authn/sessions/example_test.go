package sessions_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
)

// Ada signs in with a browser, is let into her account by the cookie, and signs out.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "app.db")) // a host opens its own
	check(err)
	defer func() { _ = db.Close() }()
	check(authn.Migrate(ctx, db))

	accounts := tenancy.New(tenancy.Config{})
	_, err = accounts.Ensure(ctx, db, tenancy.Plan{Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, TrialDays: 14})
	check(err)
	passwords := authn.NewPasswords(accounts, authn.PasswordConfig{})
	_, err = passwords.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"}, "tall green giraffes")
	check(err)

	people, err := sessions.New(accounts, sessions.Config{})
	check(err)
	mux := http.NewServeMux()
	for _, path := range []string{"/session", "/session/", "/sessions", "/sessions/"} {
		mux.Handle(path, people.Handler(db, passwords))
	}
	guard := authn.NewGuard(accounts, authn.GuardConfig{}, people) // keys beside it, where there are any
	mux.Handle("/hello", guard.Middleware(db, tenancy.Use)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("hello,", tenancy.From(r.Context()).Actor.Kind)
	})))

	server := httptest.NewTLSServer(mux)
	defer server.Close()
	browser := server.Client()
	browser.Jar, err = cookiejar.New(nil)
	check(err)
	call := func(method, path, body string, headers ...string) {
		r, err := http.NewRequestWithContext(ctx, method, server.URL+path, strings.NewReader(body))
		check(err)
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w, err := browser.Do(r)
		check(err)
		check(w.Body.Close())
		fmt.Println(method, path, w.StatusCode)
	}
	call("GET", "/hello", "")
	call("POST", "/session", `{"email": "ada@example.com", "password": "tall green giraffes"}`)
	call("GET", "/hello", "")
	call("POST", "/hello", "", "Sec-Fetch-Site", "cross-site") // what a page elsewhere makes her browser send
	call("DELETE", "/session", "")
	call("GET", "/hello", "")
	// Output:
	// GET /hello 401
	// POST /session 201
	// hello, user
	// GET /hello 200
	// POST /hello 403
	// DELETE /session 204
	// GET /hello 401
}

// A page of the host's own signs people in: the session begins in the transaction in which
// the password is still the right one.
func ExampleSessions_Start() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "app.db"))
	check(err)
	defer func() { _ = db.Close() }()
	check(authn.Migrate(ctx, db))
	accounts := tenancy.New(tenancy.Config{})
	_, err = accounts.Ensure(ctx, db, tenancy.Plan{Slug: tenancy.DefaultTrialPlan, Name: "Free trial", Active: true, TrialDays: 14})
	check(err)
	passwords := authn.NewPasswords(accounts, authn.PasswordConfig{})
	_, err = passwords.Register(ctx, db, tenancy.Register{Name: "Ada", Email: "ada@example.com"}, "tall green giraffes")
	check(err)
	people, err := sessions.New(accounts, sessions.Config{})
	check(err)

	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var issued sessions.Issued
		_, err := passwords.SignIn(r.Context(), db, authn.SignIn{
			Email: r.FormValue("email"), Password: r.FormValue("password"),
			Then: func(ctx context.Context, db bun.IDB, user tenancy.User) (err error) {
				issued, err = people.Start(ctx, db, sessions.Start{User: user.ID, UserAgent: r.UserAgent()})
				return err
			},
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		people.SetCookie(w, r, issued)
		http.Redirect(w, r, "/sites", http.StatusSeeOther)
	})
	for _, password := range []string{"small grey mice", "tall green giraffes"} {
		form := url.Values{"email": {"ada@example.com"}, "password": {password}}
		r := httptest.NewRequest("POST", "https://app.example.com/sign-in", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		http.NewCrossOriginProtection().Handler(page).ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("Location"), len(w.Result().Cookies()))
	}
	// Output:
	// 401  0
	// 303 /sites 1
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
