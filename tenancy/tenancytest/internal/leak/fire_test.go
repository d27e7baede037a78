package leak

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/owned"
)

func TestMain(m *testing.M) { dbtest.Main(m, nil) }

type ticket struct {
	bun.BaseModel `bun:"table:tickets"`
	owned.Row
	ID   string `bun:"id,pk"`
	Body string `bun:"body"`
}

func enter(t *testing.T) Enter {
	accounts := tenancy.New(tenancy.Config{Loader: func(context.Context, bun.IDB, tenancy.AccountID) (tenancy.State, tenancy.Plan, error) {
		return tenancy.State{Status: tenancy.StatusActive}, tenancy.Plan{Slug: "any", Active: true}, nil
	}})
	return func(account tenancy.AccountID) context.Context {
		ctx, err := accounts.Enter(t.Context(), nil, account, tenancy.Actor{Kind: tenancy.ActorSystem, ID: "test"}, tenancy.Use)
		if err != nil {
			t.Fatal(err)
		}
		return ctx
	}
}

type heard struct {
	testing.TB
	said []string
}

func (h *heard) Errorf(format string, args ...any) {
	h.said = append(h.said, fmt.Sprintf(format, args...))
}

// Every way in which an attack can come to what it must not is a finding.
func TestM11_AnAttackThatSucceedsIsAFinding(t *testing.T) {
	past := func(q string) func(s *shot) error {
		return func(s *shot) error {
			_, err := s.plain.NewRaw(q, s.accountIs(s.ada), s.accountIs(s.eve)).Conn(s.idb).Exec(s.ctx)
			return err
		}
	}
	after := func(do func(s *shot) error, err error) func(s *shot) error {
		return func(s *shot) error { return errors.Join(do(s), err) }
	}
	for want, a := range map[string]attack{
		"it was not refused":                        {kind: refused, do: func(*shot) error { return nil }},
		"it was not refused, but failed with: boom": {kind: refused, do: func(*shot) error { return errors.New("boom") }},
		"it panicked: boom":                         {kind: writes, do: func(*shot) error { panic("boom") }},
		"boom":                                      {kind: writes, do: func(*shot) error { return errors.New("boom") }},
		"this statement is not kept":                {kind: writes, perhaps: true, do: func(*shot) error { return owned.ErrUnscoped }},
		"it wrote nevertheless:\n- account_id=acc_leak_b id=k1":   {kind: refused, do: after(past("DELETE FROM tickets WHERE id = 'k1' AND account_id = ?1"), owned.ErrForeign)},
		"it wrote nevertheless:\n+ account_id=acc_leak_a id=new":  {kind: refused, do: after(past("INSERT INTO tickets (account_id, id, body) VALUES (?0, 'new', '')"), owned.ErrForeign)},
		"were changed:\n- account_id=acc_leak_a id=k1 body=a1\n+": {kind: writes, do: past("UPDATE tickets SET body = 'x' WHERE id = 'k1'")},
		"were changed:\n- account_id=acc_leak_a id=k1 body=a1":    {kind: writes, do: past("DELETE FROM tickets WHERE id = 'k1'")},
		"were changed:\n+ account_id=acc_leak_a id=moved":         {kind: writes, do: past("UPDATE tickets SET account_id = ?0, id = 'moved' WHERE id = 'k1' AND account_id = ?1")},
		"were changed:\n+ account_id=somebody id=k":               {kind: writes, do: past("INSERT INTO tickets (account_id, id, body) SELECT 'somebody', 'k' || COUNT(*), '' FROM tickets")},
		"1 rows were counted, of 2":                               {kind: reads, do: func(*shot) error { return counted(1, nil, 2) }},
		"what belongs to another account was seen": {kind: reads, do: func(s *shot) error {
			return s.saw(s.sliceOf(s.hers(first)), nil, 1)
		}},
		"2 rows were seen, of 1": {kind: reads, do: func(s *shot) error {
			return s.saw(s.sliceOf(s.rows[s.eve.id][first], s.rows[s.eve.id][first]), nil, 1)
		}},
		"a row without an account was given 'acc_leak_a'": {kind: writes, do: func(s *shot) error { return s.stamped(s.hers(first)) }},
		"2 rows were written, of 1": {kind: writes, do: func(s *shot) error {
			res, err := s.plain.NewRaw("UPDATE tickets SET body = 'x' WHERE account_id = ?", s.accountIs(s.eve)).Conn(s.idb).Exec(s.ctx)
			return affected(res, err, 1)
		}},
	} {
		dbtest.Each(t, func(t *testing.T, db *bun.DB) {
			if _, err := db.NewRaw("CREATE TABLE tickets (account_id TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account_id, id))").Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
			h := &heard{TB: t}
			k := newKit(h, db, owned.New(owned.Config{Tables: []owned.Table{{Model: (*ticket)(nil)}}}), enter(t))
			if !k.take(nil) || k.bind() != nil || !k.open() {
				t.Fatal(h.said)
			}
			a.verb = "trying it"
			k.try(k.subjects[0], a)
			if len(h.said) != 3 {
				t.Errorf("%q: %d findings on three grounds: %q", want, len(h.said), h.said)
			}
			for i, where := range []string{"on the pool", "in a transaction of the host's", "in RunInTx"} {
				if i < len(h.said) && (!strings.Contains(h.said[i], want) || !strings.HasPrefix(h.said[i], "ticket (tickets): trying it, "+where)) {
					t.Errorf("want %q %s: %s", want, where, h.said[i])
				}
			}
		})
	}
}

// The walk through what a query returned finds rows wherever a relation puts them.
func TestForeign_LooksThroughRelations(t *testing.T) {
	db := dbtest.SQLite(t)
	k := newKit(t, db, owned.New(owned.Config{Tables: []owned.Table{{Model: (*ticket)(nil)}}}), enter(t))
	if _, err := db.NewRaw("CREATE TABLE tickets (account_id TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account_id, id))").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !k.take(nil) || k.bind() != nil || !k.open() {
		t.Fatal("it was not opened")
	}
	type folder struct {
		Name    string
		Last    *ticket
		Tickets []*ticket
		Copies  []ticket
		Parent  *folder
	}
	hers, mine := ticket{Row: owned.Row{AccountID: k.ada.id}}, ticket{Row: owned.Row{AccountID: k.eve.id}}
	if err := k.foreign(&[]*folder{{Last: &mine, Tickets: []*ticket{&mine}, Copies: []ticket{mine}, Parent: &folder{Last: &mine}}}); err != nil {
		t.Error(err)
	}
	for i, f := range []*folder{{Last: &hers}, {Tickets: []*ticket{&mine, &hers}}, {Copies: []ticket{mine, hers}}, {Parent: &folder{Last: &hers}}} {
		if err := k.foreign(&[]*folder{f}); err == nil {
			t.Errorf("folder %d hides what is in it", i)
		}
	}
}
