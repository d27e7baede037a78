package retention_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/retention"
)

// restored is another database with everything that a dump holds.
func restored(t *testing.T, w *world, backup map[string][]map[string]any) *world {
	t.Helper()
	fresh := dbtest.SQLite
	if postgres(w.db) {
		fresh = dbtest.Postgres
	}
	db := fresh(t, migrate)
	types := columns(t, db)
	for _, name := range allTables(t, db) {
		if strings.HasPrefix(name, "quitrent") {
			continue
		}
		for _, row := range backup[name] {
			for column, v := range row {
				if b, ok := v.([]byte); ok && types[name+"."+column] != "bytea" && types[name+"."+column] != "blob" {
					row[column] = string(b)
				}
			}
			delete(row, "filled") // of credits_grants: the database computes it
			if _, err := db.NewInsert().Model(&row).TableExpr("?", bun.Ident(name)).Exec(t.Context()); err != nil {
				t.Fatalf("%s: %v: %v", name, row, err)
			}
		}
	}
	r := newWorld(t, db)
	r.clock.Set(w.clock.Now())
	return r
}

func (w *world) tombstones(t *testing.T) (all []retention.Tombstone) {
	t.Helper()
	for page := (retention.Tombstones{Limit: 1}); ; page.After = all[len(all)-1].Account {
		some, err := w.keeper.Tombstones(t.Context(), w.db, page)
		if err != nil || len(some) > 1 {
			t.Fatal(some, err)
		}
		if len(some) == 0 {
			return all
		}
		all = append(all, some...)
	}
}

