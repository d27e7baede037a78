package retention_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy/owned"
	"github.com/quitrent/quitrent/tenancy/retention"
)

// A table of this library that is added and not registered fails this test.
func TestM13_EveryTableOfTheLibraryIsRegistered(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if err := w.keeper.Complete(t.Context(), w.db); err != nil {
			t.Error(err)
		}
	})
}

func TestM13_AModelAddedLaterCannotBeForgotten(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for column, definition := range map[string]string{
			"account_id": "CREATE TABLE added_later (account_id TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (account_id, id))",
			"user_id":    "CREATE TABLE added_later (id TEXT PRIMARY KEY, user_id TEXT)",
			"person":     "CREATE TABLE added_later (id TEXT PRIMARY KEY, person TEXT)", // Profile's
		} {
			exec(t, w.db, definition)
			id, _ := w.register(t, column+"@example.com")
			w.close(t, id)
			before := dump(t, w.plainly(t))
			_, erased := w.keeper.Erase(t.Context(), w.db, retention.Erase{Account: id, Actor: operator, Reason: "asked to"})
			for _, err := range []error{w.keeper.Complete(t.Context(), w.db), erased} {
				if !errors.Is(err, retention.ErrIncomplete) || !strings.Contains(err.Error(), "added_later") || !strings.Contains(err.Error(), column) {
					t.Errorf("%s: %v", column, err)
				}
			}
			diff(t, "what was erased in part", before, dump(t, w.plainly(t)))
			exempt := retention.New(w.accounts, w.tables, retention.Config{Lookups: lookups(), Exempt: []string{"Added_Later"}})
			wantErr(t, "exempt", exempt.Complete(t.Context(), w.db), nil)
			exec(t, w.db, "DROP TABLE added_later")
		}
		wantErr(t, "without it", w.keeper.Complete(t.Context(), w.db), nil)
	})
}

func TestM13_TheRegistryNamesWhatIsThere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		wrong := func(what, say string, change func(tables []owned.Table), more ...owned.Lookup) {
			t.Helper()
			tables := registered()
			change(tables)
			k := retention.New(w.accounts, owned.New(owned.Config{Tables: tables}), retention.Config{Lookups: append(lookups(), more...)})
			if err := k.Complete(t.Context(), w.db); !errors.Is(err, retention.ErrIncomplete) || !strings.Contains(err.Error(), say) {
				t.Errorf("%s: %v", what, err)
			}
		}
		of := func(tables []owned.Table, model any) *owned.Table {
			return &tables[slices.IndexFunc(tables, func(t owned.Table) bool { return t.Model == model })]
		}
		wrong("a personal column that is not there", "receipts has no column nick", func(ts []owned.Table) {
			of(ts, (*Receipt)(nil)).Personal = []string{"nick"}
		})
		wrong("a secret that is not there", "sites has no column pin", func(ts []owned.Table) { of(ts, (*Site)(nil)).Secret = []string{"pin"} })
		wrong("a personal key", "receipts.id is part of the key", func(ts []owned.Table) { of(ts, (*Receipt)(nil)).Personal = []string{"id"} })
		wrong("a lookup without its column", "industries has no column account_id", func([]owned.Table) {}, owned.Lookup{Name: "industries"})
	})
}

// Lien is a child of Site that is to be kept, or is not.
type Lien struct {
	bun.BaseModel `bun:"table:liens,alias:l"`
	owned.Row

	ID     string `bun:"id,pk"`
	SiteID string `bun:"site_id"`
}

// Rows that are kept would go with a parent that is not, by cascade, or keep the
// account from being erased for ever.
func TestM13_NoForeignKeyLeadsFromWhatIsKeptToWhatIsNot(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		complete := func(tables ...owned.Table) error {
			k := retention.New(w.accounts, owned.New(owned.Config{Tables: tables}), retention.Config{Lookups: lookups()})
			return k.Complete(t.Context(), w.db)
		}
		for _, onDelete := range []string{"NO ACTION", "CASCADE"} {
			exec(t, w.plainly(t), `CREATE TABLE liens (account_id TEXT NOT NULL, id TEXT NOT NULL, site_id TEXT, PRIMARY KEY (account_id, id),
				FOREIGN KEY (account_id, site_id) REFERENCES sites (account_id, id) ON DELETE ?)`, bun.Safe(onDelete))
			err := complete(append(registered(), owned.Table{Model: (*Lien)(nil), Keep: true})...)
			if !errors.Is(err, retention.ErrIncomplete) || !strings.Contains(err.Error(), "liens is kept and refers to sites") {
				t.Errorf("%s: %v", onDelete, err)
			}
			wantErr(t, "both go", complete(append(registered(), owned.Table{Model: (*Lien)(nil)})...), nil)
			before := append([]owned.Table{{Model: (*Lien)(nil)}}, registered()...)
			if err := complete(before...); (err == nil) != (onDelete == "CASCADE") {
				t.Errorf("%s, the child before its parent: %v", onDelete, err)
			}
			exec(t, w.plainly(t), "DROP TABLE liens")
		}
	})
}
