package authn_test

import (
	"context"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/changes"
	"github.com/quitrent/quitrent/tenancy"
)

const oldKey = "sk_0123456789abcdef~/+"

func (h *house) imported(t *testing.T, cfg authn.ImportedConfig) *authn.Imported {
	t.Helper()
	if cfg.Hash == nil {
		cfg.Hash = authn.SHA256Hex
	}
	m, err := authn.NewImported(h.keys, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// takeOver imports key for the account of r, to act on its owner's rights for a month.
func (h *house) takeOver(t *testing.T, r tenancy.Registered, key string, change ...func(*authn.Import)) authn.Key {
	t.Helper()
	i := authn.Import{
		Account: r.Account.ID, Hash: authn.SHA256Hex(key), Name: "old key", EndsAt: t0.AddDate(0, 1, 0), Maker: r.User.ID, Actor: operator, Reason: "the move",
	}
	for _, c := range change {
		c(&i)
	}
	made, err := h.keys.Import(t.Context(), h.db, i)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func bearer(key string) authn.Credential { return authn.Credential{Scheme: "bearer", Value: key} }

func TestM18_AKeyOfTheOldSystemWorksUntilItsEnd(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada, bob := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		m := h.imported(t, authn.ImportedConfig{})
		guard := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, h.passwords, m)
		key := h.takeOver(t, ada, oldKey, func(i *authn.Import) { i.CreatedAt = t0.AddDate(-2, 0, 0) })
		h.takeOver(t, bob, oldKey+"B")
		server := guard.Middleware(h.db, 0)(whoami)
		for what, c := range map[string]struct {
			headers []string
			status  int
		}{
			"bearer":             {[]string{"Authorization", "Bearer " + oldKey}, 200},
			"X-API-Key":          {[]string{"X-API-Key", oldKey}, 200},
			"its account":        {[]string{"X-API-Key", oldKey, "X-Account-ID", string(ada.Account.ID)}, 200},
			"another's account":  {[]string{"X-API-Key", oldKey, "X-Account-ID", string(bob.Account.ID)}, 404},
			"another text":       {[]string{"X-API-Key", oldKey + "x"}, 401},
			"its hash":           {[]string{"X-API-Key", authn.SHA256Hex(oldKey)}, 401},
			"short":              {[]string{"X-API-Key", "sk_0123456789ab"}, 401},
			"long":               {[]string{"X-API-Key", strings.Repeat("k", 201)}, 401},
			"with a blank":       {[]string{"Authorization", "Bearer " + oldKey + " x"}, 401},
			"another scheme":     {[]string{"Authorization", "Token " + oldKey}, 401},
			"a key of ours":      {[]string{"X-API-Key", h.issue(t, ada).Secret}, 200},
			"a password of ours": {[]string{"Authorization", basic("ada@example.com", goodPassword)}, 200},
		} {
			w := serve(server, request("GET", "/", "", c.headers...))
			if w.Code != c.status {
				t.Errorf("%s: %d %s", what, w.Code, w.Body)
			}
		}
		w := serve(server, request("GET", "/", "", "X-API-Key", oldKey))
		if want := string(ada.Account.ID) + " key " + string(key.ID); w.Body.String() != want {
			t.Errorf("entered %s, want %s", w.Body, want)
		}
		keys, err := h.keys.List(t.Context(), h.db, authn.List{Account: ada.Account.ID})
		if err != nil || len(keys) != 2 {
			t.Fatal(keys, err)
		}
		want := authn.Key{
			Account: ada.Account.ID, ID: key.ID, Name: "old key", Env: "live", CreatedBy: userOf(ada), Maker: ada.User.ID,
			Scopes: []tenancy.Permission{}, CreatedAt: t0.AddDate(-2, 0, 0),
		}
		if d := cmp.Diff(want, keys[1], cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
			t.Errorf("listed (-want +got):\n%s", d)
		}
		secrets, err := h.keys.Secrets(t.Context(), h.db, ada.Account.ID, key.ID)
		if err != nil || len(secrets) != 1 || !secrets[0].ExpiresAt.Equal(t0.AddDate(0, 1, 0)) {
			t.Errorf("secrets %+v, %v", secrets, err)
		}
		h.clock.Set(t0.AddDate(0, 1, 0).Add(-time.Microsecond))
		_, err = m.Authenticate(t.Context(), h.db, bearer(oldKey))
		wantErr(t, "before its end", err, nil)
		h.clock.Set(t0.AddDate(0, 1, 0))
		_, err = m.Authenticate(t.Context(), h.db, bearer(oldKey))
		wantErr(t, "at its end", err, authn.ErrBadCredential)
	})
}

