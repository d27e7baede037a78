package prices_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/credits/prices"
	"github.com/quitrent/quitrent/internal/sqlite"
)

// A price changes, and an entry of before is explained by the price of before.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "app.db")) // a host opens its own
	check(err)
	defer func() { _ = db.Close() }()
	check(credits.Migrate(ctx, db))

	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	list := prices.New(prices.Config{Now: func() time.Time { return now }})
	chat := prices.Price{Components: []prices.Component{
		{Input: "input_tokens", Credits: 3, Per: 1000},
		{Input: "output_tokens", Credits: 15, Per: 1000},
	}, Minimum: 1}
	v, err := list.Set(ctx, db, prices.Set{Operation: "chat", Price: chat})
	check(err)
	fmt.Println("version", v.Number)
	v, err = list.Set(ctx, db, prices.Set{Operation: "chat", Price: prices.Price{Fixed: 9}, EffectiveAt: now.AddDate(0, 1, 0)})
	check(err)
	fmt.Println("version", v.Number)

	ask := prices.Quote{Account: "shop-7", Operation: "chat", Inputs: map[string]int64{"input_tokens": 1200, "output_tokens": 70}}
	march, err := list.Quote(ctx, db, ask)
	check(err)
	fmt.Println(march.Amount, march.Basis)
	now = now.AddDate(0, 1, 0)
	april, err := list.Quote(ctx, db, ask)
	check(err)
	fmt.Println(april.Amount, april.Basis)

	why, err := list.Explain(ctx, db, prices.Explain{Account: "shop-7", Basis: march.Basis})
	check(err)
	fmt.Println(why.Text)
	fmt.Println("agrees:", why.Agrees)

	_, err = list.Quote(ctx, db, prices.Quote{Operation: "video"})
	fmt.Println(errors.Is(err, prices.ErrNoPrice))
	// Output:
	// version 1
	// version 2
	// 5 {"amount":5,"inputs":{"input_tokens":1200,"output_tokens":70},"operation":"chat","version":1}
	// 9 {"amount":9,"operation":"chat","version":2}
	// chat, version 1 of the price: 1200 input_tokens at 3 credits per 1000 + 70 output_tokens at 15 credits per 1000 = 4.65, rounded up: 5 credits
	// agrees: true
	// true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
