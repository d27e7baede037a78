// Package service is the small service that every adapter puts its framework in front
// of: accounts on a trial, their keys, their pace and their credits.
package service

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/examples/catalogue"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/throttle"
)

// Service is what an adapter needs of Quitrent.
type Service struct {
	DB       *bun.DB
	Accounts *tenancy.Accounts
	Keys     *authn.Keys
	Guard    *authn.Guard
	Limiter  *throttle.Limiter
	Ledger   *credits.Ledger

	// Hello is what every adapter's handler answers with: it finds the account that
	// was let in.
	Hello func(ctx context.Context) string
}

// New makes the service on a database that Migrate has seen. Its keys work as long as
// it runs.
func New(ctx context.Context, db *bun.DB, now func() time.Time) (*Service, error) {
	ledger := credits.New(credits.Config{Now: now})
	accounts := tenancy.New(tenancy.Config{Now: now, OnRegister: []tenancy.Hook{ledger.OnRegister}})
	pepper := make([]byte, 32) // in production it comes from where your secrets are
	_, _ = rand.Read(pepper)
	keys, err := authn.New(accounts, authn.Config{Now: now, Peppers: []authn.Pepper{{ID: "1", Secret: pepper}}})
	if err != nil {
		return nil, err
	}
	if _, err := accounts.Ensure(ctx, db, catalogue.FreeTrial()); err != nil {
		return nil, err
	}
	return &Service{
		DB: db, Accounts: accounts, Keys: keys, Ledger: ledger,
		Guard:   authn.NewGuard(accounts, authn.GuardConfig{}, keys),
		Limiter: throttle.New(throttle.Config{Now: now}),
		Hello:   func(ctx context.Context) string { return "hello, " + string(tenancy.From(ctx).Account) },
	}, nil
}

// Migrate makes the tables.
func Migrate(ctx context.Context, db *bun.DB) error {
	if err := credits.Migrate(ctx, db); err != nil {
		return err
	}
	return authn.Migrate(ctx, db)
}

// SignUp makes an account on a plan, and a key for it.
func (s *Service) SignUp(ctx context.Context, email, plan string) (tenancy.AccountID, string, error) {
	r, err := s.Accounts.Register(ctx, s.DB, tenancy.Register{Name: email, Email: email, Plan: plan})
	if err != nil {
		return "", "", err
	}
	actor := tenancy.Actor{Kind: tenancy.ActorUser, ID: string(r.User.ID)}
	key, err := s.Keys.Issue(ctx, s.DB, authn.Issue{Account: r.Account.ID, Name: "first", Actor: actor})
	return r.Account.ID, key.Secret, err
}