func TestM6_AnImportedKeyIsRefusedLikeEveryOther(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		m := h.imported(t, authn.ImportedConfig{})
		guard := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, m)
		enter := func(key string) error {
			c := bearer(key)
			c.Addr = place(1)
			_, err := guard.Enter(t.Context(), h.db, c, 0)
			return err
		}
		key := func(name string, change ...func(*authn.Import)) (string, authn.Key) {
			text := strings.Repeat(name, 16/len(name)+1)
			made := h.takeOver(t, r, text, change...)
			return text, made
		}
		revoked, made := key("revoked")
		wantErr(t, "before", enter(revoked), nil)
		if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: r.Account.ID, Key: made.ID, Actor: userOf(r)}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "a revoked key", enter(revoked), authn.ErrBadCredential)

		secret, made := key("secret")
		secrets, err := h.keys.Secrets(t.Context(), h.db, r.Account.ID, made.ID)
		if err != nil || len(secrets) != 1 {
			t.Fatal(secrets, err)
		}
		err = h.keys.RevokeSecret(t.Context(), h.db, authn.RevokeSecret{Account: r.Account.ID, Key: made.ID, Secret: secrets[0].ID, Actor: userOf(r)})
		wantErr(t, "revoke the old text", err, nil)
		wantErr(t, "a revoked secret", enter(secret), authn.ErrBadCredential)

		rotated, made := key("rotated")
		ours, err := h.keys.Rotate(t.Context(), h.db, authn.Rotate{Account: r.Account.ID, Key: made.ID, Actor: userOf(r), Overlap: time.Hour})
		wantErr(t, "rotate", err, nil)
		wantErr(t, "the old text, while it overlaps", enter(rotated), nil)
		wantErr(t, "the new one", enter(ours.Secret), nil)
		h.clock.Advance(time.Hour)
		wantErr(t, "the old text, after that", enter(rotated), authn.ErrBadCredential)
		wantErr(t, "the new one", enter(ours.Secret), nil)

		bound, _ := key("bound", func(i *authn.Import) { i.Addresses = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")} })
		wantErr(t, "from elsewhere", enter(bound), authn.ErrAddress)
		reader, _ := key("reader", func(i *authn.Import) { i.May = tenancy.Read })
		wantErr(t, "for more than it may", enter(reader), tenancy.ErrForbidden)
		orphan, _ := key("orphan", func(i *authn.Import) { i.Maker = "usr_gone" })
		wantErr(t, "of nobody here", enter(orphan), authn.ErrOrphaned)
		service, _ := key("service", func(i *authn.Import) { i.Maker = "" })
		wantErr(t, "of the service", enter(service), nil)

		h.exec(t, "UPDATE tenancy_plans SET limits = '{\"key_days\":1}'")
		h.clock.Advance(25 * time.Hour)
		wantErr(t, "older than the plan lets one be", enter(service), authn.ErrBadCredential)
		h.exec(t, "UPDATE tenancy_plans SET limits = '{}'")
		if _, err := h.accounts.Suspend(t.Context(), h.db, tenancy.Suspend{Account: r.Account.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "of a suspended account", enter(service), tenancy.ErrSuspended)
		_ = h.db.Close()
		if err := enter(service); err == nil || strings.Contains(err.Error(), "credential") {
			t.Errorf("the database is away: %v", err)
		}
	})
}

