package adoption

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/adoption"
)

// page is how many rows one statement reads or writes.
const page = 500

type passwordRow struct {
	bun.BaseModel `bun:"table:authn_passwords"`

	User      tenancy.UserID `bun:"user_id,pk"`
	Hash      string         `bun:"hash"`
	UpdatedAt time.Time      `bun:"updated_at"`
}

// survey is what the rows come to, against what is here.
type survey struct {
	*Adoption

	now       time.Time
	report    Report
	passwords []passwordRow  // what is new
	keys      []authn.Import // what is new
}

func (a *Adoption) survey(ctx context.Context, db bun.IDB, what Adopt) (*survey, error) {
	s := &survey{Adoption: a, now: a.now(), report: Report{
		DryRun: what.DryRun, Kinds: map[string]int{}, Refused: []Finding{}, Notes: []Finding{},
	}}
	if err := s.surveyPasswords(ctx, db, what.Passwords); err != nil {
		return nil, err
	}
	return s, s.surveyKeys(ctx, db, what)
}

func (s *survey) refuse(kind adoption.Kind, at int, id, field, text string, args ...any) {
	s.report.Refused = append(s.report.Refused, Finding{Kind: kind, Row: at, ID: fmt.Sprintf("%.200s", id), Field: field, Text: fmt.Sprintf(text, args...)})
}

func (s *survey) note(kind adoption.Kind, at int, id, field, text string, args ...any) {
	s.report.Notes = append(s.report.Notes, Finding{Kind: kind, Row: at, ID: fmt.Sprintf("%.200s", id), Field: field, Text: fmt.Sprintf(text, args...)})
}

const leftAlone = "something else is here and is left as it is"

func (s *survey) surveyPasswords(ctx context.Context, db bun.IDB, rows []Password) error {
	var ids []string
	for _, r := range rows {
		ids = append(ids, string(r.User))
	}
	there := map[tenancy.UserID]*string{} // the e-mail address of every user there is
	stored := map[tenancy.UserID]string{}
	for ids := range slices.Chunk(names(ids), page) {
		var users []struct {
			UserID tenancy.UserID
			Email  *string
		}
		if err := db.NewRaw("SELECT user_id, email FROM tenancy_users WHERE user_id IN (?)", bun.List(ids)).Scan(ctx, &users); err != nil {
			return err
		}
		for _, u := range users {
			there[u.UserID] = u.Email
		}
		var hashes []passwordRow
		if err := db.NewSelect().Model(&hashes).Where("user_id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
			return err
		}
		for _, h := range hashes {
			stored[h.User] = h.Hash
		}
	}
	seen := map[tenancy.UserID]bool{}
	for i, r := range rows {
		s.surveyPassword(i, r, there, stored, seen)
	}
	return nil
}

func (s *survey) surveyPassword(i int, r Password, there map[tenancy.UserID]*string, stored map[tenancy.UserID]string, seen map[tenancy.UserID]bool) {
	count, id := &s.report.Passwords, string(r.User)
	hash := strings.TrimPrefix(r.Hash, "argon2$") // as Django writes what is ours otherwise
	if hash != r.Hash {
		hash = "$" + hash
	}
	refuse := func(field, text string, args ...any) {
		count.Refused++
		s.refuse(KindPassword, i, id, field, text, args...)
	}
	email, known := there[r.User]
	switch {
	case !known:
		refuse("user", "there is no such user: adopt the user first, and name the id that it has now")
		return
	case email == nil:
		refuse("user", "the person was erased: leave the row out, and delete it in the old system too")
		return
	case seen[r.User]:
		refuse("user", "two rows are of this user: leave one out")
		return
	}
	seen[r.User] = true
	if hash == "" || hash[0] == '!' {
		s.report.None++
		return
	}
	kind, err := s.Adoption.passwords.HashKind(hash)
	if err != nil {
		refuse("hash", "it cannot be verified: %v", err)
		return
	}
	s.report.Kinds[kind]++
	switch old, has := stored[r.User]; {
	case !has:
		count.New++
		s.passwords = append(s.passwords, passwordRow{User: r.User, Hash: hash, UpdatedAt: s.now})
	case old == hash:
		count.Same++
	default: // mostly the same password, hashed anew at a sign-in
		count.Different++
	}
}

// names are the ids that can be one, each once, in order.
func names(ids []string) []string {
	ids = slices.Sorted(slices.Values(ids))
	return slices.DeleteFunc(slices.Compact(ids), func(id string) bool {
		_, err := tenancy.ParseAccountID(id)
		return err != nil
	})
}
