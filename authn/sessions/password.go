package sessions

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/clientaddr"
	"github.com/quitrent/quitrent/internal/mailed"
	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// Kind is what a message is about.
type Kind string

// KindPasswordChanged is for a person whose password was changed in a session.
const KindPasswordChanged Kind = "password_changed"

// Message is what a person is to be told, in the host's own words.
type Message struct {
	// Kind is KindPasswordChanged: one function of the host may send other messages too.
	Kind Kind
	// To is the address, as the person typed it.
	To string
	// Locale is the language that was asked for, as a tag of BCP 47; maybe "".
	Locale string
	// User's name is the person's own choice: show it as text, if at all.
	User tenancy.User
	At   time.Time
	// Addr and UserAgent are those of whoever did it. Neither proves anything.
	Addr      netip.Addr
	UserAgent string
}

// changePassword is behind a session that is open. What follows from the change is in its
// transaction: a token that was replaced or revoked meanwhile changes nothing.
func (s *Sessions) changePassword(w http.ResponseWriter, r *http.Request, db *bun.DB, passwords *authn.Passwords, in Session, token Token) error {
	var body struct {
		Current  string `json:"current"`
		Password string `json:"password"`
		Locale   string `json:"locale"`
	}
	if err := problem.Decode(w, r, &body); err != nil {
		return err
	}
	if !mailed.IsLocale(body.Locale) {
		return fmt.Errorf("%w: a locale is a tag such as de or pt-BR", tenancy.ErrInvalid)
	}
	var answer struct {
		Session  Session `json:"session"`
		Revoked  int     `json:"revoked"`
		Notified bool    `json:"notified"`
	}
	const reason = "the password was changed"
	addr := clientaddr.Of(r, s.cfg.TrustedProxies)
	var issued Issued
	user, err := passwords.Change(r.Context(), db, authn.ChangePassword{
		User: in.User, Current: body.Current, Password: body.Password, Addr: addr,
		Then: func(ctx context.Context, db bun.IDB, user tenancy.User) (err error) {
			if issued, err = s.Rotate(ctx, db, Rotate{Token: token, Reason: reason}); err != nil {
				return err
			}
			answer.Revoked, err = s.RevokeOthers(ctx, db, RevokeOthers{User: user.ID, Keep: in.ID, Actor: person(user.ID), Reason: reason})
			return err
		},
	})
	if err != nil {
		return err
	}
	s.SetCookie(w, r, issued)
	answer.Session = issued.Session
	answer.Notified = s.notify(r.Context(), Message{
		Kind: KindPasswordChanged, To: user.Email, Locale: body.Locale, User: user, At: issued.Session.SeenAt, Addr: addr, UserAgent: cleaned(r.UserAgent()),
	})
	problem.JSON(w, http.StatusOK, answer)
	return nil
}

// notifyFor is how long a mail may take.
const notifyFor = 30 * time.Second

// notify hands m to the host. What a mail server says often has the address in it, so
// the host logs that, if it wants to.
func (s *Sessions) notify(ctx context.Context, m Message) bool {
	if s.cfg.Notify == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), notifyFor)
	defer cancel()
	err := s.cfg.Notify(ctx, m)
	if err != nil {
		slog.WarnContext(ctx, "quitrent: a mail was not sent", "kind", string(m.Kind), "user", m.User.ID, "err", fmt.Sprintf("%T", err))
	}
	return err == nil
}
