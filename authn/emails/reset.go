package emails

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Reset gives a user another password, or the first one. Formatting, logging and
// encoding/json leave the token and the password out.
type Reset struct {
	Token Token
	// Password is the new one, as it was typed.
	Password string `json:"-"`
}

// String says what it is.
func (Reset) String() string { return "reset of a password" }

// Format implements fmt.Formatter: no verb shows the password.
func (r Reset) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue implements slog.LogValuer.
func (r Reset) LogValue() slog.Value { return slog.StringValue(r.String()) }

// errInTransaction is a mistake of the program: the password is hashed before the
// transaction, which takes tens of milliseconds.
var errInTransaction = errors.New("emails: a password is hashed outside of transactions: pass the *bun.DB")

// Reset uses the token up and stores the password, with everything that follows from
// it in one transaction: Config.AfterReset, the address is verified, what processes
// remember of the user is true no more, and a line in the installation's audit log. If
// the address was not verified before, the invitations and the offers of an ownership
// that the user sent are taken back, the keys that the user made or took over end, and
// Config.FirstProof runs: until now the user may have been somebody else. Of several
// with one token one hashes at a time in this process, and the next begins when it is
// done. db must not be a transaction.
//
// It returns ErrNoToken; authn.ErrWeakPassword, after which the token still works; and
// the errors of the hooks as they are.
func (e *Emails) Reset(ctx context.Context, db bun.IDB, r Reset) (tenancy.User, error) {
	if !tx.Owns(db) {
		return tenancy.User{}, errInTransaction
	}
	hash, ok := r.Token.hash()
	if !ok {
		return tenancy.User{}, ErrNoToken
	}
	done, err := e.inUse.Take(ctx, hash)
	if err != nil {
		return tenancy.User{}, err
	}
	defer done()
	row, user, err := e.find(ctx, db, KindReset, r.Token)
	if err != nil {
		return tenancy.User{}, err
	}
	store, err := e.passwords.PrepareSet(ctx, user, r.Password)
	if err != nil {
		return tenancy.User{}, err
	}
	var out tenancy.User
	err = tx.Join(ctx, db, func(db bun.IDB) (err error) {
		out, err = e.reset(ctx, db, row, store)
		return err
	})
	if err != nil {
		return tenancy.User{}, err
	}
	return out, nil
}

// reset begins with what locks accounts. A token that somebody else has used
// meanwhile undoes all of it.
func (e *Emails) reset(ctx context.Context, db bun.IDB, row tokenRow, store func(context.Context, bun.IDB) error) (tenancy.User, error) {
	user, err := e.accounts.User(ctx, db, row.User)
	if err != nil {
		return tenancy.User{}, gone(err)
	}
	if err := e.endWhatWas(ctx, db, user); err != nil {
		return tenancy.User{}, err
	}
	if err := e.use(ctx, db, row); err != nil {
		return tenancy.User{}, err
	}
	if err := store(ctx, db); err != nil {
		return tenancy.User{}, err
	}
	if user, err = e.proven(ctx, db, row); err != nil {
		return tenancy.User{}, err
	}
	return user, tenancy.Record(ctx, db, tenancy.Audit{At: e.now(), Actor: actor(user.ID), Action: "authn.reset_password", Target: string(user.ID)})
}

// endWhatWas ends what the old password opened and, if the user may have been
// somebody else until now, what that one made.
func (e *Emails) endWhatWas(ctx context.Context, db bun.IDB, user tenancy.User) error {
	if user.VerifiedAt.IsZero() {
		const reason = "made before the e-mail address was verified"
		_, err := e.accounts.RevokeSentBy(ctx, db, tenancy.RevokeSentBy{User: user.ID, Actor: actor(user.ID), Reason: reason})
		if err != nil {
			return err
		}
		if e.cfg.Keys != nil {
			_, err := e.cfg.Keys.RevokeMadeBy(ctx, db, authn.RevokeMadeBy{User: user.ID, Actor: actor(user.ID), Reason: reason})
			if err != nil {
				return err
			}
		}
		if err := run(ctx, db, e.cfg.FirstProof, user.ID); err != nil {
			return err
		}
	}
	// After every account, and before anything else of the user's, as everybody does.
	if err := e.accounts.Changed(ctx, db, user.ID.Subject()); err != nil {
		return err
	}
	return run(ctx, db, e.cfg.AfterReset, user.ID)
}

func run(ctx context.Context, db bun.IDB, hooks []Hook, user tenancy.UserID) error {
	for _, hook := range hooks {
		if hook == nil {
			continue
		}
		if err := hook(ctx, db, user); err != nil {
			return err
		}
	}
	return nil
}
