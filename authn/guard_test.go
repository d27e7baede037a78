package authn_test

import (
	"context"
	"net/netip"
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

// A browser keeps a password that it was asked for and sends it along from any page.
func TestGuard_ABasicCredentialFromAnotherSiteIsRefused(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.register(t, "ada@example.com")
		server := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, h.passwords).Middleware(h.db, 0)(whoami)
		person := []string{"Authorization", basic("ada@example.com", goodPassword)}
		for what, c := range map[string]struct {
			method  string
			headers []string
			want    int
		}{
			"a program":             {"POST", nil, 200},
			"another site's form":   {"POST", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
			"an old browser's form": {"POST", []string{"Origin", "https://evil.example"}, 403},
			"another site's link":   {"GET", []string{"Sec-Fetch-Site", "cross-site"}, 200},
			"another site's socket": {"GET", []string{"Sec-Fetch-Site", "cross-site", "Upgrade", "websocket"}, 403},
			"the service's page":    {"POST", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		} {
			if w := serve(server, request(c.method, "/", "", append(c.headers, person...)...)); w.Code != c.want {
				t.Errorf("%s: %d %s", what, w.Code, w.Body)
			}
		}
	})
}

// A key that is bound to addresses is asked for the client's, not for the proxy's.
func TestM12_KeysMiddleware_LooksBehindTheProxy(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		proxy := netip.MustParsePrefix("10.0.0.0/8")
		keys, err := authn.New(h.accounts, authn.Config{Peppers: []authn.Pepper{pepper("a")}, Now: h.clock.Now, TrustedProxies: []netip.Prefix{proxy}})
		if err != nil {
			t.Fatal(err)
		}
		r := h.register(t, "ada@example.com")
		key, err := keys.Issue(t.Context(), h.db, authn.Issue{
			Account: r.Account.ID, Name: "a key", Actor: userOf(r), Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		})
		if err != nil {
			t.Fatal(err)
		}
		for from, want := range map[string]int{"192.0.2.9": 200, "203.0.113.66": 403} {
			q := request("GET", "/", "", "Authorization", "Bearer "+key.Secret, "X-Forwarded-For", from)
			q.RemoteAddr = "10.0.0.1:80"
			if w := serve(keys.Middleware(h.db, 0)(whoami), q); w.Code != want {
				t.Errorf("%s: %d %s", from, w.Code, w.Body)
			}
		}
	})
}
