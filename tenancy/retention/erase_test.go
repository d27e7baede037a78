package retention_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/retention"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

const canary = "canary"

// allowed are the texts that no erasure reaches, since nothing personal goes into
// them: names that the program gives, and what logs that are append-only hold.
var allowed = map[string]bool{
	"tenancy_audit.reason": true, "tenancy_audit.target": true, "tenancy_audit.data": true, "tenancy_audit.action": true,
	"tenancy_audit.actor_id": true, "tenancy_audit.actor_kind": true, "tenancy_audit_seals.hash": true,
	"credits_entries.kind": true, "credits_entries.key": true, "credits_entries.operation": true, "credits_entries.note": true,
	"credits_entries.actor_kind": true, "credits_entries.actor_id": true, "credits_entries.unit": true,
	"credits_accounts.head": true, "credits_entries.basis": true, "credits_entries.hold_id": true, "credits_entries.grant_id": true, "credits_entries.hash": true, "credits_keys.hold_id": true,
	"credits_grants.operations": true, "credits_grants.origin": true,
	"credits_holds.unit": true, "credits_holds.state": true, "credits_holds.parts": true, "credits_holds.at_end": true,
	"credits_holds.operation": true, "credits_holds.note": true, "credits_holds.actor_kind": true, "credits_holds.actor_id": true,
	"credits_entries.on_behalf_kind": true, "credits_entries.on_behalf_id": true, "credits_keys.detail": true,
	"credits_holds.on_behalf_kind": true, "credits_holds.on_behalf_id": true,
	"credits_budgets.subject_kind": true, "credits_budgets.subject_id": true, "credits_budgets.period": true, "credits_budgets.zone": true,
	"credits_thresholds.name": true, "credits_seals.unit": true, "credits_seals.hash": true,
	"credits_splits.unit": true, "credits_accounts.unit": true, "credits_grants.unit": true, "credits_grants.category": true,
	"credits_keys.hash": true, "credits_keys.unit": true, "credits_keys.outcome": true, "credits_keys.key": true,
	"credits_prices.operation": true, "credits_prices.rounding": true, "credits_prices.components": true,
	"tenancy_accounts.status": true, "tenancy_accounts.plan": true, "tenancy_accounts.owner_id": true, "tenancy_accounts.zone": true,
	"tenancy_accounts.suspended_from": true, "tenancy_accounts.closed_from": true,
	"tenancy_accounts.limits": true, "tenancy_accounts.flags": true,
	"billing_accounts.payment_method": true, "billing_subscriptions.status": true, "billing_subscriptions.plan": true,
	"billing_subscriptions.currency": true, "billing_subscriptions.interval": true, "billing_subscriptions.payment_method": true,
	"billing_subscriptions.external_payment_id": true,
	"billing_transfers.reference":               true, "billing_transfers.status": true, "billing_transfers.plan": true,
	"billing_transfers.currency": true, "billing_transfers.interval": true, "billing_transfers.requested_by_kind": true,
	"billing_transfers.requested_by_id": true, "billing_transfers.decided_by_kind": true, "billing_transfers.decided_by_id": true,
	"billing_transfers.subscription_id": true,
}

// ids are columns that hold nothing but ids, in every table.
var ids = []string{"account_id", "user_id", "person", "id", "key_id", "secret_id", "event_id", "audit_id", "grant_id", "transfer_id", "subscription_id",
	"invitation_id", "session_id", "site_id", "above", "hold_id", "reference", "role", "object_id", "object_kind", "unit", "account"}

// columns are all that may hold text, with the type by which to write to them.
func columns(t *testing.T, db bun.IDB) map[string]string {
	t.Helper()
	var found []struct{ Place, Type string }
	q := db.NewRaw(`SELECT m.name || '.' || p.name AS place, p.type FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS p
		WHERE m.type = 'table' AND p.type IN ('TEXT', 'BLOB') AND m.name NOT LIKE 'quitrent%'`)
	if postgres(db) {
		q = db.NewRaw(`SELECT table_name || '.' || column_name AS place, data_type AS type FROM information_schema.columns
			WHERE table_schema = current_schema() AND data_type IN ('text', 'json', 'bytea') AND table_name NOT LIKE 'quitrent%'`)
	}
	if err := q.Scan(t.Context(), &found); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range found {
		out[f.Place] = strings.ToLower(f.Type)
	}
	return out
}

