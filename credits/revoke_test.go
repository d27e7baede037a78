package credits_test

import (
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestRevoke_TakesBackWhatIsNeitherSpentNorHeld(t *testing.T) {
	bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger) {
		fund(t, l, db, 10)
		grant(t, l, db, credits.Grant{Account: acc, Amount: 5, Key: "other", Priority: 9})
		spent := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 3})
		held := hold(t, l, db, credits.Hold{Account: acc, Amount: 2})
		r := credits.Revoke{Account: acc, Entry: 1, Key: "rv", Note: "charged back"}
		for i := range 2 {
			e, err := l.Revoke(t.Context(), db, r)
			if err != nil || e.Amount != -5 || e.Kind != credits.KindRevoke || e.Replayed != (i > 0) {
				t.Fatalf("%+v, %v", e, err)
			}
		}
		tenancytest.RequireEvent[credits.Revoked](t, db, acc)
		tenancytest.RequireAudit(t, db, acc, "credits.revoke")
		requireBalance(t, l, db, credits.Balance{Booked: 7, Held: 2, Spendable: 5})
		settle(t, l, db, credits.Settle{Account: acc, Hold: held.ID, Amount: 1})
		// What comes back into the grant can be taken back too.
		refund(t, l, db, credits.Refund{Account: acc, Entry: spent.Number, Key: "back"})
		e, err := l.Revoke(t.Context(), db, credits.Revoke{Account: acc, Entry: 1, Key: "rv 2"})
		if err != nil || e.Amount != -4 {
			t.Fatalf("%+v, %v", e, err)
		}
		_, err = l.Revoke(t.Context(), db, credits.Revoke{Account: acc, Entry: 1, Key: "rv 3"})
		requireError(t, err, credits.ErrNothingLeft)
		_, err = l.Revoke(t.Context(), db, credits.Revoke{Account: acc, Entry: spent.Number, Key: "rv 4"})
		requireError(t, err, credits.ErrNothingLeft)
		_, err = l.Revoke(t.Context(), db, credits.Revoke{Account: acc, Entry: 99, Key: "rv 5"})
		requireError(t, err, credits.ErrNoEntry)
		_, err = l.Revoke(t.Context(), db, credits.Revoke{Account: acc, Entry: 2, Key: "rv"})
		requireError(t, err, credits.ErrKeyReused)
		_, err = l.Revoke(t.Context(), db, credits.Revoke{Account: other, Entry: 1, Key: "rv"})
		requireError(t, err, credits.ErrNoEntry)
		creditstest.RequireBalance(t, l, db, acc, 5)
		creditstest.RequireSound(t, l, db, acc)
	})
}

// What a refund gave back in the place of a grant that had expired is not what was granted.
func TestRevoke_TakesBackNoRefund(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, _ *credits.Ledger, clock *tenancytest.Clock) {
		l := credits.New(credits.Config{Now: clock.Now, RefundGrace: time.Hour})
		grant(t, l, db, credits.Grant{Account: acc, Amount: 5, Key: "g", ExpiresAt: start.Add(time.Minute)})
		spent := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 5})
		clock.Advance(time.Minute)
		back := refund(t, l, db, credits.Refund{Account: acc, Entry: spent.Number, Key: "back"})
		_, err := l.Revoke(t.Context(), db, credits.Revoke{Account: acc, Entry: back.Number, Key: "rv"})
		requireError(t, err, credits.ErrNothingLeft)
		creditstest.RequireBalance(t, l, db, acc, 5)
	})
}

func TestUnits_AreLedgersOfTheirOwn(t *testing.T) {
	each(t, func(t *testing.T, db *bun.DB, l *credits.Ledger, clock *tenancytest.Clock) {
		seconds := credits.New(credits.Config{Now: clock.Now, Unit: "gpu_second", Exponent: 3})
		fund(t, l, db, 10)
		grant(t, seconds, db, credits.Grant{Account: acc, Amount: 7000, Key: "seconds"})
		deduct(t, seconds, db, credits.Deduct{Account: acc, Amount: 1500, Key: "render"})
		if e := deduct(t, l, db, credits.Deduct{Account: acc, Amount: 4, Key: "ideas"}); e.Number != 2 || e.Balance != 6 {
			t.Errorf("%+v", e)
		}
		creditstest.RequireBalance(t, l, db, acc, 6)
		creditstest.RequireBalance(t, seconds, db, acc, 5500)
		_, err := seconds.Refund(t.Context(), db, credits.Refund{Account: acc, Entry: 3, Key: "r"})
		requireError(t, err, credits.ErrNoEntry)
		refund(t, seconds, db, credits.Refund{Account: acc, Entry: 2, Key: "r2"})
		creditstest.RequireBalance(t, seconds, db, acc, 7000)
		creditstest.RequireSound(t, l, db, acc)
		creditstest.RequireSound(t, seconds, db, acc)
	})
	for _, cfg := range []credits.Config{{Unit: "GPU second"}, {Unit: "a'b"}, {Exponent: -1}, {Exponent: 10}, {Overdraft: -1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v is taken", cfg)
				}
			}()
			credits.New(cfg)
		}()
	}
}
