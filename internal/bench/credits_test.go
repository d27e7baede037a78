package main

import (
	"strings"
	"testing"

	"github.com/quitrent/quitrent/internal/dbtest"
)

// The figures themselves say nothing here: only that every call gave what is right, and
// that both ledgers agree to the credit in the end.
func TestCredits_EveryFigureEndsWithLedgersThatAgree(t *testing.T) {
	b, out := tiny()
	if err := deductions(t.Context(), b, dbtest.DSN(dbtest.Postgres(t))); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 12 {
		t.Errorf("%d figures instead of 12:\n%s", n, out)
	}
}
