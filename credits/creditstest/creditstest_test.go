package creditstest_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// recorder is a test that may fail without failing this one.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Errorf(format string, args ...any) { r.said += fmt.Sprintf(format, args...) + "\n" }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	r.FailNow()
}

func (r *recorder) FailNow() { runtime.Goexit() }

// failure is what fn says when it ends its test; "" when it does not.
func failure(t *testing.T, fn func(t testing.TB)) string {
	r := &recorder{TB: t}
	done, passed := make(chan struct{}), false
	go func() {
		defer close(done)
		fn(r)
		passed = true
	}()
	<-done
	if passed && r.said != "" {
		t.Errorf("it went on after %q", r.said)
	}
	return r.said
}

func TestRequire_PassesWhatIsRightAndEndsTheTestOtherwise(t *testing.T) {
	db := tenancytest.SQLite(t, credits.Migrate)
	ledger := credits.New(credits.Config{})
	if _, err := ledger.Grant(t.Context(), db, credits.Grant{Account: "acc_1", Amount: 10, Key: "k"}); err != nil {
		t.Fatal(err)
	}
	e := creditstest.RequireEntry(t, ledger, db, "acc_1", credits.KindGrant, 10)
	if e.Number != 1 || e.Key != "k" {
		t.Errorf("%+v", e)
	}
	creditstest.RequireBalance(t, ledger, db, "acc_1", 10)
	creditstest.RequireBalance(t, ledger, db, "acc_2", 0)
	creditstest.RequireSound(t, ledger, db, "acc_1")
	creditstest.RequireSound(t, ledger, db, "")

	empty := tenancytest.SQLite(t)
	damaged := tenancytest.SQLite(t, credits.Migrate)
	if _, err := ledger.Grant(t.Context(), damaged, credits.Grant{Account: "acc_1", Amount: 10, Key: "k"}); err != nil {
		t.Fatal(err)
	}
	if _, err := damaged.Exec("UPDATE credits_accounts SET head_free = 9"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		fn   func(t testing.TB)
		want string
	}{
		"another balance": {func(t testing.TB) { creditstest.RequireBalance(t, ledger, db, "acc_1", 9) }, "acc_1 can spend 10 credits, want 9"},
		"no table":        {func(t testing.TB) { creditstest.RequireBalance(t, ledger, empty, "acc_1", 0) }, "balance of acc_1"},
		"another kind": {
			func(t testing.TB) { creditstest.RequireEntry(t, ledger, db, "acc_1", credits.KindRefund, 10) },
			"the newest entry of acc_1 is a grant of 10, want a refund of 10",
		},
		"another amount": {
			func(t testing.TB) { creditstest.RequireEntry(t, ledger, db, "acc_1", credits.KindGrant, 9) },
			"is a grant of 10, want a grant of 9",
		},
		"no entry": {
			func(t testing.TB) { creditstest.RequireEntry(t, ledger, db, "acc_2", credits.KindGrant, 9) },
			"acc_2 has no entries, want a grant of 9",
		},
		"no entries table": {func(t testing.TB) { creditstest.RequireEntry(t, ledger, empty, "acc_1", credits.KindGrant, 9) }, "entries of acc_1"},
		"damage":           {func(t testing.TB) { creditstest.RequireSound(t, ledger, damaged, "acc_1") }, "has 9, its splits 10"},
		"damage anywhere":  {func(t testing.TB) { creditstest.RequireSound(t, ledger, damaged, "") }, "ledger: acc_1: "},
		"nothing to check": {func(t testing.TB) { creditstest.RequireSound(t, ledger, empty, "") }, "verify"},
	} {
		if said := failure(t, c.fn); !strings.Contains(said, c.want) {
			t.Errorf("%s: it said %q, want %q", name, said, c.want)
		}
	}
}

// The test that the package comment shows.
func TestDraw_ChargesFive(t *testing.T) {
	db := tenancytest.SQLite(t, credits.Migrate)
	ledger := credits.New(credits.Config{})
	_, err := ledger.Seed(t.Context(), db, credits.Seed{Account: "acc_1", Amount: 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Deduct(t.Context(), db, credits.Deduct{Account: "acc_1", Amount: 5, Operation: "draw"}); err != nil {
		t.Fatal(err)
	}
	creditstest.RequireEntry(t, ledger, db, "acc_1", credits.KindDeduct, -5)
	creditstest.RequireBalance(t, ledger, db, "acc_1", 15)
	creditstest.RequireSound(t, ledger, db, "acc_1")
}