// fill gives the account a row in every table and a canary in every text of it.
func (w *world) fill(t *testing.T, account tenancy.AccountID, owner tenancy.UserID) {
	t.Helper()
	db := w.plainly(t)
	ledger := credits.New(credits.Config{Now: w.clock.Now})
	if _, err := ledger.Grant(t.Context(), db, credits.Grant{Account: account, Amount: 9, Key: "k", Actor: operator}); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.SetBudget(t.Context(), db, credits.SetBudget{Account: account, Subject: operator, Limit: 9}); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.SetThreshold(t.Context(), db, credits.SetThreshold{Account: account}); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Hold(t.Context(), db, credits.Hold{Account: account, Amount: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Deduct(t.Context(), db, credits.Deduct{Account: account, Amount: 99, Key: "refused"}); !errors.Is(err, credits.ErrInsufficient) {
		t.Fatal(err)
	}
	exec(t, db, `INSERT INTO credits_splits (account_id, unit, number, position, grant_id, amount)
		SELECT account_id, unit, number, 2, grant_id, amount FROM credits_entries WHERE account_id = ?`, account)
	if _, err := ledger.SetAllotment(t.Context(), db, credits.SetAllotment{Account: account, Name: "plan", Amount: 1, Anchor: w.clock.Now().AddDate(9, 0, 0)}); err != nil {
		t.Fatal(err)
	}
	keys, err := authn.New(w.accounts, authn.Config{Now: w.clock.Now, Peppers: []authn.Pepper{{ID: "p", Secret: []byte(strings.Repeat("p", 32))}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Issue(t.Context(), db, authn.Issue{Account: account, Name: "x", Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: string(owner)}}); err != nil {
		t.Fatal(err)
	}
	hold, err := w.keeper.PlaceLegalHold(t.Context(), db, retention.PlaceLegalHold{Account: account, Actor: operator, Reason: canary})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.keeper.LiftLegalHold(t.Context(), db, retention.LiftLegalHold{Account: account, ID: hold.ID, Actor: operator, Reason: "over"}); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		"INSERT INTO authn_passwords (user_id, hash, updated_at) VALUES (?1, '', ?2)",
		"INSERT INTO authn_imported_keys (hash, account_id, key_id, secret_id) VALUES (?0, ?0, 'k', 's')",
		"INSERT INTO authn_email_tokens (user_id, kind, token_hash, email_key, expires_at, since, issued) VALUES (?1, '', '', '', ?2, ?2, 1)",
		"UPDATE tenancy_users SET email_verified_at = ?2 WHERE user_id = ?1",
		`INSERT INTO authn_sessions (session_id, token_hash, user_id, account_id, addr, user_agent, created_at, seen_at, expires_at)
			VALUES (?0, ?0, ?1, ?0, '', '', ?2, ?2, ?2)`,
		"INSERT INTO tenancy_object_roles (account_id, user_id, object_kind, object_id, role, created_at) VALUES (?0, ?1, 'site', '1', 'viewer', ?2)",
		"INSERT INTO tenancy_ownership_offers (account_id, owner_id, user_id, created_at, expires_at) VALUES (?0, ?1, ?1, ?2, ?2)",
		`INSERT INTO tenancy_invitations (account_id, invitation_id, email, email_key, roles, objects, inviter_kind, inviter_id, created_at, expires_at)
			VALUES (?0, 'inv_1', 'x', 'x', '[]', '[]', 'user', ?1, ?2, ?2)`,
		"INSERT INTO tenancy_invitation_tokens (token_hash, account_id, invitation_id) VALUES (?0, ?0, 'inv_1')",
		"INSERT INTO tenancy_audit_seals (account_id, number, audit_id, hash) VALUES (?0, 1, 'aud_1', 'x')",
		"INSERT INTO credits_seals (account_id, unit, number, hash) VALUES (?0, 'credit', 1, 'x')",
		"INSERT INTO billing_accounts (account_id, created_at, updated_at) VALUES (?0, ?2, ?2)",
		`INSERT INTO billing_subscriptions (account_id, subscription_id, status, plan, currency, interval, anchor_at, periods, period_start, period_end, created_at, updated_at)
			VALUES (?0, 'sub_1', 'active', 'starter', 'USD', 'month', ?2, 1, '2026-01-01 00:00:00+00:00', ?2, ?2, ?2)`,
		`INSERT INTO billing_transfers (account_id, transfer_id, reference, status, plan, currency, interval, amount, credits, requested_by_kind, requested_by_id, requested_at)
			VALUES (?0, 'tr_1', 'RF', 'rejected', 'starter', 'USD', 'month', 1, 1, 'user', ?1, ?2)`,
		"INSERT INTO billing_references (reference, account_id, transfer_id) VALUES (?0, ?0, 'tr_1')",
		`INSERT INTO credits_prices (account_id, operation, version, ended, fixed, minimum, rounding, components, effective_at, created_at)
			VALUES (?0, 'chat', 1, FALSE, 5, 0, 'up', '[]', ?2, ?2)`,
		"INSERT INTO sites (account_id, id, slug, deleted_at) VALUES (?0, '1', 'a', NULL), (?0, '2', 'b', ?2)",
		"INSERT INTO sectors (account_id, id, site_id, above) VALUES (?0, '1', '1', NULL), (?0, '2', '2', '1')",
		`INSERT INTO receipts (account_id, id, amount, name, note, address, scan, phone, minor, born_at) VALUES (?0, '1', 5, '', NULL, 'null', '', 4711, TRUE, ?2),
			(?0, '2', 5, '', NULL, 'null', '', 0, FALSE, ?2), (?0, '3', 5, '', NULL, 'null', '', 4711, FALSE, ?2)`,
		"INSERT INTO profiles (person, bio) VALUES (?1, '')",
	} {
		exec(t, db, q, account, owner, t0)
	}
	for place, typ := range columns(t, db) {
		name, column, _ := strings.Cut(place, ".")
		if allowed[place] || slices.Contains(ids, column) || slices.Contains([]string{"tenancy_plans", "tenancy_leases", "tenancy_changes", "tenancy_tombstones", "industries"}, name) {
			continue
		}
		owner, whose := string(account), "account_id"
		switch name {
		case "tenancy_users", "authn_passwords", "authn_email_tokens", "authn_sessions":
			owner, whose = string(ownerOf(t, db, account)), "user_id"
		case "profiles":
			owner, whose = string(ownerOf(t, db, account)), "person"
		}
		value := any(canary + "@" + owner) // unique where it has to be
		if typ == "json" || name == "receipts" && column == "address" {
			value = `"` + canary + `"`
		}
		if typ == "bytea" || typ == "blob" {
			value = []byte(canary)
		}
		if name == "tenancy_events" && !postgres(db) {
			continue // its triggers refuse; the row goes anyway
		}
		res, err := db.NewRaw("UPDATE ? SET ? = ? WHERE ? = ?", bun.Ident(name), bun.Ident(column), value, bun.Ident(whose), owner).Exec(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", place, err)
		}
		if n, err := res.RowsAffected(); n == 0 || err != nil {
			t.Fatalf("%s: no row to put a canary into, %v", place, err)
		}
	}
	exec(t, db, "UPDATE receipts SET name = '', note = NULL, address = 'null', scan = '', born_at = '1970-01-01 00:00:00+00:00' WHERE id IN ('2', '3')")
}

func ownerOf(t *testing.T, db bun.IDB, account tenancy.AccountID) (owner tenancy.UserID) {
	t.Helper()
	if err := db.NewRaw("SELECT owner_id FROM tenancy_accounts WHERE account_id = ?", account).Scan(t.Context(), &owner); err != nil {
		t.Fatal(err)
	}
	return owner
}

func TestM13_ErasureLeavesNothingPersonalAnywhere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, adaUser := w.register(t, "ada@example.com")
		bob, bobUser := w.register(t, "bob@example.com")
		w.fill(t, ada, adaUser)
		w.fill(t, bob, bobUser)
		db := w.plainly(t)
		counts := func(d map[string][]map[string]any, account tenancy.AccountID, user tenancy.UserID) map[string]int {
			n := map[string]int{}
			for name, rows := range d {
				for _, row := range rows {
					if s := fmt.Sprint(row["account_id"], row["user_id"], row["person"]); strings.Contains(s, string(account)) || strings.Contains(s, string(user)) {
						n[name]++
					}
				}
			}
			return n
		}
		w.close(t, ada)
		before := dump(t, db)
		report := w.erase(t, ada)
		after := dump(t, db)

		for name, rows := range after {
			for _, row := range rows {
				line := text(map[string][]map[string]any{name: {row}})
				if strings.Contains(line, canary) && !strings.Contains(line, string(bob)) && !strings.Contains(line, string(bobUser)) &&
					name != "tenancy_audit" { // the reason of a hold, which names a case and no person
					t.Errorf("it is still there: %s", line)
				}
				if strings.Contains(line, "ada@") {
					t.Errorf("it is still there: %s", line)
				}
			}
		}
		diff(t, "another account", counts(before, bob, bobUser), counts(after, bob, bobUser))
		kept := counts(after, ada, adaUser)
		want := map[string]int{
			"tenancy_accounts": 1, "tenancy_users": 1, "tenancy_audit": counts(before, ada, adaUser)["tenancy_audit"] + 2, "tenancy_audit_seals": 1,
			"tenancy_events": 1, "tenancy_deliveries": 1, "tenancy_tombstones": 1, // of the erasure itself
			"credits_accounts": 1, "credits_grants": 1, "credits_entries": 1, "credits_splits": 1, "credits_keys": 1, "credits_holds": 1, "credits_prices": 1, "credits_budgets": 1, "credits_thresholds": 1, "credits_seals": 1,
			"billing_accounts": 1, "billing_subscriptions": 1, "billing_transfers": 1, "billing_references": 1, "receipts": 3,
		}
		diff(t, "what is kept", want, kept)

		got := map[string]retention.TableReport{}
		for _, r := range report.Tables {
			got[r.Table] = r
		}
		for _, r := range []retention.TableReport{
			{Table: "sites", Deleted: 2}, {Table: "sectors", Deleted: 2}, {Table: "receipts", Kept: 3, Blanked: 2},
			{Table: "profiles", Deleted: 1}, {Table: "authn_passwords", Deleted: 1}, {Table: "authn_email_tokens", Deleted: 1}, {Table: "authn_key_ids", Deleted: 1}, {Table: "authn_imported_keys", Deleted: 1},
			{Table: "tenancy_users", Kept: 1, Blanked: 1}, {Table: "tenancy_accounts", Kept: 1, Blanked: 1}, {Table: "tenancy_members", Deleted: 1},
			{Table: "billing_transfers", Kept: 1, Blanked: 1}, {Table: "credits_entries", Kept: 1}, {Table: "credits_allotments", Deleted: 1}, {Table: "tenancy_legal_holds", Deleted: 1},
		} {
			diff(t, r.Table, r, got[r.Table])
		}
		diff(t, "persons", []tenancy.UserID{adaUser}, report.Persons)

		var receipt Receipt
		if err := db.NewSelect().Model(&receipt).Where("account_id = ? AND id = '1'", ada).Scan(t.Context()); err != nil {
			t.Fatal(err)
		}
		receipt.BornAt = receipt.BornAt.UTC()
		blank := Receipt{ID: "1", Amount: 5, Address: json.RawMessage("null"), Scan: []byte{}, BornAt: time.Unix(0, 0).UTC()}
		blank.AccountID = ada
		if d := cmp.Diff(blank, receipt, cmp.Transformer("bytes", func(b []byte) string { return string(b) })); d != "" {
			t.Error(d)
		}
		if n := number(t, db, "SELECT COUNT(*) FROM receipts WHERE account_id = ? AND note IS NOT NULL", ada); n != 0 {
			t.Errorf("%d notes that may be NULL and are not", n)
		}
		if n := number(t, db, "SELECT COUNT(*) FROM tenancy_users WHERE user_id = ? AND email_verified_at IS NOT NULL", adaUser); n != 0 {
			t.Error("nobody's address is still verified")
		}
		if w.status(t, ada) != tenancy.StatusErased {
			t.Error(w.status(t, ada))
		}
		if err := w.tables.Verify(t.Context(), w.db); err != nil {
			t.Error(err)
		}
	})
}

