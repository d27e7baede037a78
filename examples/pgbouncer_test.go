package examples_test

import (
	"fmt"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
)

// Everything works through PgBouncer in transaction mode, where several processes
// share two connections and no session is anybody's: migrations, and then all that a
// process does that serves.
func TestPgBouncer_EverythingWorksThroughItAtOnce(t *testing.T) {
	direct := dbtest.Postgres(t)
	processes := []*bun.DB{dbtest.PgBouncer(t, direct), dbtest.PgBouncer(t, direct)}
	for _, err := range dbtest.Together(len(processes), func(i int) error {
		if err := authn.Migrate(t.Context(), processes[i]); err != nil {
			return err
		}
		return billing.Migrate(t.Context(), processes[i])
	}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	dbtest.Together(6, func(i int) error { // three times as many as connections
		who := fmt.Sprintf("ada%d", i)
		t.Run(who, func(t *testing.T) { serve(t, processes[i%len(processes)], who) })
		return nil
	})

	ledger := credits.New(credits.Config{})
	creditstest.RequireSound(t, ledger, direct, "")
	if _, err := ledger.Grant(t.Context(), direct, credits.Grant{Account: "acme", Amount: 40, Key: "gift"}); err != nil {
		t.Fatal(err)
	}
	for i, err := range dbtest.Together(40, func(i int) error {
		_, err := ledger.Deduct(t.Context(), processes[i%len(processes)], credits.Deduct{Account: "acme", Amount: 1, Key: fmt.Sprint(i)})
		return err
	}) {
		if err != nil {
			t.Errorf("deduction %d: %v", i, err)
		}
	}
	creditstest.RequireBalance(t, ledger, direct, "acme", 0)
	creditstest.RequireSound(t, ledger, direct, "acme")
}
