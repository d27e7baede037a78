package tokens_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/tokens"
	"github.com/quitrent/quitrent/tenancy"
)

// part is v as a part of a token.
func part(v any) string {
	var b []byte
	switch v := v.(type) {
	case []byte:
		b = v
	case string:
		b = []byte(v)
	default:
		b, _ = json.Marshal(v)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// signed is a token with any header and payload.
func signed(key ed25519.PrivateKey, header, payload any) string {
	text := part(header) + "." + part(payload)
	return text + "." + part(ed25519.Sign(key, []byte(text)))
}

// said is the payload of a token.
func said(t *testing.T, token string) map[string]any {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

const ourHeader = `{"alg":"EdDSA","kid":"a","typ":"at+jwt"}`

func TestAuthenticate_RefusesWhatWeDidNotMake(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		good := h.mint(t, tokens.Mint{Credential: h.session}).Token
		body := said(t, good)
		with := func(change map[string]any) string {
			m := maps.Clone(body)
			for k, v := range change {
				if m[k] = v; v == nil {
					delete(m, k)
				}
			}
			return signed(signer("a"), ourHeader, m)
		}
		wantErr(t, "the token", h.check(t, good), nil)
		wantErr(t, "the same, signed again", h.check(t, with(nil)), nil)

		parts := strings.Split(good, ".")
		unsigned := parts[0] + "." + parts[1] + "."
		mac := hmac.New(sha256.New, signer("a").Public().(ed25519.PublicKey))
		hs := part(`{"alg":"HS256","kid":"a","typ":"at+jwt"}`) + "." + parts[1]
		mac.Write([]byte(hs))
		last := good[len(good)-1:]
		loose := string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[strings.Index("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", last)+1])
		now := t0.Unix()
		for what, token := range map[string]string{
			"no signature":            unsigned,
			"two parts":               parts[0] + "." + parts[1],
			"four parts":              good + ".x",
			"an empty part":           parts[0] + ".." + parts[2],
			"its header alone":        parts[0],
			"alg none":                part(`{"alg":"none","kid":"a","typ":"at+jwt"}`) + "." + parts[1] + ".",
			"the public key as a mac": hs + "." + part(mac.Sum(nil)),
			"another payload":         parts[0] + "." + part(body) + "." + parts[2],
			"another's signature":     parts[0] + "." + parts[1] + "." + strings.Split(signed(signer("b"), ourHeader, body), ".")[2],
			"another's key":           signed(signer("b"), ourHeader, body),
			"a key that is not":       signed(signer("a"), `{"alg":"EdDSA","kid":"b","typ":"at+jwt"}`, body),
			"no key":                  signed(signer("a"), `{"alg":"EdDSA","typ":"at+jwt"}`, body),
			"no typ":                  signed(signer("a"), `{"alg":"EdDSA","kid":"a"}`, body),
			"another typ":             signed(signer("a"), `{"alg":"EdDSA","kid":"a","typ":"JWT"}`, body),
			"crit":                    signed(signer("a"), `{"alg":"EdDSA","crit":["exp"],"kid":"a","typ":"at+jwt"}`, body),
			"a key of its own":        signed(signer("a"), `{"alg":"EdDSA","jwk":{},"kid":"a","typ":"at+jwt"}`, body),
			"alg twice":               signed(signer("a"), `{"alg":"EdDSA","alg":"EdDSA","kid":"a","typ":"at+jwt"}`, body),
			"loose base64":            good[:len(good)-1] + loose,
			"padding":                 good + "==",
			"a line end":              good + "\n",
			"spaces in front":         " " + good,
			"no JSON":                 signed(signer("a"), ourHeader, "x"),
			"null":                    signed(signer("a"), ourHeader, "null"),
			"too long":                with(map[string]any{"more": strings.Repeat("x", tokens.MaxToken)}),
			"another issuer":          with(map[string]any{"iss": "https://evil.example.com"}),
			"no issuer":               with(map[string]any{"iss": nil}),
			"another audience":        with(map[string]any{"aud": []string{"https://other.example.com"}}),
			"no audience":             with(map[string]any{"aud": nil}),
			"no end":                  with(map[string]any{"exp": nil}),
			"over":                    with(map[string]any{"exp": now - 6}),
			"not yet":                 with(map[string]any{"nbf": now + 7}),
			"made in the future":      with(map[string]any{"iat": now + 7}),
			"a time that is none":     with(map[string]any{"exp": "soon"}),
			"to sign in":              with(map[string]any{"cap": "sign_in+read"}),
			"to mint keys":            with(map[string]any{"cap": "read+mint_keys"}),
			"a capability unknown":    with(map[string]any{"cap": "read+fly"}),
			"no capability":           with(map[string]any{"cap": ""}),
			"an operator":             with(map[string]any{"act": map[string]any{"kind": "operator", "sub": "op_1"}}),
			"the system":              with(map[string]any{"act": map[string]any{"kind": "system", "sub": "job"}}),
			"no actor":                with(map[string]any{"act": nil}),
			"no account":              with(map[string]any{"acct": nil}),
			"a user without scopes":   with(map[string]any{"scope": nil}),
			"a key without scopes":    with(map[string]any{"act": map[string]any{"kind": "key", "sub": "k"}, "scope": nil}),
			"another's rights":        with(map[string]any{"user": "usr_other"}),
			"an epoch behind":         with(map[string]any{"epochs": map[string]any{"acct": -1}}),
			"an epoch ahead":          with(map[string]any{"epochs": map[string]any{"acct": 1}}),
			"a user's epoch ahead":    with(map[string]any{"epochs": map[string]any{"user": 1}}),
		} {
			err := h.check(t, token)
			wantErr(t, what, err, authn.ErrBadCredential)
			if err != nil && err.Error() != authn.ErrBadCredential.Error() && !strings.Contains(err.Error(), "this takes another kind of credential") {
				t.Errorf("%s: %v", what, err)
			}
		}
		for what, c := range map[string]authn.Credential{
			"nothing": {}, "another scheme": {Scheme: "basic", Value: good}, "a key": bearer("qr_live_x"), "dots": bearer("..."),
		} {
			_, err := h.tokens.Authenticate(t.Context(), h.db, c)
			wantErr(t, what, err, authn.ErrNoCredential)
		}
	})
}