func TestM13_ADryRunCountsWhatTheErasureDoesAndWritesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, user := w.register(t, "ada@example.com")
		w.fill(t, ada, user)
		w.close(t, ada)
		before := dump(t, w.plainly(t))
		e := retention.Erase{Account: ada, Actor: operator, Reason: "asked to", DryRun: true}
		dry, err := w.keeper.Erase(t.Context(), w.db, e)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "a dry run wrote", before, dump(t, w.plainly(t)))
		real := w.erase(t, ada)
		if !dry.DryRun || real.DryRun || len(real.Tables) == 0 {
			t.Error(dry, real)
		}
		dry.DryRun = false
		diff(t, "the reports", dry, real)

		err = w.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			if _, err := w.keeper.Erase(ctx, tx, e); err == nil {
				t.Error("a dry run in a host's transaction")
			}
			_, err := w.accounts.Get(ctx, tx, ada)
			return err
		})
		wantErr(t, "the host's transaction", err, nil)
	})
}

func TestM13_OnlyAClosedAccountIsErasedAndOnlyByWhoRunsTheService(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, user := w.register(t, "ada@example.com")
		try := func(what string, e retention.Erase, want error) {
			t.Helper()
			before := dump(t, w.plainly(t))
			err := w.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				if _, err := w.keeper.Erase(ctx, tx, e); !errors.Is(err, want) {
					t.Errorf("%s: got %v, want %v", what, err, want)
				}
				_, err := w.accounts.Get(ctx, tx, ada)
				return err // the host's transaction can go on
			})
			wantErr(t, what, err, nil)
			diff(t, what, before, dump(t, w.plainly(t)))
		}
		yes := retention.Erase{Account: ada, Actor: operator, Reason: "asked to"}
		with := func(change func(e *retention.Erase)) retention.Erase { e := yes; change(&e); return e }
		try("open", yes, tenancy.ErrTransition)
		w.close(t, ada)
		try("no account", with(func(e *retention.Erase) { e.Account = "acc_none" }), tenancy.ErrNoAccount)
		try("no reason", with(func(e *retention.Erase) { e.Reason = " " }), tenancy.ErrInvalid)
		try("nobody", with(func(e *retention.Erase) { e.Actor = tenancy.Actor{} }), tenancy.ErrInvalid)
		try("its owner", with(func(e *retention.Erase) { e.Actor = tenancy.Actor{Kind: tenancy.ActorUser, ID: string(user)} }), tenancy.ErrForbidden)
		try("a key", with(func(e *retention.Erase) { e.Actor.Kind = tenancy.ActorKey }), tenancy.ErrForbidden)
		try("the system, early", with(func(e *retention.Erase) { e.Actor = job }), tenancy.ErrTransition)
		w.clock.Advance(tenancy.DefaultRetention)
		if _, err := w.keeper.Erase(t.Context(), w.db, with(func(e *retention.Erase) { e.Actor = job })); err != nil {
			t.Error(err)
		}
	})
}

