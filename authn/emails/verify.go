package emails

import (
	"context"
	"net/http"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Verify shows that a user reads the mail of their address.
type Verify struct {
	Token Token
	// User is who is signed in, by what only the user has: the password, or a session
	// that began with it. The token must be this user's. Who was let in for the address
	// alone, by an identity provider or a link, is not meant: see the package comment.
	User tenancy.UserID
}

// Verify uses the token up and marks the address as verified, in the audit log too.
// The user is signed in, so that whoever gets a mail because somebody else signed up
// with their address gives nothing to that stranger by following the link. Nothing
// ends that the user has made: whoever has both the mail and the password is one person.
//
// It returns ErrNoToken.
func (e *Emails) Verify(ctx context.Context, db bun.IDB, v Verify) (tenancy.User, error) {
	var out tenancy.User
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		row, _, err := e.find(ctx, db, KindVerification, v.Token)
		if err == nil && row.User != v.User {
			err = ErrNoToken
		}
		if err != nil {
			return err
		}
		if err := e.use(ctx, db, row); err != nil {
			return err
		}
		out, err = e.proven(ctx, db, row)
		return err
	})
	if err != nil {
		return tenancy.User{}, err
	}
	return out, nil
}

// Require lets through who has a verified address, behind a middleware that enters:
// the user, or the one on whose rights a key or a token acts. An operator, a job and a
// key on nobody's rights have no address and pass. Everybody else gets
// tenancy.ErrUnverified, from Config.OnError. It asks the database each time.
func (e *Emails) Require(db *bun.DB) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user := behind(tenancy.From(r.Context())); user != "" {
				if err := e.accounts.RequireVerified(r.Context(), db, user); err != nil {
					e.cfg.OnError(w, r, err)
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

// behind is the user on whose rights a request acts, if it is one's.
func behind(s tenancy.Scope) tenancy.UserID {
	switch {
	case s.Delegation != nil:
		return s.Delegation.User
	case s.Actor.Kind == tenancy.ActorUser:
		return tenancy.UserID(s.Actor.ID)
	}
	return ""
}