func TestImport_RefusalsWriteNothing(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r, closed := h.register(t, "ada@example.com"), h.register(t, "bob@example.com")
		if _, err := h.accounts.Close(t.Context(), h.db, tenancy.Close{Account: closed.Account.ID, Actor: userOf(closed)}); err != nil {
			t.Fatal(err)
		}
		h.takeOver(t, r, oldKey)
		good := authn.Import{Account: r.Account.ID, Hash: authn.SHA256Hex("another key, longer"), Name: "n", EndsAt: t0.Add(time.Hour), Actor: operator}
		h.unchanged(t, "the refusals", func() {
			for what, c := range map[string]struct {
				change func(i *authn.Import)
				want   error
			}{
				"imported already":  {func(i *authn.Import) { i.Hash = authn.SHA256Hex(oldKey) }, authn.ErrImported},
				"by another":        {func(i *authn.Import) { i.Hash, i.Account = authn.SHA256Hex(oldKey), "acc_none" }, tenancy.ErrNoAccount},
				"no account":        {func(i *authn.Import) { i.Account = "acc_none" }, tenancy.ErrNoAccount},
				"no account's id":   {func(i *authn.Import) { i.Account = "a\x00" }, tenancy.ErrNoAccount},
				"a closed account":  {func(i *authn.Import) { i.Account = closed.Account.ID }, tenancy.ErrNoAccount},
				"no hash":           {func(i *authn.Import) { i.Hash = "" }, tenancy.ErrInvalid},
				"an odd hash":       {func(i *authn.Import) { i.Hash = strings.Repeat("ä", 16) }, tenancy.ErrInvalid},
				"a long hash":       {func(i *authn.Import) { i.Hash = strings.Repeat("a", 201) }, tenancy.ErrInvalid},
				"no name":           {func(i *authn.Import) { i.Name = " " }, tenancy.ErrInvalid},
				"no end":            {func(i *authn.Import) { i.EndsAt = time.Time{} }, tenancy.ErrInvalid},
				"an end that is by": {func(i *authn.Import) { i.EndsAt = t0 }, tenancy.ErrInvalid},
				"no maker's id":     {func(i *authn.Import) { i.Maker = "\xff" }, tenancy.ErrInvalid},
				"no environment":    {func(i *authn.Import) { i.Env = "prod" }, tenancy.ErrInvalid},
				"too much":          {func(i *authn.Import) { i.May = tenancy.Pay }, tenancy.ErrInvalid},
				"an odd scope":      {func(i *authn.Import) { i.Scopes = []tenancy.Permission{"a b"} }, tenancy.ErrInvalid},
				"by nobody":         {func(i *authn.Import) { i.Actor = tenancy.Actor{} }, tenancy.ErrInvalid},
				"by a customer":     {func(i *authn.Import) { i.Actor = userOf(r) }, tenancy.ErrForbidden},
			} {
				i := good
				c.change(&i)
				// In a host's transaction, which it leaves usable.
				err := h.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
					_, err := h.keys.Import(ctx, tx, i)
					wantErr(t, what, err, c.want)
					_, err = tx.NewRaw("SELECT 1").Exec(ctx)
					return err
				})
				wantErr(t, what+", the transaction", err, nil)
			}
		})
	})
}

func TestImported_IsOneStatementAndLeavesOthersTheirs(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		h.takeOver(t, r, oldKey)
		m := h.imported(t, authn.ImportedConfig{})
		for key, want := range map[string]error{oldKey: nil, oldKey + "x": authn.ErrBadCredential} {
			asked := &queries{}
			_, err := m.Authenticate(t.Context(), h.db.WithQueryHook(asked), bearer(key))
			wantErr(t, key, err, want)
			if len(asked.said) != 1 {
				t.Errorf("%s: %d statements", key, len(asked.said))
			}
		}
		for what, c := range map[string]authn.Credential{
			"a key of ours": bearer(h.issue(t, r).Secret), "what begins like one": bearer("qr_live_0123456789"), "too short": bearer("sk_0123456789ab"),
			"a long token": bearer(strings.Repeat("e", 201)), "a password": shown(basic("ada@example.com", goodPassword), ""), "nothing": {},
			"another scheme": {Scheme: "token", Value: oldKey}, "no ASCII": bearer("schlüssel-schlüssel"),
		} {
			_, err := m.Authenticate(t.Context(), nil, c) // a nil database panics when it is asked
			wantErr(t, what, err, authn.ErrNoCredential)
		}
		tokens := h.imported(t, authn.ImportedConfig{Schemes: []string{"token", "api-key"}})
		_, err := tokens.Authenticate(t.Context(), h.db, authn.Credential{Scheme: "token", Value: oldKey})
		wantErr(t, "a scheme of the old system", err, nil)
		_, err = tokens.Authenticate(t.Context(), nil, bearer(oldKey))
		wantErr(t, "bearer where it is none", err, authn.ErrNoCredential)
	})
}

