package authn_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
)

// The hashes of one password, made by Python's hashlib and by libxcrypt.
const foreignPassword = "Ein Pferd, ein Königreich"

var foreignHashes = map[string]string{
	"Django":                  "pbkdf2_sha256$1200$o3mxkQWc0hD1$+jxQN7tm+SJgdeYjgQUkDuJJ7Jc3RnZ/yUfKuOEKuFI=",
	"passlib, SHA-256":        "$pbkdf2-sha256$900$....AAECAwQFBgcICQoLDA$fzHE21QelJl7w4nwAccFibjRRncLj5/L7bFxQfuArCQ",
	"passlib, SHA-512":        "$pbkdf2-sha512$700$....AAECAwQFBgcICQoLDA$tCSsZJ78xIMqy/Y/158XMoYYwyy4kmdBbpSxEXjrhGkPCsoWX68oYHEDXpzEdQdi7DCOPCN3pIJSZelUuoKwkA",
	"PHC, SHA-512":            "$pbkdf2-sha512$i=700,l=32$++++AAECAwQFBgcICQoLDA$tCSsZJ78xIMqy/Y/158XMoYYwyy4kmdBbpSxEXjrhGk",
	"bcrypt 2a":               "$2a$05$abcdefghijklmnopqrstuu2OlBNrjgr.0w9ZvCPY7vvM23JaCSe4O",
	"bcrypt 2b":               "$2b$05$abcdefghijklmnopqrstuu2OlBNrjgr.0w9ZvCPY7vvM23JaCSe4O",
	"bcrypt 2y":               "$2y$05$abcdefghijklmnopqrstuu2OlBNrjgr.0w9ZvCPY7vvM23JaCSe4O",
	"Django's bcrypt":         "bcrypt$$2b$05$abcdefghijklmnopqrstuu2OlBNrjgr.0w9ZvCPY7vvM23JaCSe4O",
	"Django's bcrypt, SHA256": "bcrypt_sha256$$2b$05$abcdefghijklmnopqrstuuCndfOPL/PNTfUmjXLBpS/DmhEkEUE4m",
}

// adopting makes passwords that verify foreign hashes, and counts their work.
func (h *house) adopting(f authn.Foreign) *authn.Stretched {
	h.passwords = authn.NewPasswords(h.accounts, authn.PasswordConfig{
		Now: h.clock.Now, Foreign: f, Limits: authn.PasswordLimits{Pair: authn.Attempts{Burst: 1000, Every: time.Second}, Email: authn.Attempts{Burst: 1000, Every: time.Second}},
	})
	h.computed = authn.Quick(h.passwords)
	return authn.CountStretches(h.passwords)
}

// came over from another system with this hash.
func (h *house) cameWith(t *testing.T, email, hash string) tenancy.User {
	t.Helper()
	user, err := h.accounts.CreateUser(t.Context(), h.db, tenancy.CreateUser{Email: email, Name: "Somebody"})
	if err != nil {
		t.Fatal(err)
	}
	h.exec(t, "INSERT INTO authn_passwords (user_id, hash, updated_at) VALUES (?, ?, ?)", user.ID, hash, t0)
	return user
}

func TestM18_AForeignHashIsReplacedAtTheFirstRightSignIn(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.adopting(authn.Foreign{PBKDF2SHA256: 1200, PBKDF2SHA512: 700, Bcrypt: 5})
		n := 0
		for what, hash := range foreignHashes {
			n++
			email := "user" + string(rune('a'+n)) + "@example.com"
			user := h.cameWith(t, email, hash)
			for _, wrong := range []string{"", "Ein Pferd", foreignPassword + " ", strings.ToUpper(foreignPassword), hash} {
				wantErr(t, what+", a wrong one", h.signIn(t, email, wrong), authn.ErrBadCredential)
			}
			if h.hashOf(t, user.ID) != hash {
				t.Errorf("%s: a wrong password replaced the hash", what)
			}
			wantErr(t, what, h.signIn(t, email, foreignPassword), nil)
			ours := h.hashOf(t, user.ID)
			if !strings.HasPrefix(ours, "$argon2id$v=19$m=19456,t=2,p=1$") {
				t.Errorf("%s: now %s", what, ours)
			}
			wantErr(t, what+", again", h.signIn(t, email, foreignPassword), nil)
			wantErr(t, what+", a wrong one", h.signIn(t, email, "Ein Pferd"), authn.ErrBadCredential)
			if h.hashOf(t, user.ID) != ours {
				t.Errorf("%s: replaced again", what)
			}
		}
	})
}

