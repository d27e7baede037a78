package emails

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/opaque"
	"github.com/quitrent/quitrent/tenancy"
)

// Kind is what a mail and the token in it are for.
type Kind string

// The kinds of this package.
const (
	KindVerification Kind = "email_verification"
	KindReset        Kind = "password_reset"
)

// window is the time in which the mails to one user are counted.
const window = time.Hour

// Issued is a token and, this once, its text. Formatting, logging and encoding/json
// leave that out.
type Issued struct {
	Kind Kind
	// User is whose token it is; it is for a mail to User.Email and for nobody else.
	User      tenancy.User
	ExpiresAt time.Time
	Token     Token
}

// String says what it is for and whose it is.
func (i Issued) String() string { return string(i.Kind) + " of " + string(i.User.ID) }

// Format implements fmt.Formatter: no verb shows the token, nor the address.
func (i Issued) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, i.String()) }

// LogValue implements slog.LogValuer.
func (i Issued) LogValue() slog.Value { return slog.StringValue(i.String()) }

// IssueVerification makes a token that verifies a user's address.
type IssueVerification struct{ User tenancy.UserID }

// IssueVerification makes the only token with which the user's address can be
// verified from the commit on: older ones end. What it returns is the one copy, for a
// host that mails by a queue of its own; SendVerification does both.
//
// It returns tenancy.ErrNoUser, ErrVerified, and ErrTooMany, with the time to wait.
func (e *Emails) IssueVerification(ctx context.Context, db bun.IDB, i IssueVerification) (Issued, error) {
	user, err := e.accounts.User(ctx, db, i.User)
	if err != nil {
		return Issued{}, err
	}
	if !user.VerifiedAt.IsZero() {
		return Issued{}, ErrVerified
	}
	return e.issue(ctx, db, user, KindVerification, e.cfg.VerificationLifetime)
}

// IssueReset makes a token that sets a user's password.
type IssueReset struct{ Email string }

// IssueReset makes the only token with which the password of the user with this
// address can be reset from the commit on: older ones end. What it returns is the one
// copy, for a host that mails by a queue of its own; SendReset does both. Whoever
// calls it lets nobody see which of these it was, or how long it took: tenancy.ErrNoUser
// for an address that is no user's, ErrTooMany, or a token.
func (e *Emails) IssueReset(ctx context.Context, db bun.IDB, i IssueReset) (Issued, error) {
	user, err := e.accounts.UserByEmail(ctx, db, i.Email)
	if err != nil {
		return Issued{}, err
	}
	return e.issue(ctx, db, user, KindReset, e.cfg.ResetLifetime)
}

type tokenRow struct {
	bun.BaseModel `bun:"table:authn_email_tokens,alias:t"`

	User      tenancy.UserID `bun:"user_id,pk"`
	Kind      Kind           `bun:"kind,pk"`
	Hash      string         `bun:"token_hash,nullzero"`
	EmailKey  string         `bun:"email_key"`
	ExpiresAt time.Time      `bun:"expires_at"`
	Since     time.Time      `bun:"since"`
	Issued    int64          `bun:"issued"`
}

// issue puts a new token into the place of the user's last one, unless there were
// enough of them. That is one statement, so that two at once are counted as two.
func (e *Emails) issue(ctx context.Context, db bun.IDB, user tenancy.User, kind Kind, lifetime time.Duration) (Issued, error) {
	_, key, err := tenancy.ParseEmail(user.Email)
	if err != nil {
		return Issued{}, tenancy.ErrNoUser // one that was erased has no address
	}
	now, token := e.now(), Token(opaque.New())
	hash, _ := token.hash()
	fresh := now.Add(-window) // what began until then is over
	res, err := db.NewRaw(`INSERT INTO authn_email_tokens (user_id, kind, token_hash, email_key, expires_at, since, issued)
		VALUES (?, ?, ?, ?, ?, ?, 1)
		ON CONFLICT (user_id, kind) DO UPDATE SET token_hash = EXCLUDED.token_hash, email_key = EXCLUDED.email_key, expires_at = EXCLUDED.expires_at,
			issued = CASE WHEN authn_email_tokens.since <= ? THEN 1 ELSE authn_email_tokens.issued + 1 END,
			since = CASE WHEN authn_email_tokens.since <= ? THEN EXCLUDED.since ELSE authn_email_tokens.since END
		WHERE authn_email_tokens.since <= ? OR authn_email_tokens.issued < ?`,
		user.ID, kind, hash, key, now.Add(lifetime), now, fresh, fresh, fresh, e.cfg.MostPerHour).Exec(ctx)
	if err != nil {
		return Issued{}, err
	}
	if n, err := res.RowsAffected(); err != nil {
		return Issued{}, err
	} else if n == 0 {
		return Issued{}, e.wait(ctx, db, user.ID, kind, now)
	}
	return Issued{Kind: kind, User: user, ExpiresAt: now.Add(lifetime), Token: token}, nil
}

// wait is ErrTooMany with the time until the next one.
func (e *Emails) wait(ctx context.Context, db bun.IDB, user tenancy.UserID, kind Kind, now time.Time) error {
	var row tokenRow
	err := db.NewSelect().Model(&row).Column("since").Where("user_id = ? AND kind = ?", user, kind).Scan(ctx)
	if err != nil {
		return err
	}
	return tooMany{ErrTooMany, row.Since.Add(window).Sub(now)}
}