func TestM13_ErasingAgainFindsWhatWasRegisteredSince(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, _ := w.register(t, "ada@example.com")
		w.close(t, ada)
		w.erase(t, ada)
		db := w.plainly(t)
		before := dump(t, db)
		exec(t, db, "INSERT INTO sites (account_id, id, slug) VALUES (?, '1', 'a')", ada)
		w.erase(t, ada)
		if n := number(t, db, "SELECT COUNT(*) FROM sites"); n != 0 {
			t.Errorf("%d sites", n)
		}
		diff(t, "the tombstone", before["tenancy_tombstones"], dump(t, db)["tenancy_tombstones"])
		before = dump(t, db)
		w.erase(t, ada)
		for name, rows := range dump(t, db) {
			if name != "tenancy_audit" { // which says that somebody looked
				diff(t, name, before[name], rows)
			}
		}
	})
}

// An invitation has the address beside the id, in an account that the person left.
func TestM13_WhoIsErasedIsNamedByNoInvitationEither(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, user := w.register(t, "ada@example.com")
		bob, bobUser := w.register(t, "bob@example.com")
		for i, who := range []tenancy.UserID{user, bobUser} {
			exec(t, w.plainly(t), `INSERT INTO tenancy_invitations (account_id, invitation_id, email, email_key, roles, objects, inviter_kind, inviter_id,
				created_at, expires_at, accepted_at, accepted_by) VALUES (?0, ?1, ?2, ?2, '[]', '[]', 'operator', 'op_1', ?3, ?3, ?3, ?4)`,
				bob, fmt.Sprint("inv_", i), []string{"ada@example.com", "bob@example.com"}[i], t0, who)
		}
		w.close(t, ada)
		report := w.erase(t, ada)
		i := slices.IndexFunc(report.Tables, func(r retention.TableReport) bool { return r.Table == "tenancy_invitations" })
		diff(t, "the report", retention.TableReport{Table: "tenancy_invitations", Kept: 1, Blanked: 1}, report.Tables[i])
		left := text(dump(t, w.plainly(t)))
		if strings.Contains(left, "ada@") || number(t, w.db, "SELECT COUNT(*) FROM tenancy_invitations WHERE email = 'bob@example.com'") != 1 {
			t.Error(left)
		}
	})
}