func TestAuthenticate_TheClocksMayDifferALittle(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		made := h.mint(t, tokens.Mint{Credential: h.session, Lifetime: time.Minute})
		exact := h.make(t, tokens.Config{Leeway: -1})
		wide := h.make(t, tokens.Config{Leeway: 30 * time.Second})
		for _, tc := range []struct {
			at                   time.Duration
			usual, exact, widest bool
		}{
			{-31 * time.Second, false, false, false}, {-30 * time.Second, false, false, true}, {-5 * time.Second, true, false, true},
			{0, true, true, true}, {time.Minute - 1, true, true, true}, {time.Minute, true, false, true},
			{65 * time.Second, false, false, true}, {90 * time.Second, false, false, false},
		} {
			h.clock.Set(t0.Truncate(time.Second).Add(tc.at))
			for _, who := range []struct {
				tokens *tokens.Tokens
				good   bool
			}{{h.tokens, tc.usual}, {exact, tc.exact}, {wide, tc.widest}} {
				_, err := who.tokens.Authenticate(t.Context(), h.db, bearer(made.Token))
				if (err == nil) != who.good {
					t.Errorf("%v after it was made: %v, want %t", tc.at, err, who.good)
				}
			}
		}
	})
}

func TestAuthenticate_TheKeyTurnsWithoutARefusal(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, b := tokens.Key{ID: "a", Private: signer("a")}, tokens.Key{ID: "b", Private: signer("b")}
		onlyVerifies := tokens.Key{ID: "a", Public: signer("a").Public().(ed25519.PublicKey)}
		before := h.make(t, tokens.Config{Keys: []tokens.Key{a}})
		known := h.make(t, tokens.Config{Keys: []tokens.Key{a, b}})
		turned := h.make(t, tokens.Config{Keys: []tokens.Key{b, onlyVerifies}})
		after := h.make(t, tokens.Config{Keys: []tokens.Key{b}})
		for _, tc := range []struct {
			what      string
			makes, by *tokens.Tokens
			want      error
		}{
			{"old, known", before, known, nil}, {"known, old", known, before, nil}, {"known, turned", known, turned, nil},
			{"turned, known", turned, known, nil}, {"turned, after", turned, after, nil},
			{"turned, old", turned, before, authn.ErrNoCredential}, {"old, after", before, after, authn.ErrNoCredential},
		} {
			made, err := tc.makes.Mint(t.Context(), h.db, tokens.Mint{Credential: h.session})
			if err != nil {
				t.Fatal(err)
			}
			_, err = tc.by.Authenticate(t.Context(), h.db, bearer(made.Token))
			wantErr(t, tc.what, err, tc.want)
		}
	})
}

// queries counts what the database is asked.
type queries struct{ n int }

func (q *queries) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }
func (q *queries) AfterQuery(context.Context, *bun.QueryEvent)                        { q.n++ }

func TestAuthenticate_AsksTheDatabaseForNoForgery(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		good := h.mint(t, tokens.Mint{Credential: h.session}).Token
		q := &queries{}
		db := h.db.WithQueryHook(q)
		for _, token := range []string{signed(signer("b"), ourHeader, said(t, good)), good + "x", "a.b.c", signed(signer("a"), ourHeader, "{}")} {
			if _, err := h.guard.Check(t.Context(), db, bearer(token), 0); err == nil {
				t.Errorf("%s is taken", token)
			}
		}
		if q.n != 0 {
			t.Errorf("%d questions", q.n)
		}
		_, err := h.guard.Check(t.Context(), db, bearer(good), 0)
		wantErr(t, "the token", err, nil)
		if q.n == 0 {
			t.Error("no question: the count is wrong")
		}
	})
}

