package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// remembered is what many keys take in memory, each of an account of its own, and that
// no more of them are kept than authn.Config.MaxCached says: a fifth more are shown.
func remembered(ctx context.Context, b *bench) error {
	most := b.pick(300_000, 640) // a million take minutes, and as much each
	dir, err := os.MkdirTemp("", "quitrent-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := dbtest.Open("file:" + filepath.Join(dir, "bench.db"))
	if err != nil {
		return err
	}
	defer dbtest.Close(db)
	m := many{db: db, accounts: tenancy.New(tenancy.Config{RevocationBound: time.Minute, MaxCached: most})} // a busy machine must not empty it
	if m.keys, err = authn.New(m.accounts, authn.Config{Peppers: []authn.Pepper{{ID: "1", Secret: manyPepper}}, MaxCached: most}); err != nil {
		return err
	}
	if err := m.fill(ctx, most+most/5); err != nil {
		return err
	}
	running, cancel := context.WithCancel(ctx)
	var run sync.WaitGroup
	run.Go(func() { _ = m.accounts.Run(running, db) })
	defer func() { cancel(); run.Wait() }()

	const first = 100 // pay for what there is one of
	if _, err := m.show(ctx, 0, first); err != nil {
		return err
	}
	before := heap()
	if _, err := m.show(ctx, 0, len(m.texts)); err != nil {
		return err
	}
	bytes := heap() - before
	over, end := context.WithCancel(ctx)
	end() // so that nothing can be read
	held, err := m.show(over, 0, len(m.texts))
	if !errors.Is(err, context.Canceled) || held > most || held < most*9/10 {
		return fmt.Errorf("of at most %d keys %d are remembered: %w", most, held, err)
	}
	each := bytes / held
	b.report(figure{
		name: fmt.Sprintf("guard: memory of a key of %d that are remembered, of %d shown", held, len(m.texts)), bar: 1,
		ours: fmt.Sprintf("%d B", each), baseline: "2048 B", ratio: float64(each) / 2048,
	})
	return nil
}

// many are keys that were never issued: to write what the database has of them is faster.
type many struct {
	db       *bun.DB
	accounts *tenancy.Accounts
	keys     *authn.Keys
	texts    []string
}

var manyPepper = make([]byte, sha256.Size)

func (m *many) fill(ctx context.Context, n int) error {
	if err := authn.Migrate(ctx, m.db); err != nil {
		return err
	}
	if _, err := m.accounts.Ensure(ctx, m.db, tenancy.Plan{Slug: "many", Name: "Many", Active: true, Rate: 50, Burst: 200}); err != nil {
		return err
	}
	return m.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		const numbers = "WITH RECURSIVE n (n) AS (SELECT 1000000000000 UNION ALL SELECT n + 1 FROM n WHERE n < 1000000000000 + ?0 - 1)"
		for _, insert := range []string{
			`INSERT INTO tenancy_accounts (account_id, name, status, plan, owner_id, zone, created_at, updated_at)
				SELECT 'acc_06h1qz7k3m9v8x' || substr(n, 2), 'Somebody', 'active', 'many', '', 'UTC', ?1, ?1 FROM n`,
			`INSERT INTO authn_key_ids (key_id, account_id) SELECT substr(n, 2), 'acc_06h1qz7k3m9v8x' || substr(n, 2) FROM n`,
			`INSERT INTO authn_keys (account_id, key_id, name, env, created_by_kind, created_by_id, created_at)
				SELECT 'acc_06h1qz7k3m9v8x' || substr(n, 2), substr(n, 2), 'a key', 'live', 'operator', 'op_1', ?1 FROM n`,
		} {
			if _, err := tx.NewRaw(numbers+insert, n, epoch).Exec(ctx); err != nil { // sqltext: constants
				return err
			}
		}
		secret, err := tx.Tx.PrepareContext(ctx, `INSERT INTO authn_key_secrets (account_id, key_id, secret_id, pepper_id, hash, created_at)
			VALUES ('acc_06h1qz7k3m9v8x' || $1, $1, '1', '1', $2, '2026-01-01 00:00:00+00:00')`)
		if err != nil {
			return err
		}
		defer func() { _ = secret.Close() }()
		mac := hmac.New(sha256.New, manyPepper)
		for i := range n {
			id := fmt.Sprintf("%012d", i)
			text := "qr_live_" + id + "abcdefghijklmnopqrstuvwxyz0123"
			mac.Reset()
			_, _ = io.WriteString(mac, text)
			if _, err := secret.ExecContext(ctx, id, base64.RawStdEncoding.EncodeToString(mac.Sum(nil))); err != nil { // sqltext: that is prepared, and this its first value
				return err
			}
			m.texts = append(m.texts, text+checksum(text))
		}
		return nil
	})
}

// checksum is the end of a key, as the documentation of package authn says.
func checksum(text string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var b [6]byte
	for n, i := crc32.ChecksumIEEE([]byte(text)), len(b)-1; i >= 0; n, i = n/62, i-1 {
		b[i] = digits[n%62]
	}
	return string(b[:])
}

// show shows those from one to another, half of them at a time, and counts those that
// were let in. The last refusal is the error.
func (m *many) show(ctx context.Context, from, to int) (in int, err error) {
	const hands = 2
	var (
		ins  [hands]int
		errs [hands]error
		all  sync.WaitGroup
	)
	for h := range hands {
		all.Go(func() {
			for i := from + h; i < to; i += hands {
				if _, err := m.keys.Verify(ctx, m.db, m.texts[i], tenancy.Use); err != nil {
					errs[h] = err
				} else {
					ins[h]++
				}
			}
		})
	}
	all.Wait()
	return ins[0] + ins[1], errors.Join(errs[:]...)
}
