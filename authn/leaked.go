package authn

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Leaked says that the text of a key was found where others can read it. Formatting,
// logging and encoding/json leave the text out.
type Leaked struct {
	// Presented is what was found: the whole key.
	Presented string `json:"-"`
	// Scanner is who found it: 1 to 32 of a-z 0-9 _ . -.
	Scanner string
	// Source is what kind of place it was, as the scanner says: "commit". Anything but
	// 1 to 40 of a-z _ is left out.
	Source string
	// URL is the place. It is kept without user, query and fragment, and left out when
	// it is not http or https, is over 1000 bytes, or may hold a key.
	URL string
	// KeepKey leaves the key as it is: the leak is only noted.
	KeepKey bool
}

// String names the scanner.
func (l Leaked) String() string { return "leaked key reported by " + l.Scanner }

// Format implements fmt.Formatter: no verb shows the key.
func (l Leaked) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, l.String()) }

// LogValue implements slog.LogValuer.
func (l Leaked) LogValue() slog.Value { return slog.StringValue(l.String()) }

// Leak is what a report of a leaked key has come to.
type Leak struct {
	// Key is the key as it is now.
	Key Key
	// Noted: this report was written to the audit log and the outbox. A repeated one
	// is not.
	Noted bool
	// Revoked: this report has revoked the key.
	Revoked bool
	// Scanner, Source and URL are those of the report, as far as they are kept.
	Scanner, Source, URL string
}

// leakReport signs what follows from a report: nobody of the account asked for it.
var leakReport = tenancy.Actor{Kind: tenancy.ActorSystem, ID: "leak-report"}

var (
	scannerForm = regexp.MustCompile(`^[a-z0-9_.-]{1,32}$`)
	sourceForm  = regexp.MustCompile(`^[a-z_]{1,40}$`) // shorter than what a key has behind its prefix
)

// Leaked revokes a key that was found in the open and notes the leak, in Key.LeakedAt,
// the audit log and the event KeyLeaked: once for each key, and once more when a later report is
// the one that revokes it. It works whatever the account's status.
//
// Nothing is taken from the id alone, which is no secret: the whole key must be right.
// Where the secret that leaked has ended already, because the key was rotated since, the
// leak is noted and the key stays: its present secret is another one.
//
// It returns ErrNoKey for what is no key, for an unknown id, a wrong secret and a pepper
// that has left the ring, without the database when the form or the checksum is wrong;
// and tenancy.ErrInvalid for a bad Scanner.
func (k *Keys) Leaked(ctx context.Context, db bun.IDB, l Leaked) (Leak, error) {
	if !scannerForm.MatchString(l.Scanner) {
		return Leak{}, fmt.Errorf("%w: the scanner's name is made of 1 to 32 of a-z 0-9 _ . -", tenancy.ErrInvalid)
	}
	id, text, ok := k.form.parse(l.Presented)
	if !ok {
		return Leak{}, ErrNoKey
	}
	secret, err := k.holder(ctx, db, id, text)
	if err != nil {
		return Leak{}, err
	}
	report := Leak{Scanner: l.Scanner, URL: k.place(l.URL, text)}
	if sourceForm.MatchString(l.Source) {
		report.Source = l.Source
	}
	var out Leak
	err = tx.Join(ctx, db, func(db bun.IDB) (err error) {
		out = report
		return k.leaked(ctx, db, secret, text, l.KeepKey, &out)
	})
	if err != nil {
		return Leak{}, err
	}
	return out, nil
}

// leakedSecret is one secret of the key that was found.
type leakedSecret struct {
	Account   tenancy.AccountID `bun:"account_id"`
	Key       KeyID             `bun:"key_id"`
	Pepper    string            `bun:"pepper_id"`
	Hash      string            `bun:"hash"`
	ExpiresAt time.Time         `bun:"expires_at,nullzero"`
	RevokedAt time.Time         `bun:"revoked_at,nullzero"`
}

