package authn_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
)

// spill prints v in every way that a host might by accident.
func spill(w *bytes.Buffer, v any) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(w, verb+"\n", v)
		fmt.Fprintf(w, verb+"\n", []any{v})
		fmt.Fprintf(w, verb+"\n", map[string]any{"v": v})
	}
	slog.New(slog.NewTextHandler(w, nil)).Info("spill", "v", v)
	slog.New(slog.NewJSONHandler(w, nil)).Info("spill", "v", v)
	_ = json.NewEncoder(w).Encode(v)
}

// No secret shows in a formatted value, an error, a log, an answer that is not the
// one that shows it, or the database.
func TestSecrets_ShowNowhere(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var out bytes.Buffer
		old := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
		defer slog.SetDefault(old)

		p := authn.Pepper{ID: "canary", Secret: []byte("PEPPERPEPPERPEPPERPEPPERPEPPERPE")}
		keys := h.newKeys(t, p)
		r := h.register(t, "ada@example.com")
		issued, err := keys.Issue(t.Context(), h.db, authn.Issue{Account: r.Account.ID, Name: "a key", Actor: userOf(r)})
		if err != nil {
			t.Fatal(err)
		}
		rotated, err := keys.Rotate(t.Context(), h.db, authn.Rotate{Account: r.Account.ID, Key: issued.Key.ID, Actor: userOf(r), Overlap: time.Hour, Reason: "quarterly"})
		if err != nil {
			t.Fatal(err)
		}
		secrets, err := keys.Secrets(t.Context(), h.db, r.Account.ID, issued.Key.ID)
		spill(&out, secrets)
		spill(&out, err)
		spill(&out, keys.RevokeSecret(t.Context(), h.db, authn.RevokeSecret{Account: r.Account.ID, Key: issued.Key.ID, Secret: rotated.Secret, Actor: operator}))
		wrong, _, _ := authn.Rekey(keys, issued.Key.ID)
		for _, c := range []authn.Credential{
			{Scheme: "bearer", Value: issued.Secret}, {Scheme: "bearer", Value: rotated.Secret}, {Scheme: issued.Secret, Value: issued.Secret}, shown(basic("ada@example.com", goodPassword), ""),
			shown(issued.Secret, ""), // in small letters, as a key without a scheme is read
		} {
			spill(&out, c)
			spill(&out, &c)
			spill(&out, struct{ C authn.Credential }{c})
			ctx, err := authn.NewGuard(h.accounts, authn.GuardConfig{}, keys).Enter(t.Context(), h.db, c, tenancy.MintKeys)
			fmt.Fprintf(&out, "%v %v\n", ctx, err)
		}
		for _, password := range []string{goodPassword, "CANARYpassword", "CANARYCANARY"} {
			set := authn.SetPassword{User: "usr_none", Actor: operator, Password: password}
			spill(&out, set)
			spill(&out, &set)
			spill(&out, struct{ S authn.SetPassword }{set})
			spill(&out, h.passwords.Set(t.Context(), h.db, set))
			set.User = r.User.ID
			if password != goodPassword {
				spill(&out, h.passwords.Set(t.Context(), h.db, set))
			}
		}
		for from, to := range map[string]string{"CANARYpass wrong": "CANARYpass new", goodPassword: "CANARYCANARY", "CANARYpassword": "CANARYpass newer"} {
			change := authn.ChangePassword{User: r.User.ID, Current: from, Password: to}
			for _, v := range []any{change, &change, struct{ C authn.ChangePassword }{change}} {
				spill(&out, v)
			}
			_, err := h.passwords.Change(t.Context(), h.db, change)
			spill(&out, err)
			change.User = "usr_none"
			_, err = h.passwords.Change(t.Context(), h.db, change)
			spill(&out, err)
		}
		in := authn.SignIn{Email: goodPassword, Password: goodPassword} // typed into the wrong field
		for _, v := range []any{in, &in, struct{ S authn.SignIn }{in}} {
			spill(&out, v)
		}
		for _, v := range []any{p, &p, authn.Config{Peppers: []authn.Pepper{p}}.Peppers, struct{ P authn.Pepper }{p}, issued, &issued, struct{ I authn.Issued }{issued}, rotated, &rotated} {
			spill(&out, v)
		}
		fmt.Fprintf(&out, "%v %+v %#v %v %+v %#v\n", keys, keys, keys, *keys, *keys, *keys)
		fmt.Fprintf(&out, "%v %+v\n", authn.Config{Peppers: []authn.Pepper{p}}, authn.Config{Peppers: []authn.Pepper{p}})

		for _, key := range []string{issued.Secret, rotated.Secret, wrong, issued.Secret + "x", rotated.Secret + "x", issued.Secret[:40]} {
			_, err := keys.Verify(t.Context(), h.db, key, tenancy.MintKeys)
			spill(&out, err)
			for _, header := range [][]string{{"X-API-Key", key}, {"Authorization", "Bearer " + key}, {"Authorization", key}, {"Authorization", basic(key, key)}} {
				w := serve(authn.NewGuard(h.accounts, authn.GuardConfig{}, keys, h.passwords).Middleware(h.db, tenancy.MintKeys)(whoami), request("GET", "/", "", header...))
				fmt.Fprintln(&out, w.Code, w.Header(), w.Body)
			}
		}
		for _, password := range []string{goodPassword, "CANARYpassword", "CANARY\x00", strings.Repeat("CANARY", 100)} {
			_, err := h.passwords.SignIn(t.Context(), h.db, authn.SignIn{Email: "eve@example.com", Password: password})
			spill(&out, err)
			_, err = h.passwords.Prepare(t.Context(), tenancy.Register{Name: "CANARY", Email: "canary@example.com"}, password)
			spill(&out, err)
		}
		spill(&out, h.passwords)
		_, err = authn.OperatorToken("CANARYCANARY", "op")
		spill(&out, err)

		dump(t, h.db, &out)
		_ = h.db.Close() // what a lost database makes of it
		_, err = keys.Verify(t.Context(), h.db, issued.Secret, 0)
		spill(&out, err)
		_, err = h.passwords.SignIn(t.Context(), h.db, authn.SignIn{Email: "ada@example.com", Password: goodPassword})
		spill(&out, err)

		for what, secret := range map[string]string{
			"the key's secret": issued.Secret[20:50], "its next secret": rotated.Secret[20:50], "a wrong secret": wrong[20:50], "in small letters": strings.ToLower(issued.Secret[20:50]), "a Basic value": basic("ada@example.com", goodPassword)[6:], "the pepper": "PEPPERPEPPER",
			"a password": goodPassword, "a refused password": "CANARYpass", "a long password": "CANARYCANARY",
		} {
			for form, text := range encodings(secret) {
				if i := bytes.Index(out.Bytes(), []byte(text)); i >= 0 {
					t.Errorf("%s shows %s: …%s…", what, form, out.Bytes()[max(0, i-80):i])
				}
			}
		}
		for _, said := range []string{`"v":"pepper canary"`, `"v":"API key ` + string(issued.Key.ID) + `"`, `"v":"bearer credential"`, `"v":"credential"`, `"v":"password of usr_none"`, `"v":"change of the password of ` + string(r.User.ID) + `"`} {
			if !bytes.Contains(out.Bytes(), []byte(said)) {
				t.Errorf("what may show does not: %s", said)
			}
		}
	})
}

