package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/authn/sessions"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func together(n int, fn func(i int) error) []error { return dbtest.Together(n, fn) }

// another is a Sessions in another process, whose clock shows t0.
func another() (*tenancy.Accounts, *sessions.Sessions, error) {
	now := tenancytest.NewClock(t0).Now
	accounts := tenancy.New(tenancy.Config{Now: now})
	s, err := sessions.New(accounts, sessions.Config{Now: now})
	return accounts, s, err
}

// useChild uses a session until it is refused. It fails if the session opened
// anything after this process had read that it is revoked.
func useChild(ctx context.Context, db *bun.DB, args []string) error {
	accounts, s, err := another()
	if err != nil {
		return err
	}
	for round := range 50_000 {
		lines, err := accounts.Audits(ctx, db, tenancy.AuditLog{Limit: 1})
		if err != nil {
			return err
		}
		revoked := len(lines) > 0 && lines[0].Action == "sessions.revoke"
		_, err = s.Authenticate(ctx, db, shown(sessions.Token(args[0]), ""))
		switch {
		case err == nil && revoked:
			return errors.New("it opened something after it was revoked")
		case err != nil && !errors.Is(err, authn.ErrBadCredential):
			return err
		case err == nil && round == 0:
			fmt.Println("in")
		case err != nil && revoked:
			fmt.Println("out")
			return nil
		}
	}
	return errors.New("nobody revoked it")
}

// A session that one process revokes while another uses it opens nothing there from
// the commit on.
func TestRevoke_CountsInEveryProcess(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.start(t, h.ada.User.ID)
		p := dbtest.Spawn(t, "use", dbtest.DSN(h.db), string(issued.Token))
		p.Go()
		if said := p.Line(); said != "in" {
			t.Fatalf("the other process says %q", said)
		}
		_, err := h.sessions.Revoke(t.Context(), h.db, sessions.Revoke{User: h.ada.User.ID, Session: issued.Session.ID, Actor: operator})
		wantErr(t, "revoke", err, nil)
		h.opensNothing(t, "here", issued.Token)
		if said := p.Wait(); said != "out\n" {
			t.Errorf("the other process says %q", said)
		}
	})
}

// rotateChild rotates a token and says which session and token came of it.
func rotateChild(ctx context.Context, db *bun.DB, args []string) error {
	_, s, err := another()
	if err != nil {
		return err
	}
	issued, err := s.Rotate(ctx, db, sessions.Rotate{Token: sessions.Token(args[0])})
	switch {
	case errors.Is(err, authn.ErrBadCredential):
		fmt.Println("refused")
		return nil
	case err == nil:
		fmt.Println(string(issued.Token))
	}
	return err
}

// Two processes that rotate one token get one new token between them.
func TestRotate_OneProcessWins(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		issued := h.start(t, h.ada.User.ID)
		var won []string
		for _, said := range dbtest.Processes(t, 2, "rotate", dbtest.DSN(h.db), string(issued.Token)) {
			if said = strings.TrimSpace(said); said != "refused" {
				won = append(won, said)
			}
		}
		if len(won) != 1 {
			t.Fatalf("%d processes have a new token", len(won))
		}
		h.opensNothing(t, "the old token", issued.Token)
		h.opens(t, "the new token", sessions.Token(won[0]), h.ada.Account.ID)
	})
}

// meanwhile runs something once, after the first statement that names what.
type meanwhile struct {
	what string
	once *sync.Once
	do   func()
}

func (m meanwhile) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (m meanwhile) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	if strings.Contains(e.Query, m.what) {
		m.once.Do(m.do)
	}
}

// A session that is revoked while it gets a new token gets none. (On SQLite one
// transaction follows the other.)
func TestRotate_ARevocationInBetweenCounts(t *testing.T) {
	h := newHouse(t, dbtest.Postgres(t, authn.Migrate), sessions.Config{})
	issued := h.start(t, h.ada.User.ID)
	hook := meanwhile{what: "token_hash =", once: &sync.Once{}, do: func() {
		_, err := h.sessions.RevokeAll(t.Context(), h.db, sessions.RevokeAll{User: h.ada.User.ID, Actor: operator})
		wantErr(t, "revoke", err, nil)
	}}
	next, err := h.sessions.Rotate(t.Context(), h.db.WithQueryHook(hook), sessions.Rotate{Token: issued.Token})
	wantErr(t, "rotate", err, authn.ErrBadCredential)
	h.opensNothing(t, "what came of it", next.Token)
}
