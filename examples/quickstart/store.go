package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite" // the database driver is the host's choice

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/tokens"
	"github.com/quitrent/quitrent/billing"
)

// open opens the file so that money is safe in it, and brings its tables up to date.
func open(ctx context.Context, file string) (*bun.DB, error) {
	// The file holds addresses and hashes: only its owner may read it.
	private, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w (is its folder there, and may it be written? another file: -db FILE)", err)
	}
	_ = private.Close()
	name := (&url.URL{Path: file}).EscapedPath()
	pool, err := sql.Open("sqlite", "file:"+name+"?_txlock=immediate&_pragma=busy_timeout(10000)"+
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)")
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1) // SQLite has one writer: here all wait in turn, in its own loop they starve
	db := bun.NewDB(pool, sqlitedialect.New())
	if err := db.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, migrate := range []func(context.Context, *bun.DB) error{authn.Migrate, billing.Migrate, migrateIdeas} {
		if err := migrate(ctx, db); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return db, nil
}

// pepper keeps the secret that API keys are hashed with beside the database, so that
// keys outlive a restart. In production it comes from where your secrets are.
func pepper(file string) (authn.Pepper, error) {
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh)
	draft, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)) // only its owner may read it
	if err != nil {
		return authn.Pepper{}, err
	}
	defer func() { _ = os.Remove(draft.Name()) }()
	_, err = draft.Write(fresh)
	if err := errors.Join(err, draft.Sync(), draft.Close()); err != nil {
		return authn.Pepper{}, err
	}
	// The first one that is complete stays, whoever is started at once or killed.
	if err := os.Link(draft.Name(), file); err != nil && !errors.Is(err, os.ErrExist) {
		return authn.Pepper{}, err
	}
	secret, err := os.ReadFile(file)
	return authn.Pepper{ID: "1", Secret: secret}, err
}

// signingKey is made anew at each start, and under a name of its own: access tokens
// last some minutes, and whoever holds one asks for another. Several processes share one.
func signingKey() (tokens.Key, error) {
	_, private, err := ed25519.GenerateKey(nil)
	return tokens.Key{ID: strings.ToLower(rand.Text()), Private: private}, err
}