// holder finds the secret that text is, like identify, whatever has ended.
func (k *Keys) holder(ctx context.Context, db bun.IDB, id KeyID, text string) (leakedSecret, error) {
	var secrets []leakedSecret
	err := db.NewRaw(`SELECT s.account_id, s.key_id, s.pepper_id, s.hash, s.expires_at, s.revoked_at
		FROM authn_key_ids AS i
		JOIN authn_key_secrets AS s ON s.account_id = i.account_id AND s.key_id = i.key_id
		WHERE i.key_id = ?`, id).Scan(ctx, &secrets)
	if err != nil {
		return leakedSecret{}, err
	}
	for _, s := range secrets {
		if k.ring.verify(s.Pepper, text, s.Hash) {
			return s, nil
		}
	}
	return leakedSecret{}, ErrNoKey
}

// leaked is Leaked in a transaction. It completes out.
func (k *Keys) leaked(ctx context.Context, db bun.IDB, s leakedSecret, text string, keep bool, out *Leak) error {
	if err := k.lock(ctx, db, s.Account); err != nil {
		return err
	}
	// An account of a host's own has no row to lock: the key's own keeps the reports
	// apart that come at once.
	_, err := db.NewRaw("UPDATE authn_keys SET leaked_at = leaked_at WHERE account_id = ? AND key_id = ?", s.Account, s.Key).Exec(ctx)
	if err != nil {
		return err
	}
	if s, err = k.holder(ctx, db, s.Key, text); err != nil { // it may have been rotated meanwhile
		return err
	}
	if out.Key, err = k.Get(ctx, db, s.Account, s.Key); err != nil {
		return err
	}
	now, first := k.now(), out.Key.LeakedAt.IsZero()
	if first {
		out.Key.LeakedAt = now
		_, err := db.NewUpdate().Model((*keyRow)(nil)).Set("leaked_at = ?", now).Where("account_id = ? AND key_id = ?", s.Account, s.Key).Exec(ctx)
		if err != nil {
			return err
		}
	}
	opens := out.Key.RevokedAt.IsZero() && !over(out.Key.ExpiresAt, now) && s.RevokedAt.IsZero() && !over(s.ExpiresAt, now)
	if out.Revoked = opens && !keep; out.Revoked {
		out.Key, err = k.Revoke(ctx, db, Revoke{Account: s.Account, Key: s.Key, Actor: leakReport, Reason: "the key was found in the open"})
		if err != nil {
			return err
		}
	}
	if out.Noted = out.Revoked || first; !out.Noted {
		return nil
	}
	// The place may name a person, and the log names none: only the event has it.
	data, err := json.Marshal(map[string]any{"scanner": out.Scanner, "source": out.Source, "revoked": out.Revoked})
	if err != nil {
		return err
	}
	line := tenancy.Audit{Account: s.Account, At: now, Actor: leakReport, Action: "authn.key_leaked", Target: string(s.Key), Data: data}
	return tenancy.Note(ctx, db, line, KeyLeaked{
		Key: s.Key, Revoked: out.Revoked, Scanner: out.Scanner, Source: out.Source, URL: out.URL,
	})
}

// maxPlace bounds the URL of a leak, in bytes.
const maxPlace = 1000

// place is what is kept of the URL where the key was found. text is the key without its
// checksum: people put keys into paths, too.
func (k *Keys) place(where, text string) string {
	u, err := url.Parse(where)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Opaque != "" {
		return ""
	}
	said := strings.ToLower(u.Host + u.Path) // the path is without its percent signs, unless they were written twice
	for _, part := range append([]string{"%", text[len(text)-secretLength:]}, k.form.prefixes...) {
		if strings.Contains(said, strings.ToLower(part)) {
			return ""
		}
	}
	kept := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	if len(kept) > maxPlace {
		return ""
	}
	return kept
}
