package credits_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestEntries_SayWhoDidIt(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		key := tenancy.Actor{Kind: tenancy.ActorKey, ID: "key_1"}
		desk := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "desk"}
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g", Actor: desk})
		spent := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 3, Key: "d", Actor: key})
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1})
		refund(t, l, db, credits.Refund{Account: acc, Entry: spent.Number, Key: "r", Actor: desk})
		page, err := l.Entries(t.Context(), db, credits.Entries{Account: acc})
		if err != nil {
			t.Fatal(err)
		}
		var who []tenancy.Actor
		for _, e := range page.Entries {
			who = append(who, e.Actor)
		}
		if d := cmp.Diff([]tenancy.Actor{desk, {}, key, desk}, who); d != "" {
			t.Error(d)
		}
		// Who asks again is not part of what a key stands for.
		again := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 3, Key: "d", Actor: desk})
		if !again.Replayed || again.Actor != key {
			t.Errorf("%+v", again)
		}
	})
}

func TestActors_AreWholeOrRefused(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 10)
		before := rows(t, db)
		for _, bad := range []tenancy.Actor{{Kind: tenancy.ActorKey}, {ID: "key_1"}, {Kind: tenancy.ActorKey, ID: "a\x00"}} {
			_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1, Key: "d", Actor: bad})
			requireError(t, err, credits.ErrInvalid)
			_, err = l.Refund(t.Context(), db, credits.Refund{Account: acc, Entry: 1, Key: "r", Actor: bad})
			requireError(t, err, credits.ErrInvalid)
		}
		if d := cmp.Diff(before, rows(t, db)); d != "" {
			t.Error(d)
		}
	})
}

// Nobody who chooses keys can take one that a seed or a payment will need.
func TestKeys_OfTheLibraryCannotBeTaken(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 10)
		for _, key := range []string{"quitrent:seed", "quitrent:transfer:trf_1", "quitrent:"} {
			_, err := l.Deduct(t.Context(), db, credits.Deduct{Account: acc, Amount: 1, Key: key})
			requireError(t, err, credits.ErrInvalid)
			_, err = l.Refund(t.Context(), db, credits.Refund{Account: acc, Entry: 1, Key: key})
			requireError(t, err, credits.ErrInvalid)
		}
		deduct(t, l, db, credits.Deduct{Account: acc, Amount: 1, Key: "seed"})
		if _, err := l.Seed(t.Context(), db, credits.Seed{Account: acc, Amount: 7}); err != nil {
			t.Error(err)
		}
	})
}

// A customer sees that an operator did it, and not who.
func TestHandler_NamesNoOperator(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g", Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_secret"}})
		w := httptest.NewRecorder()
		ctx := tenancytest.Context(t, tenancy.Scope{Account: acc})
		l.Handler(db).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/credits/entries", nil))
		if body := w.Body.String(); w.Code != 200 || strings.Contains(body, "op_secret") || !strings.Contains(body, `"kind":"operator"`) {
			t.Errorf("%d %s", w.Code, body)
		}
	})
}