// By then nothing but the tombstone says who went with the account.
func TestM13_ErasingAgainFindsATableOfPersonsThatWasRegisteredSince(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, user := w.register(t, "ada@example.com")
		w.close(t, ada)
		w.erase(t, ada)
		db := w.plainly(t)
		exec(t, db, "INSERT INTO profiles (person, bio) VALUES (?, '')", user)
		diff(t, "persons", []tenancy.UserID{user}, w.erase(t, ada).Persons)
		if n := number(t, db, "SELECT COUNT(*) FROM profiles"); n != 0 {
			t.Errorf("%d profiles", n)
		}
	})
}

// Whatever stops an erasure, nothing of it is done.
func TestM13_AnErasureIsWholeOrNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, user := w.register(t, "ada@example.com")
		w.fill(t, ada, user)
		w.close(t, ada)
		db := w.plainly(t)
		exec(t, db, `CREATE TABLE stays (owner TEXT NOT NULL, member TEXT NOT NULL, FOREIGN KEY (owner, member) REFERENCES tenancy_members (account_id, user_id))`)
		exec(t, db, "INSERT INTO stays (owner, member) VALUES (?, ?)", ada, user)
		before := dump(t, db)
		e := retention.Erase{Account: ada, Actor: operator, Reason: "asked to"}
		for _, e.DryRun = range []bool{true, false} {
			if _, err := w.keeper.Erase(t.Context(), w.db, e); err == nil || !strings.Contains(err.Error(), "tenancy_members") {
				t.Errorf("dry run %v: %v", e.DryRun, err)
			}
			diff(t, "what was done", before, dump(t, db))
		}
		exec(t, db, "DELETE FROM stays")
		w.erase(t, ada)
	})
}

