package seals_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/quitrent/quitrent/internal/sqlite"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/seals"
)

// Somebody with the owner's rights changes a line that was sealed.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "app.db")) // a host opens its own
	check(err)
	defer func() { _ = db.Close() }()
	check(tenancy.Migrate(ctx, db))
	s := seals.New(seals.Config{})

	for _, amount := range []string{"10", "20"} {
		check(tenancy.Record(ctx, db, tenancy.Audit{
			Account: "acc_1", At: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC),
			Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"}, Action: "host.refund", Target: "invoice_" + amount,
		}))
	}
	head, err := s.Seal(ctx, db, "acc_1")
	check(err)
	fmt.Println(head.Number, "lines are sealed")
	report, err := s.Verify(ctx, db, "acc_1", head)
	check(err)
	fmt.Println("sound:", report.Sound())

	for _, q := range []string{"DROP TRIGGER tenancy_audit_no_update", "UPDATE tenancy_audit SET actor_id = 'op_2' WHERE target = 'invoice_20'"} {
		_, err = db.ExecContext(ctx, q)
		check(err)
	}
	report, err = s.Verify(ctx, db, "acc_1", head)
	check(err)
	fmt.Println("sound:", report.Sound())
	for _, f := range report.Findings {
		fmt.Println("seal", f.Number, "is broken:", f.Rule)
	}
	// Output:
	// 2 lines are sealed
	// sound: true
	// sound: false
	// seal 2 is broken: a seal is the hash of its line and of the seal before
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
