package emails

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/mailed"
	"github.com/quitrent/quitrent/tenancy"
)

// Message is what a user is to be told, in the host's own words.
type Message struct {
	// Kind is KindVerification or KindReset: one function of the host may send other
	// messages too.
	Kind Kind
	// To is the address, as the user typed it.
	To string
	// Locale is the language that was asked for, as a tag of BCP 47; maybe "".
	Locale string
	// User's name is whoever signed up's own choice: show it as text, if at all.
	User      tenancy.User
	ExpiresAt time.Time
	Token     Token
}

// notifyFor is how long a mail may take.
const notifyFor = 30 * time.Second

// SendVerification mails a user a link with which to verify the address.
type SendVerification struct {
	User tenancy.UserID
	// Locale is handed to Config.Notify.
	Locale string
}

// SendVerification is IssueVerification, and Config.Notify once the token is
// committed. An event is a good place to call it: that somebody has signed up, which
// tenancy delivers once that is committed.
//
// It returns what IssueVerification returns, tenancy.ErrInvalid for what is no locale,
// and the error of Config.Notify, after which it may be called again.
func (e *Emails) SendVerification(ctx context.Context, db *bun.DB, s SendVerification) error {
	issued, err := e.prepare(ctx, db, s)
	if err != nil {
		return err
	}
	if err := e.notify(ctx, issued, s.Locale); err != nil {
		return fmt.Errorf("emails: %s: %w", issued, err)
	}
	return nil
}

func (e *Emails) prepare(ctx context.Context, db *bun.DB, s SendVerification) (Issued, error) {
	e.mustNotify()
	if err := checkLocale(s.Locale); err != nil {
		return Issued{}, err
	}
	return e.IssueVerification(ctx, db, IssueVerification{User: s.User})
}

// SendReset mails the user with an address, if there is one, a link with which to set
// a new password.
type SendReset struct {
	Email string
	// Locale is handed to Config.Notify.
	Locale string
}

// SendReset begins with it and returns: nobody learns from the answer or from how long
// it took whether the address is a user's, whether there were enough mails already, or
// whether one could be sent; the last is in the log. So is a request that is dropped
// because too many wait for their turn: an answer that said so would tell users, whose
// mails take long, from others. Who stops the program calls Wait.
//
// It returns tenancy.ErrInvalid for what is no address or no locale.
func (e *Emails) SendReset(ctx context.Context, db *bun.DB, s SendReset) error {
	e.mustNotify()
	if _, _, err := tenancy.ParseEmail(s.Email); err != nil {
		return err
	}
	if err := checkLocale(s.Locale); err != nil {
		return err
	}
	select {
	case e.room <- struct{}{}:
	default:
		slog.ErrorContext(ctx, "quitrent: a mail for a reset was not sent", "err", "too many are on their way, or the program stops")
		return nil
	}
	go func() {
		defer func() { <-e.room }()
		e.turns <- struct{}{}
		defer func() { <-e.turns }()
		e.sendReset(context.WithoutCancel(ctx), db, s)
	}()
	return nil
}

// sendReset runs behind the answer, where nobody catches a panic and nobody learns of
// an error but the log.
func (e *Emails) sendReset(ctx context.Context, db *bun.DB, s SendReset) {
	ctx, cancel := context.WithTimeout(ctx, notifyFor)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			slog.ErrorContext(ctx, "quitrent: a mail for a reset was not sent", "panic", fmt.Sprintf("%T", p))
		}
	}()
	issued, err := e.IssueReset(ctx, db, IssueReset{Email: s.Email})
	switch {
	case errors.Is(err, tenancy.ErrNoUser), errors.Is(err, ErrTooMany):
	case err != nil:
		slog.ErrorContext(ctx, "quitrent: a mail for a reset was not sent", "err", err)
	default:
		_ = e.notify(ctx, issued, s.Locale)
	}
}

// notify hands the token to the host. What a mail server says often has the address in
// it, so the host logs that, if it wants to.
func (e *Emails) notify(ctx context.Context, i Issued, locale string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), notifyFor)
	defer cancel()
	err := e.cfg.Notify(ctx, Message{Kind: i.Kind, To: i.User.Email, Locale: locale, User: i.User, ExpiresAt: i.ExpiresAt, Token: i.Token})
	if err != nil {
		slog.WarnContext(ctx, "quitrent: a mail was not sent", "kind", string(i.Kind), "user", i.User.ID, "err", fmt.Sprintf("%T", err))
	}
	return err
}

// Wait returns when the mails that SendReset has begun are sent or have failed, or
// with the error of ctx. It is for the end of a program, after its server has stopped:
// meanwhile SendReset drops what it is asked for.
func (e *Emails) Wait(ctx context.Context) error {
	e.waits.Lock()
	defer e.waits.Unlock()
	taken := 0
	defer func() {
		for range taken {
			<-e.room
		}
	}()
	for range cap(e.room) {
		select {
		case e.room <- struct{}{}:
			taken++
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (e *Emails) mustNotify() {
	if e.cfg.Notify == nil {
		panic("emails: what sends needs Config.Notify: nobody would get the token")
	}
}

// checkLocale lets through what can be a tag of BCP 47.
func checkLocale(s string) error {
	if !mailed.IsLocale(s) {
		return fmt.Errorf("%w: a locale is a tag such as de or pt-BR", tenancy.ErrInvalid)
	}
	return nil
}