func TestImported_HashesAsTheOldSystemDid(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.register(t, "ada@example.com")
		for what, c := range map[string]struct {
			hash func(string) string
			kept string // by another program
		}{
			"SHA-256":            {authn.SHA256Hex, "10ef1b051eb9faeb589d9c44463334db3ae84035b431b6fca397c35506b18fc4"},
			"SHA-256 in base 64": {authn.SHA256Base64, "EO8bBR65+utYnZxERjM02zroQDW0Mbb8o5fDVQaxj8Q="},
			"SHA-512":            {authn.SHA512Hex, "d32b7cc3e2d67dd27ee7ac2cebf12ba23c3de9928eb772ef1b3bb5da7314469fd3d0e21971cc06aafff4e86476b44953edc6e117ffdefab928b346baa5017daf"},
			"a host's own":       {func(key string) string { return "own:" + key[:12] }, "own:correcthorse"},
		} {
			h.takeOver(t, r, "", func(i *authn.Import) { i.Hash = c.kept })
			_, err := h.imported(t, authn.ImportedConfig{Hash: c.hash}).Authenticate(t.Context(), h.db, bearer("correcthorsebattery"))
			wantErr(t, what, err, nil)
		}
		_, err := h.imported(t, authn.ImportedConfig{Hash: func(string) string { return "\x00" }}).Authenticate(t.Context(), h.db, bearer(oldKey))
		wantErr(t, "a hash that nothing has", err, authn.ErrBadCredential)
	})
}

func TestNewImported_SaysWhatIsWrong(t *testing.T) {
	keys, err := authn.New(tenancy.New(tenancy.Config{}), authn.Config{Peppers: []authn.Pepper{pepper("a")}})
	if err != nil {
		t.Fatal(err)
	}
	for what, cfg := range map[string]authn.ImportedConfig{
		"no hash": {}, "capitals": {Hash: authn.SHA256Hex, Schemes: []string{"Token"}}, "two words": {Hash: authn.SHA256Hex, Schemes: []string{"a b"}},
		"basic": {Hash: authn.SHA256Hex, Schemes: []string{"basic"}}, "none": {Hash: authn.SHA256Hex, Schemes: []string{""}},
	} {
		if _, err := authn.NewImported(keys, cfg); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

func TestImported_WhatIsRememberedCostsNothingAndEndsWithARevocation(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.accounts = tenancy.New(tenancy.Config{Now: h.clock.Now, RevocationBound: time.Hour})
		h.keys = h.newKeys(t, pepper("a"))
		r := h.register(t, "ada@example.com")
		made := h.takeOver(t, r, oldKey)
		m := h.imported(t, authn.ImportedConfig{})
		feed := h.accounts.Feed()
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { feed.Run(ctx, h.db) })
		defer running.Wait()
		defer stop()
		for !feed.Fresh(h.db, changes.Now()) { // until it has begun
			runtime.Gosched()
		}
		asked := &queries{}
		enter := func(key string) error {
			_, err := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys, m).Enter(t.Context(), h.db.WithQueryHook(asked), bearer(key), 0)
			return err
		}
		for key, want := range map[string]error{oldKey: nil, oldKey + "x": authn.ErrBadCredential} {
			wantErr(t, key, enter(key), want)
			asked.said = nil
			wantErr(t, key, enter(key), want)
			if len(asked.said) != 0 {
				t.Errorf("%s was asked again: %q", key, asked.said)
			}
		}
		if _, err := h.keys.Revoke(t.Context(), h.db, authn.Revoke{Account: r.Account.ID, Key: made.ID, Actor: userOf(r)}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "revoked", enter(oldKey), authn.ErrBadCredential)
	})
}
