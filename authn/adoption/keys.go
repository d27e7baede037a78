package adoption

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/tenancy"
)

// importedKey is one that is here.
type importedKey struct {
	Hash      string
	AccountID tenancy.AccountID
	ExpiresAt time.Time `bun:",nullzero"`
}

// state is what was asked of an account once.
type state struct {
	plan tenancy.Plan
	err  error
	keys int // live ones, and those to come
}

func (s *survey) surveyKeys(ctx context.Context, db bun.IDB, what Adopt) error {
	form := s.cfg.KeyHash("a key of sixteen or more")
	if len(form) != len(s.cfg.KeyHash("a longer key of sixteen or more")) {
		form = "" // no form to hold a hash against
	}
	rows := slices.Clone(what.Keys)
	var hashes []string
	for i := range rows {
		r := &rows[i]
		r.Actor, r.Reason = what.Actor, what.Reason
		if r.EndsAt.IsZero() {
			r.EndsAt = s.cfg.KeysEndAt
		}
		r.EndsAt = r.EndsAt.UTC().Truncate(time.Microsecond)
		if form != "" && strings.Trim(form, "0123456789abcdef") == "" {
			r.Hash = strings.ToLower(r.Hash)
		}
		if tenancy.CheckText("hash", r.Hash, 200) == nil {
			hashes = append(hashes, r.Hash)
		}
	}
	here := map[string]importedKey{}
	slices.Sort(hashes)
	for hashes := range slices.Chunk(slices.Compact(hashes), page) {
		var found []importedKey
		err := db.NewRaw(`SELECT i.hash, i.account_id, s.expires_at FROM authn_imported_keys AS i
			JOIN authn_key_secrets AS s ON s.account_id = i.account_id AND s.key_id = i.key_id AND s.secret_id = i.secret_id
			WHERE i.hash IN (?)`, bun.List(hashes)).Scan(ctx, &found)
		if err != nil {
			return err
		}
		for _, k := range found {
			here[k.Hash] = k
		}
	}
	accounts, seen := map[tenancy.AccountID]*state{}, map[string]int{}
	for i, r := range rows {
		if err := s.surveyKey(ctx, db, i, r, form, here, accounts, seen); err != nil {
			return err
		}
	}
	return nil
}

func (s *survey) surveyKey(ctx context.Context, db bun.IDB, i int, r authn.Import, form string,
	here map[string]importedKey, accounts map[tenancy.AccountID]*state, seen map[string]int,
) error {
	count, id := &s.report.Keys, string(r.Account)
	refuse := func(field, text string, args ...any) error {
		count.Refused++
		s.refuse(KindKey, i, id, field, text, args...)
		return nil
	}
	if form != "" && len(r.Hash) != len(form) {
		return refuse("hash", "it has %d characters, and Config.KeyHash makes %d", len(r.Hash), len(form))
	}
	if first, twice := seen[r.Hash]; twice {
		return refuse("hash", "row %d is the same key: leave one out", first)
	}
	seen[r.Hash] = i
	switch old, there := here[r.Hash]; {
	case there && old.AccountID != r.Account:
		return refuse("hash", "the key is here already, of account %q", old.AccountID)
	case there && old.ExpiresAt.Equal(r.EndsAt):
		count.Same++
		return nil
	case there:
		count.Different++
		s.note(KindKey, i, id, "ends_at", leftAlone)
		return nil
	}
	if r.EndsAt.IsZero() {
		return refuse("ends_at", "nothing says when the key ends: set Config.KeysEndAt, or its own EndsAt")
	}
	if err := s.Adoption.keys.Importable(r); err != nil {
		return refuse("key", "%v", err)
	}
	st, err := s.account(ctx, db, accounts, r.Account)
	switch {
	case err != nil:
		return err
	case st.err != nil:
		return refuse("account", "%v: adopt the account first, or leave its keys out", st.err)
	}
	if r.Maker != "" {
		_, err := s.accounts.AccountOf(ctx, db, r.Maker, r.Account)
		switch {
		case errors.Is(err, tenancy.ErrNoAccount):
			s.note(KindKey, i, id, "maker", "the maker %q is no member of the account: the key opens nothing until somebody takes it over", r.Maker)
		case err != nil:
			return err
		}
	}
	st.keys++
	if limit, limited := st.plan.Limit(authn.LimitKeys); limited && int64(st.keys) == limit+1 {
		s.note(KindKey, i, id, "account", "the account has more keys than the %d that its plan allows: all are adopted, and none can be made", limit)
	}
	count.New++
	s.keys = append(s.keys, r)
	return nil
}

// account asks once what keys of an account can be imported.
func (s *survey) account(ctx context.Context, db bun.IDB, known map[tenancy.AccountID]*state, id tenancy.AccountID) (*state, error) {
	if st := known[id]; st != nil {
		return st, nil
	}
	st := &state{}
	standing, plan, err := s.accounts.Load(ctx, db, id)
	if err == nil {
		st.err = tenancy.Check(standing, plan, s.now, tenancy.Export)
	} else if st.err = err; !errors.Is(err, tenancy.ErrNoAccount) {
		return nil, err
	}
	if st.err == nil {
		st.plan = plan
		err := db.NewRaw("SELECT COUNT(*) FROM authn_keys WHERE account_id = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)", id, s.now).
			Scan(ctx, &st.keys)
		if err != nil {
			return nil, err
		}
	}
	known[id] = st
	return st, nil
}
