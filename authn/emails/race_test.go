package emails_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/emails"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

func TestVerify_TwoProcessesUseATokenOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		token := h.verification(t, h.ada.User.ID).Token
		used := strings.Join(dbtest.Processes(t, 2, "verify", dbtest.DSN(h.db), string(token), string(h.ada.User.ID)), "")
		if used != "." || len(h.lines(t, "tenancy.verify_email")) != 1 {
			t.Errorf("%q verified, %v", used, h.lines(t, "tenancy.verify_email"))
		}
	})
}

func TestReset_TwoProcessesUseATokenOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.issue(t, h.ada)
		token := h.resetToken(t, "ada@example.com").Token
		used := strings.Join(dbtest.Processes(t, 2, "reset", dbtest.DSN(h.db), string(token)), "")
		if used != "." || len(h.lines(t, "authn.reset_password")) != 1 {
			t.Errorf("%q reset, %v", used, h.lines(t, "authn.reset_password"))
		}
		opens := 0
		for i := range 5 {
			if h.signIn(t, "ada@example.com", fmt.Sprint(newPassword, i)) == nil {
				opens++
			}
		}
		if opens != 1 {
			t.Errorf("%d passwords open", opens)
		}
	})
}

func verifyChild(ctx context.Context, db *bun.DB, args []string) error {
	accounts := tenancy.New(tenancy.Config{Now: childNow})
	mails := emails.New(accounts, authn.NewPasswords(accounts, authn.PasswordConfig{Now: childNow}), emails.Config{Now: childNow})
	return five(func(int) error {
		_, err := mails.Verify(ctx, db, emails.Verify{Token: emails.Token(args[0]), User: tenancy.UserID(args[1])})
		return err
	})
}

func resetChild(ctx context.Context, db *bun.DB, args []string) error {
	accounts := tenancy.New(tenancy.Config{Now: childNow})
	keys, err := authn.New(accounts, authn.Config{Peppers: []authn.Pepper{{ID: "a", Secret: []byte(strings.Repeat("a", 32))}}, Now: childNow})
	if err != nil {
		return err
	}
	mails := emails.New(accounts, authn.NewPasswords(accounts, authn.PasswordConfig{Now: childNow}), emails.Config{Now: childNow, Keys: keys})
	return five(func(i int) error {
		_, err := mails.Reset(ctx, db, emails.Reset{Token: emails.Token(args[0]), Password: fmt.Sprint(newPassword, i)})
		return err
	})
}

// five runs fn five times at once and prints a dot for each success.
func five(fn func(i int) error) error {
	for _, err := range dbtest.Together(5, fn) {
		switch {
		case err == nil:
			fmt.Print(".")
		case !errors.Is(err, emails.ErrNoToken):
			return err
		}
	}
	return nil
}