// The policy is for new passwords: nobody is locked out by the move.
func TestM18_AForeignPasswordThatThePolicyWouldRefuseStillOpens(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.adopting(authn.Foreign{Bcrypt: 4})
		for email, password := range map[string]string{"a@example.com": "secret", "b@example.com": "tab\there", "c@example.com": "e\u0301te\u0301"} {
			hash, err := bcrypt.GenerateFromPassword([]byte(password), 4)
			if err != nil {
				t.Fatal(err)
			}
			h.cameWith(t, email, string(hash))
			for range 2 { // theirs, then ours
				wantErr(t, email, h.signIn(t, email, password), nil)
			}
		}
		empty, err := bcrypt.GenerateFromPassword(nil, 4)
		if err != nil {
			t.Fatal(err)
		}
		h.cameWith(t, "empty@example.com", string(empty))
		for _, nobodys := range []string{"\xff", strings.Repeat("long", 1000)} { // what is not looked at is not the empty one
			wantErr(t, "what is no password", h.signIn(t, "empty@example.com", nobodys), authn.ErrBadCredential)
		}
		wantErr(t, "the accent typed at once, once it is ours", h.signIn(t, "c@example.com", "\u00e9t\u00e9"), nil)
	})
}

// bcrypt looks at 72 bytes, so nobody who was let in before is kept out; from then on
// all of what was typed counts.
func TestM18_BcryptLooksAt72Bytes(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.adopting(authn.Foreign{Bcrypt: 4})
		first := strings.Repeat("ab8d", 18)
		h.cameWith(t, "ada@example.com", "$2b$04$abcdefghijklmnopqrstuulDtDxSdBUu3ZdkxssYMVCiVkbCpZrS6") // of first + "rest"
		wantErr(t, "71 bytes", h.signIn(t, "ada@example.com", first[:71]), authn.ErrBadCredential)
		wantErr(t, "another byte", h.signIn(t, "ada@example.com", first[:71]+"erest"), authn.ErrBadCredential)
		wantErr(t, "all", h.signIn(t, "ada@example.com", first+"rest"), nil)
		wantErr(t, "72 bytes", h.signIn(t, "ada@example.com", first), authn.ErrBadCredential)
		wantErr(t, "all", h.signIn(t, "ada@example.com", first+"rest"), nil)
	})
}

func TestM18_EverybodyCostsTheSameWhileHashesAreAdopted(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		work := h.adopting(authn.Foreign{PBKDF2SHA256: 1500, PBKDF2SHA512: 1000, Bcrypt: 7})
		h.register(t, "ours@example.com")
		for email, hash := range map[string]string{
			"django@example.com": foreignHashes["Django"], "sha512@example.com": foreignHashes["passlib, SHA-512"],
			"bcrypt@example.com": foreignHashes["bcrypt 2b"], "digest@example.com": foreignHashes["Django's bcrypt, SHA256"],
			"dear@example.com": strings.Replace(foreignHashes["Django"], "$1200$", "$1501$", 1), "odd@example.com": "garbage",
			"dearest@example.com": strings.Replace(foreignHashes["bcrypt 2b"], "$05$", "$31$", 1),
		} {
			h.cameWith(t, email, hash)
		}
		if _, err := h.accounts.CreateUser(t.Context(), h.db, tenancy.CreateUser{Email: "none@example.com", Name: "None"}); err != nil {
			t.Fatal(err)
		}
		want := authn.Stretched{SHA256: 1500, SHA512: 1000, Bcrypt: 1 << 7}
		for _, email := range []string{"unknown@example.com", "ours@example.com", "none@example.com", "django@example.com", "sha512@example.com",
			"bcrypt@example.com", "digest@example.com", "dear@example.com", "odd@example.com", "dearest@example.com"} {
			for _, password := range []string{"wrong password", "", "\xff", strings.Repeat("long", 1000)} {
				*work = authn.Stretched{}
				before := h.computed()
				wantErr(t, email, h.signIn(t, email, password), authn.ErrBadCredential)
				if n := h.computed() - before; *work != want || n != 1 {
					t.Errorf("%s, %.10q: %+v and %d of ours", email, password, *work, n)
				}
			}
		}
		*work = authn.Stretched{}
		wantErr(t, "a right one of ours", h.signIn(t, "ours@example.com", goodPassword), nil)
		if *work != want {
			t.Errorf("a right one: %+v", *work)
		}
	})
}

func TestM18_AForeignHashOpensNothingUnlessItsKindIsNamed(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var out bytes.Buffer
		old := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
		defer slog.SetDefault(old)
		work := h.adopting(authn.Foreign{})
		for what, hash := range map[string]string{
			"django": foreignHashes["Django"], "bcrypt": foreignHashes["bcrypt 2b"], "broken": foreignHashes["bcrypt 2b"] + "x",
		} {
			h.cameWith(t, what+"@example.com", hash)
			wantErr(t, what, h.signIn(t, what+"@example.com", foreignPassword), authn.ErrBadCredential)
		}
		h.adopting(authn.Foreign{PBKDF2SHA256: 1199, Bcrypt: 4})
		for _, what := range []string{"django", "bcrypt", "broken"} {
			wantErr(t, what, h.signIn(t, what+"@example.com", foreignPassword), authn.ErrBadCredential)
		}
		if *work != (authn.Stretched{}) {
			t.Errorf("none is named, and yet %+v", *work)
		}
		if n := strings.Count(out.String(), "cannot be verified"); n != 6 || strings.Contains(out.String(), "abcdefghijklmnopqrstuu") {
			t.Errorf("%d lines, or with a hash: %s", n, out.String())
		}
	})
}