func TestAuthenticate_WithoutTheDatabaseNothingIsSaid(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		good := h.mint(t, tokens.Mint{Credential: h.session}).Token
		_ = h.db.Close()
		for what, err := range map[string]error{"checking": h.check(t, good), "making": func() error {
			_, err := h.tokens.Mint(t.Context(), h.db, tokens.Mint{Credential: h.session})
			return err
		}()} {
			if w := serve(h.refusing(err), request("GET", "/", "")); w.Code != 503 {
				t.Errorf("%s: %d %v", what, w.Code, err)
			}
		}
	})
}

func TestNew_RefusesWhatCannotBeRight(t *testing.T) {
	accounts := tenancy.New(tenancy.Config{})
	from := authn.NewGuard(accounts, authn.GuardConfig{})
	key := tokens.Key{ID: "a", Private: signer("a")}
	pub := func(s string) ed25519.PublicKey { return signer(s).Public().(ed25519.PublicKey) }
	broken := bytes.Clone(signer("a"))
	broken[40]++
	for what, tc := range map[string]struct {
		change func(c *tokens.Config)
		says   string
	}{
		"no issuer":             {func(c *tokens.Config) { c.Issuer = "" }, "Issuer"},
		"no audience":           {func(c *tokens.Config) { c.Audience = "" }, "Audience"},
		"no keys":               {func(c *tokens.Config) { c.Keys = nil }, "empty"},
		"a key without id":      {func(c *tokens.Config) { c.Keys[0].ID = "" }, "made of"},
		"an odd id":             {func(c *tokens.Config) { c.Keys[0].ID = "A b" }, "made of"},
		"an id twice":           {func(c *tokens.Config) { c.Keys = append(c.Keys, tokens.Key{ID: "a", Public: pub("b")}) }, "two keys"},
		"half a key":            {func(c *tokens.Config) { c.Keys[0].Private = key.Private[:32] }, "no Ed25519 key"},
		"a broken key":          {func(c *tokens.Config) { c.Keys[0].Private = broken }, "no Ed25519 key"},
		"a pair that is none":   {func(c *tokens.Config) { c.Keys[0].Public = pub("b") }, "of two keys"},
		"half a public key":     {func(c *tokens.Config) { c.Keys = append(c.Keys, tokens.Key{ID: "b", Public: pub("b")[:31]}) }, "public part"},
		"nothing to sign with":  {func(c *tokens.Config) { c.Keys[0] = tokens.Key{ID: "a", Public: pub("a")} }, "sign with"},
		"a long life":           {func(c *tokens.Config) { c.Lifetime = tokens.MaxLifetime + 1 }, "lifetime"},
		"a short life":          {func(c *tokens.Config) { c.Lifetime = time.Second - 1 }, "lifetime"},
		"clocks that differ":    {func(c *tokens.Config) { c.Leeway = 31 * time.Second }, "leeway"},
		"nothing that is wrong": {func(*tokens.Config) {}, ""},
	} {
		cfg := tokens.Config{Issuer: issuer, Audience: audience, Keys: []tokens.Key{key}, From: from}
		tc.change(&cfg)
		_, err := tokens.New(accounts, cfg)
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// No token and no private key shows in a formatted value, an error or a log.
func TestSecrets_ShowNowhere(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var out bytes.Buffer
		old := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
		defer slog.SetDefault(old)

		made := h.mint(t, tokens.Mint{Credential: h.session})
		key := tokens.Key{ID: "a", Private: signer("a")}
		for _, v := range []any{
			made, &made, key, &key, []any{made, key}, struct {
				M tokens.Minted
				K tokens.Key
			}{made, key}, h.tokens, *h.tokens, tokens.Mint{Credential: bearer(made.Token)}, tokens.Config{Keys: []tokens.Key{key}},
		} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				fmt.Fprintf(&out, verb+"\n", v)
			}
			slog.Info("spill", "v", v)
			_ = json.NewEncoder(&out).Encode(v)
		}
		parts := strings.Split(made.Token, ".")
		for _, token := range []string{made.Token, made.Token + "x", parts[0] + "." + parts[1] + "." + parts[2][1:], parts[0] + "." + parts[1]} {
			h.clock.Advance(time.Hour)
			fmt.Fprintln(&out, h.check(t, token))
			_, err := h.tokens.Mint(t.Context(), h.db, tokens.Mint{Credential: bearer(token)})
			fmt.Fprintln(&out, err)
			w := serve(h.tokens.Handler(h.db), request("POST", "/token", "{}", "Authorization", "Bearer "+token))
			fmt.Fprintln(&out, w.Code, w.Header(), w.Body)
		}
		_ = h.db.Close()
		fmt.Fprintln(&out, h.check(t, made.Token))
		for _, secret := range []string{parts[1][:40], parts[2][:40], strings.Repeat("a", 16), strings.Repeat("61", 16), strings.Repeat("97 ", 16), part(bytes.Repeat([]byte("a"), 30))} {
			if i := strings.Index(out.String(), secret); i >= 0 {
				t.Errorf("%q shows: …%s", secret, out.String()[max(0, i-200):i+80])
			}
		}
	})
}
