package credits_test

import (
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/creditstest"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/internal/id"
)

func BenchmarkDeduct(b *testing.B) {
	for name, open := range map[string]func(b *testing.B) *bun.DB{
		"sqlite":   func(b *testing.B) *bun.DB { return dbtest.SQLite(b, credits.Migrate) },
		"postgres": func(b *testing.B) *bun.DB { return dbtest.Postgres(b, credits.Migrate) },
	} {
		for _, keyed := range []bool{false, true} {
			label := name + "/bare"
			if keyed {
				label = name + "/key"
			}
			b.Run(label, func(b *testing.B) {
				const funds = 1 << 40
				db, l, n := open(b), credits.New(credits.Config{}), int64(0)
				fund(b, l, db, funds)
				for b.Loop() {
					d := credits.Deduct{Account: acc, Amount: 3}
					if keyed {
						d.Key = id.New("k")
					}
					if _, err := l.Deduct(b.Context(), db, d); err != nil {
						b.Fatal(err)
					}
					n++
				}
				creditstest.RequireBalance(b, l, db, acc, funds-3*n)
				creditstest.RequireSound(b, l, db, acc)
			})
		}
	}
}
