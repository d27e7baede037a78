package authn_test

import (
	"context"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
)

// shown is the credential that a header's value is.
func shown(header string, account tenancy.AccountID) authn.Credential {
	scheme, value, _ := strings.Cut(header, " ")
	return authn.Credential{Scheme: strings.ToLower(scheme), Value: value, Account: account}
}

// M12: an account is entered without a request, by the same credentials.
func TestM12_EnterNeedsNoTransport(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, bob := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		key := h.issue(t, ada)
		person := basic("ada@example.com", goodPassword)
		byKey, byPassword := tenancy.Actor{Kind: tenancy.ActorKey, ID: string(key.Key.ID)}, userOf(ada)
		for what, c := range map[string]struct {
			credential authn.Credential
			need       tenancy.Capability
			actor      tenancy.Actor
			err        error
		}{
			"none":                         {authn.Credential{}, 0, tenancy.Actor{}, authn.ErrNoCredential},
			"an account alone":             {authn.Credential{Account: ada.Account.ID}, 0, tenancy.Actor{}, authn.ErrNoCredential},
			"a key":                        {shown("Bearer "+key.Secret, ""), 0, byKey, nil},
			"a key, its account":           {shown("Bearer "+key.Secret, ada.Account.ID), 0, byKey, nil},
			"a key, another account":       {shown("Bearer "+key.Secret, bob.Account.ID), 0, tenancy.Actor{}, tenancy.ErrNoAccount},
			"a key that asks for too much": {shown("Bearer "+key.Secret, ""), tenancy.MintKeys, tenancy.Actor{}, tenancy.ErrForbidden},
			"a wrong key":                  {shown("Bearer "+key.Secret+"x", ""), 0, tenancy.Actor{}, authn.ErrBadCredential},
			"a key without a scheme":       {authn.Credential{Value: key.Secret}, 0, tenancy.Actor{}, authn.ErrBadCredential},
			"a scheme of nobody":           {authn.Credential{Scheme: "digest", Value: key.Secret}, 0, tenancy.Actor{}, authn.ErrBadCredential},
			"a scheme in capitals":         {authn.Credential{Scheme: "Bearer", Value: key.Secret}, 0, tenancy.Actor{}, authn.ErrBadCredential},
			"a password":                   {shown(person, ""), tenancy.MintKeys, byPassword, nil},
			"a password, its account":      {shown(person, ada.Account.ID), 0, byPassword, nil},
			"a password, another account":  {shown(person, bob.Account.ID), 0, tenancy.Actor{}, tenancy.ErrNoAccount},
			"a password, no account's id":  {shown(person, "\x00\xff"), 0, tenancy.Actor{}, tenancy.ErrNoAccount},
			"a wrong password":             {shown(basic("ada@example.com", "wrong password"), ada.Account.ID), 0, tenancy.Actor{}, authn.ErrBadCredential},
		} {
			ctx, err := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, h.passwords).Enter(t.Context(), h.db, c.credential, c.need)
			wantErr(t, what, err, c.err)
			if c.err != nil {
				if ctx != nil {
					t.Errorf("%s: a context with a refusal", what)
				}
				continue
			}
			if s := tenancy.From(ctx); s.Account != ada.Account.ID || s.Actor != c.actor {
				t.Errorf("%s: entered %s as %+v", what, s.Account, s.Actor)
			}
		}
		if _, err := h.accounts.Suspend(t.Context(), h.db, tenancy.Suspend{Account: ada.Account.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []authn.Credential{shown("Bearer "+key.Secret, ""), shown(person, "")} {
			_, err := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, h.passwords).Enter(t.Context(), h.db, c, 0)
			wantErr(t, "a suspended account", err, tenancy.ErrSuspended)
		}
	})
}

func TestEnter_JoinsATransactionByKeyAlone(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		key := h.issue(t, h.register(t, "ada@example.com"))
		err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, h.passwords).Enter(ctx, tx, shown(basic("ada@example.com", goodPassword), ""), 0)
			if err == nil || !strings.Contains(err.Error(), "outside of transactions") {
				t.Errorf("a password: %v", err)
			}
			_, err = authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, h.passwords).Enter(ctx, tx, shown("Bearer "+key.Secret, ""), 0)
			return err
		})
		wantErr(t, "a key", err, nil)
	})
}