func TestM13_ARestoredBackupForgetsAgainWhatWasErased(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, adaUser := w.register(t, "ada@example.com")
		bob, _ := w.register(t, "bob@example.com")
		stay, _ := w.register(t, "stay@example.com")
		zoe, err := w.accounts.CreateUser(t.Context(), w.db, tenancy.CreateUser{Email: "zoe@example.com", Name: "Zoe"})
		if err != nil {
			t.Fatal(err)
		}
		w.join(t, stay, zoe.ID)
		w.fill(t, ada, adaUser)
		w.hold(t, bob)
		w.close(t, bob)
		backup := dump(t, w.plainly(t)) // ada is active, bob closed and held

		eve, _ := w.register(t, "eve@example.com") // whom the backup does not know
		if err := w.accounts.RemoveMember(t.Context(), w.db, tenancy.RemoveMember{Account: stay, User: zoe.ID, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		w.join(t, ada, zoe.ID) // a person who goes with ada, and whom the backup knows elsewhere
		for _, h := range must(w.keeper.LegalHolds(t.Context(), w.db, bob)) {
			w.lift(t, h)
		}
		for _, id := range []tenancy.AccountID{bob, eve, ada} {
			if id != bob {
				w.close(t, id)
			}
			w.erase(t, id)
		}
		stones := w.tombstones(t)
		kept, err := json.Marshal(stones) // by the host, elsewhere
		if err != nil || len(stones) != 3 || strings.Contains(string(kept), "@") {
			t.Fatal(string(kept), err)
		}

		r := restored(t, w, backup)
		if r.status(t, ada) != tenancy.StatusTrial || len(r.tombstones(t)) != 0 {
			t.Fatal("no backup")
		}
		stones = nil
		if err := json.Unmarshal(kept, &stones); err != nil {
			t.Fatal(err)
		}
		replay := retention.Replay{Tombstones: stones, Actor: operator, Reason: "restored the backup of March"}
		if _, err := r.keeper.Replay(t.Context(), r.db, retention.Replay{Tombstones: stones, Actor: job, Reason: "x"}); err == nil {
			t.Error("the system replays")
		}
		reports, err := r.keeper.Replay(t.Context(), r.db, replay)
		if err != nil || len(reports) != 2 {
			t.Fatal(reports, err)
		}
		for name, rows := range dump(t, r.plainly(t)) {
			got := text(map[string][]map[string]any{name: rows})
			if name != "tenancy_audit" && strings.Contains(got, canary) ||
				strings.Contains(strings.ReplaceAll(got, "stay@example.com", ""), "@example.com") {
				t.Errorf("it is back: %s", got)
			}
		}
		for _, id := range []tenancy.AccountID{ada, bob} {
			if got := r.status(t, id); got != tenancy.StatusErased {
				t.Errorf("%s is %s", id, got)
			}
		}
		diff(t, "tombstones", stones, r.tombstones(t))
		if got := r.status(t, stay); got != tenancy.StatusTrial {
			t.Errorf("a stranger is %s", got)
		}

		before := dump(t, r.plainly(t))
		reports, err = r.keeper.Replay(t.Context(), r.db, replay)
		if err != nil || len(reports) != 0 {
			t.Error(reports, err)
		}
		for name, rows := range dump(t, r.plainly(t)) {
			if name != "tenancy_audit" { // which says that somebody looked
				diff(t, "a second time: "+name, before[name], rows)
			}
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestM13_TombstonesAreReadInPages(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, user := w.register(t, "ada@example.com")
		w.close(t, ada)
		w.erase(t, ada)
		diff(t, "tombstones", []retention.Tombstone{{Account: ada, ErasedAt: t0, Persons: []tenancy.UserID{user}}}, w.tombstones(t))
		_, err := w.keeper.Tombstones(t.Context(), w.db, retention.Tombstones{After: "\x00"})
		wantErr(t, "an odd place", err, tenancy.ErrInvalid)
	})
}

// What a replay does to persons is what the erasure did, and nothing else: the backup
// has them in accounts in which they were not any more, or were not yet.
func TestM13_AReplayErasesThePersonsOfTheTombstoneAndNoOthers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, _ := w.register(t, "ada@example.com")
		stay, _ := w.register(t, "stay@example.com")
		user := func(name string) tenancy.UserID {
			return must(w.accounts.CreateUser(t.Context(), w.db, tenancy.CreateUser{Email: name + "@example.com", Name: name})).ID
		}
		zoe, lea := user("zoe"), user("lea")
		w.join(t, stay, zoe)
		w.join(t, ada, lea)
		exec(t, w.plainly(t), `INSERT INTO tenancy_invitations (account_id, invitation_id, email, email_key, roles, objects, inviter_kind, inviter_id,
			created_at, expires_at, accepted_at, accepted_by) VALUES (?0, 'inv_1', ?1, ?1, '[]', '[]', 'operator', 'op_1', ?2, ?2, ?2, ?3)`,
			stay, "zoe@example.com", t0, zoe)
		backup := dump(t, w.plainly(t))

		eve, _ := w.register(t, "eve@example.com") // whom the backup does not know
		if err := w.accounts.RemoveMember(t.Context(), w.db, tenancy.RemoveMember{Account: stay, User: zoe, Actor: operator}); err != nil {
			t.Fatal(err)
		}
		w.join(t, eve, zoe)
		w.join(t, stay, lea)
		for _, id := range []tenancy.AccountID{eve, ada} {
			w.close(t, id)
			w.erase(t, id)
		}

		r := restored(t, w, backup)
		replay := retention.Replay{Tombstones: w.tombstones(t), Actor: operator, Reason: "restored the backup of March"}
		if reports, err := r.keeper.Replay(t.Context(), r.db, replay); err != nil || len(reports) != 2 {
			t.Fatal(reports, err)
		}
		for id, want := range map[tenancy.UserID]string{zoe: "", lea: "lea@example.com"} {
			if u := must(r.accounts.User(t.Context(), r.db, id)); u.Email != want || (u.Name == "") != (want == "") {
				t.Errorf("%+v, want %q", u, want)
			}
		}
		if left := text(dump(t, r.plainly(t))); strings.Contains(left, "zoe@") {
			t.Error(left)
		}
		if reports, err := r.keeper.Replay(t.Context(), r.db, replay); err != nil || len(reports) != 0 {
			t.Error("a second time", reports, err)
		}
	})
}