func TestM13_AMemberOfAnotherAccountStaysAPerson(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, adaUser := w.register(t, "ada@example.com")
		bob, bobUser := w.register(t, "bob@example.com")
		w.join(t, ada, bobUser)
		user, err := w.accounts.CreateUser(t.Context(), w.db, tenancy.CreateUser{Email: "eve@example.com", Name: "Eve"})
		if err != nil {
			t.Fatal(err)
		}
		w.join(t, ada, user.ID)
		w.join(t, bob, user.ID)
		w.close(t, bob) // and may come back
		w.close(t, ada)
		diff(t, "persons", []tenancy.UserID{adaUser}, w.erase(t, ada).Persons)
		for id, want := range map[tenancy.UserID]string{adaUser: "", bobUser: "bob@example.com", user.ID: "eve@example.com"} {
			if u, err := w.accounts.User(t.Context(), w.db, id); err != nil || u.Email != want || (u.Name == "") != (want == "") {
				t.Errorf("%+v, %v", u, err)
			}
		}
		_, err = w.accounts.UserByEmail(t.Context(), w.db, "ada@example.com")
		wantErr(t, "the address is free", err, tenancy.ErrNoUser)
		want := []tenancy.UserID{bobUser, user.ID}
		slices.Sort(want)
		diff(t, "persons", want, w.erase(t, bob).Persons)
		tenancytest.Register(t, w.db, w.accounts, "ada@example.com")
	})
}

// Somebody adds a member of the account to another one while the account is erased.
// On SQLite one of the two comes first.
func TestM13_AMemberAddedElsewhereMeanwhileStaysAPerson(t *testing.T) {
	w := newWorld(t, dbtest.Postgres(t, migrate))
	ada, user := w.register(t, "ada@example.com")
	bob, _ := w.register(t, "bob@example.com")
	w.close(t, ada)
	adding, err := w.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = adding.Rollback() }()
	_, err = w.accounts.AddMember(t.Context(), adding, tenancy.AddMember{Account: bob, User: user, Roles: []tenancy.Role{tenancy.RoleViewer}, Actor: operator})
	if err != nil {
		t.Fatal(err)
	}
	reports := make(chan retention.Report, 1)
	go func() {
		r, err := w.keeper.Erase(t.Context(), w.db, retention.Erase{Account: ada, Actor: operator, Reason: "asked to"})
		if err != nil {
			t.Error(err)
		}
		reports <- r
	}()
	awaitLock(t, w.db, reports)
	if err := adding.Commit(); err != nil {
		t.Fatal(err)
	}
	if r := <-reports; len(r.Persons) != 0 {
		t.Errorf("erased %v", r.Persons)
	}
	if u, err := w.accounts.User(t.Context(), w.db, user); err != nil || u.Email != "ada@example.com" {
		t.Errorf("%+v, %v", u, err)
	}
}
