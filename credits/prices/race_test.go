package prices_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/quitrent/quitrent/credits/prices"
	"github.com/quitrent/quitrent/internal/dbtest"
)

func TestSet_TwoAtOnceAreVersions1And2(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for round := range 10 {
			operation := fmt.Sprint("op", round)
			got := make([]int64, 2)
			for i, err := range dbtest.Together(2, func(i int) error {
				v, err := w.list.Set(t.Context(), w.db, prices.Set{Operation: operation, Price: fixed(int64(i + 1))})
				got[i] = v.Number
				return err
			}) {
				if err != nil {
					t.Fatal(i, err)
				}
			}
			slices.Sort(got)
			same(t, operation, []int64{1, 2}, got)
		}
	})
}

func TestSet_OfTheSamePriceAtOnceIsOneVersion(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		wrote := make([]bool, 8)
		for _, err := range dbtest.Together(len(wrote), func(i int) error {
			v, err := w.list.Set(t.Context(), w.db, prices.Set{Operation: "chat", Price: fixed(5)})
			wrote[i] = !v.Unchanged
			if v.Number != 1 {
				t.Errorf("version %d", v.Number)
			}
			return err
		}) {
			wantErr(t, "set", err, nil)
		}
		first := slices.Index(wrote, true)
		if first < 0 || slices.Contains(wrote[first+1:], true) {
			t.Errorf("who wrote: %v", wrote)
		}
	})
}

// A Set that waits for another one's transaction comes after it.
func TestSet_WaitsForAnOpenTransaction(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		tx, err := w.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := w.list.Set(t.Context(), tx, prices.Set{Operation: "chat", Price: fixed(5)}); err != nil {
			t.Fatal(err)
		}
		done := make(chan prices.Version, 1)
		go func() {
			v, err := w.list.Set(t.Context(), w.db, prices.Set{Operation: "chat", Price: fixed(6)})
			wantErr(t, "the one that waits", err, nil)
			done <- v
		}()
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if v := <-done; v.Number != 2 {
			t.Errorf("version %d", v.Number)
		}
		same(t, "in effect", "2 for 6", w.costs(t, "", t0))
	})
}

func TestSet_ProcessesCountWithoutGaps(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const n = 20
		var got []int
		for _, out := range dbtest.Processes(t, 2, "set", dbtest.DSN(w.db), strconv.Itoa(n)) {
			for _, s := range strings.Fields(out) {
				v, err := strconv.Atoi(s)
				if err != nil {
					t.Fatal(out, err)
				}
				got = append(got, v)
			}
		}
		slices.Sort(got)
		want := make([]int, 2*n)
		for i := range want {
			want[i] = i + 1
		}
		same(t, "the numbers", want, got)
	})
}