// encodings are the ways in which a secret may show.
func encodings(secret string) map[string]string {
	b := []byte(secret)
	all := map[string]string{
		"as it is": secret, "in hexadecimal": hex.EncodeToString(b), "in capitals": strings.ToUpper(hex.EncodeToString(b)),
		"as numbers": strings.Trim(fmt.Sprint(b), "[]"), "backwards": reversed(secret),
	}
	for lead := range 3 { // what stands in front moves the bits
		for name, enc := range map[string]*base64.Encoding{"base 64": base64.RawStdEncoding, "base 64 for URLs": base64.RawURLEncoding} {
			text := enc.EncodeToString(append(make([]byte, lead), b...))
			all[fmt.Sprintf("in %s behind %d", name, lead)] = text[(lead*8+5)/6 : (lead+len(b))*8/6]
		}
	}
	return all
}

func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// dump writes every row of every table.
func dump(t *testing.T, db *bun.DB, w *bytes.Buffer) {
	t.Helper()
	for _, table := range dbtest.Tables(t, db, "") {
		if strings.HasPrefix(table, "pg_") || strings.HasPrefix(table, "sql_") {
			continue // the database's own
		}
		var rows []map[string]any
		if err := db.NewRaw("SELECT * FROM ?", bun.Ident(table)).Scan(t.Context(), &rows); err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			fmt.Fprintf(w, "%s %v\n", table, row)
			for _, v := range row {
				fmt.Fprintf(w, "%s\n", v)
			}
		}
	}
}

// Time that a comparison takes cannot be tested, so its source is, in this package, in
// those below it and in the one that makes opaque tokens: each function that holds a
// secret's hash against another compares in constant time, and nothing there compares
// bytes otherwise. What the database finds by its hash is compared there.
func TestSecrets_AreComparedInConstantTime(t *testing.T) {
	constant := map[string][]string{} // package and function → what it compares with
	read := map[string]bool{}
	file := func(path string) {
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		read[parsed.Name.Name] = true
		for _, d := range parsed.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				pkg, _ := sel.X.(*ast.Ident)
				if pkg == nil {
					return true
				}
				switch name := pkg.Name + "." + sel.Sel.Name; name {
				case "hmac.Equal", "subtle.ConstantTimeCompare":
					of := parsed.Name.Name + "." + fn.Name.Name
					constant[of] = append(constant[of], name)
				case "bytes.Equal", "bytes.Compare", "slices.Equal", "slices.Compare", "reflect.DeepEqual", "strings.EqualFold":
					t.Errorf("%s: %s compares with %s", path, fn.Name.Name, name)
				}
				return true
			})
		}
	}
	for _, dir := range []string{".", "../internal/opaque"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				file(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, fn := range []string{"authn.verify", "authn.matches", "authn.OperatorToken", "authn.pbkdf2Matches", "authn.find"} {
		if len(constant[fn]) != 1 {
			t.Errorf("%s does not compare in constant time: %v", fn, constant)
		}
	}
	for _, pkg := range []string{"authn", "adoption", "emails", "leaks", "sessions", "tokens", "opaque"} {
		if !read[pkg] {
			t.Errorf("package %s was not read", pkg)
		}
	}
}
