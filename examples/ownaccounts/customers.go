package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
)

// schema is what the agency had before.
const schema = `
CREATE TABLE IF NOT EXISTS tiers (
	name TEXT PRIMARY KEY, per_second REAL NOT NULL, at_once BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS customers (
	id INTEGER PRIMARY KEY AUTOINCREMENT, company TEXT NOT NULL, token_hash TEXT NOT NULL UNIQUE,
	standing TEXT NOT NULL, tests_until TIMESTAMP, tier TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS translations (
	customer_id BIGINT NOT NULL REFERENCES customers (id), name TEXT NOT NULL,
	words BIGINT NOT NULL, result TEXT NOT NULL, entry BIGINT NOT NULL, PRIMARY KEY (customer_id, name));
INSERT INTO tiers VALUES ('bureau', 2, 5), ('enterprise', 50, 200) ON CONFLICT DO NOTHING`

type customer struct {
	bun.BaseModel `bun:"table:customers"`

	ID         int64     `bun:"id,pk,autoincrement"`
	Company    string    `bun:"company"`
	TokenHash  string    `bun:"token_hash"`
	Standing   string    `bun:"standing"`
	TestsUntil time.Time `bun:"tests_until,nullzero"`
	Tier       string    `bun:"tier"`
}

// standings says what the agency's words mean. A word that is not here, a new one
// or a slip of the pen, becomes the empty status, which may do nothing.
var standings = map[string]tenancy.Status{
	"testing": tenancy.StatusTrial,
	"good":    tenancy.StatusActive,
	"owing":   tenancy.StatusPastDue,
	"barred":  tenancy.StatusSuspended,
	"gone":    tenancy.StatusClosed,
}

// accountOf is the name under which the library knows a customer.
func accountOf(id int64) tenancy.AccountID { return tenancy.AccountID(strconv.FormatInt(id, 10)) }

// customerOf is the other way round. A customer has one name: 7 is nobody's "07",
// under which there would be a second ledger.
func customerOf(id tenancy.AccountID) (int64, error) {
	n, err := strconv.ParseInt(string(id), 10, 64)
	if err != nil || accountOf(n) != id {
		return 0, tenancy.ErrNoAccount
	}
	return n, nil
}

// load is the tenancy.Loader: it reads the agency's own tables.
func load(ctx context.Context, db bun.IDB, id tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
	n, err := customerOf(id)
	if err != nil {
		return tenancy.State{}, tenancy.Plan{}, err
	}
	var row struct {
		Standing   string
		TestsUntil time.Time `bun:",nullzero"`
		Tier       string
		PerSecond  sql.NullFloat64
		AtOnce     sql.NullInt64
	}
	err = db.NewRaw(`SELECT c.standing, c.tests_until, c.tier, t.per_second, t.at_once
		FROM customers AS c LEFT JOIN tiers AS t ON t.name = c.tier WHERE c.id = ?`, n).Scan(ctx, &row)
	if errors.Is(err, sql.ErrNoRows) {
		return tenancy.State{}, tenancy.Plan{}, tenancy.ErrNoAccount
	}
	if err != nil {
		return tenancy.State{}, tenancy.Plan{}, err
	}
	state := tenancy.State{Status: standings[row.Standing], TrialEndsAt: row.TestsUntil}
	if !row.PerSecond.Valid {
		return state, tenancy.Plan{}, nil // no such tier: refused until it has one
	}
	return state, tenancy.Plan{Slug: row.Tier, Active: true, Rate: row.PerSecond.Float64, Burst: int(row.AtOnce.Int64)}, nil
}

// change is how the back office changes a customer, and the only way: what load reads
// may be remembered, so whatever changes it says so in the same transaction. Who
// changes a tier says so for each of its customers.
func change(ctx context.Context, db *bun.DB, accounts *tenancy.Accounts, id int64, edit func(c *customer)) error {
	return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var c customer
		err := tx.NewSelect().Model(&c).Where("id = ?", id).Scan(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return tenancy.ErrNoAccount
		}
		if err != nil {
			return err
		}
		edit(&c)
		if _, err := tx.NewUpdate().Model(&c).WherePK().Exec(ctx); err != nil {
			return err
		}
		return accounts.Changed(ctx, tx, accountOf(id).Subject())
	})
}

// welcome is what a new customer may spend.
const welcome = 500

// add makes a customer with credits, both or neither, and returns the token.
func add(ctx context.Context, db *bun.DB, ledger *credits.Ledger, c customer) (id int64, token string, err error) {
	token = rand.Text()
	c.TokenHash = hash(token)
	err = db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		c.ID = 0 // the database gives one
		if _, err := tx.NewInsert().Model(&c).Exec(ctx); err != nil {
			return err
		}
		_, err := ledger.Grant(ctx, tx, credits.Grant{
			Account: accountOf(c.ID), Amount: welcome, Key: "welcome", Category: credits.CategoryPromo,
		})
		return err
	})
	return c.ID, token, err
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

type signedInKey struct{}

// signIn is the agency's own authentication, as it was before: it leaves the
// customer's number in the context and knows nothing of standings.
func signIn(db *bun.DB) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			var c customer
			err := db.NewSelect().Model(&c).Where("token_hash = ?", hash(token)).Scan(r.Context())
			switch {
			case errors.Is(err, sql.ErrNoRows):
				w.Header().Set("WWW-Authenticate", "Bearer")
				http.Error(w, "sign in", http.StatusUnauthorized)
			case err != nil:
				tenancy.Refuse(w, r, err)
			default:
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), signedInKey{}, c.ID)))
			}
		})
	}
}

// who hands the customer over to tenancy.Accounts.Middleware.
func who(r *http.Request) (tenancy.AccountID, tenancy.Actor, error) {
	id, ok := r.Context().Value(signedInKey{}).(int64)
	if !ok {
		return "", tenancy.Actor{}, tenancy.ErrForbidden
	}
	account := accountOf(id)
	return account, tenancy.Actor{Kind: tenancy.ActorUser, ID: string(account)}, nil
}
