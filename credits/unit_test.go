package credits_test

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

// everything does to acc what is told in an event or in the audit log.
func everything(t *testing.T, l *credits.Ledger, db bun.IDB, clock *tenancytest.Clock) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	grant(t, l, db, credits.Grant{Account: acc, Amount: 10, Key: "g"})
	setThreshold(t, l, db, credits.SetThreshold{Low: 5})
	deduct(t, l, db, credits.Deduct{Account: acc, Amount: 6})
	refund(t, l, db, credits.Refund{Account: acc, Entry: 2, Key: "r"})
	setBudget(t, l, db, credits.SetBudget{Subject: keyA, Limit: 5})
	must(l.RemoveBudget(ctx, db, credits.RemoveBudget{Account: acc, Subject: keyA}))
	hold(t, l, db, credits.Hold{Account: acc, Amount: 1, For: time.Minute, AtEnd: credits.AtEndReview})
	clock.Advance(time.Hour)
	_, err := l.Revoke(ctx, db, credits.Revoke{Account: acc, Entry: 1, Key: "v"})
	must(err)
	allot(t, l, db, credits.SetAllotment{Account: acc, Name: "plan", Amount: 1})
	grant(t, l, db, credits.Grant{Account: acc, Amount: math.MaxInt64 - 2, Key: "huge"})
	clock.Advance(62 * 24 * time.Hour)
	must(l.RemoveThreshold(ctx, db, credits.RemoveThreshold{Account: acc}))
	endAllotment(t, l, db, "plan")
	_, err = l.SetAllotment(ctx, db, credits.SetAllotment{Account: acc, Name: "large", Amount: 2})
	must(err)
	_, err = l.Adopt(ctx, db, credits.Adopt{Account: other})
	must(err)
}

// unitsTold are the units of the events and audit lines of an account, by kind or action.
func unitsTold(t *testing.T, db bun.IDB, account tenancy.AccountID) map[string][]string {
	t.Helper()
	units := map[string][]string{}
	add := func(kind string, data json.RawMessage) {
		var of struct {
			Unit string `json:"unit"`
		}
		if err := json.Unmarshal(data, &of); err != nil {
			t.Fatalf("%s: %s: %v", kind, data, err)
		}
		if !slices.Contains(units[kind], of.Unit) {
			units[kind] = append(units[kind], of.Unit)
		}
	}
	for _, e := range tenancytest.Events(t, db, account) {
		add(e.Kind, e.Data)
	}
	lines, err := tenancy.New(tenancy.Config{}).Audits(t.Context(), db, tenancy.AuditLog{Account: account, Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		add(line.Action, line.Data)
	}
	return units
}

func TestUnits_AreToldInEventsAndAuditData(t *testing.T) {
	for unit, says := range map[string]string{"gpu_second": "gpu_second", "credit": ""} {
		dbtest.Each(t, func(t *testing.T, db *bun.DB) {
			clock := tenancytest.NewClock(start)
			everything(t, credits.New(credits.Config{Unit: unit, Now: clock.Now}), db, clock)
			want := map[string][]string{}
			for _, kind := range []string{
				"credits.granted", "credits.refunded", "credits.revoked", "credits.low", "credits.recovered", "credits.hold_parked",
				"credits.allotment_set", "credits.allotment_ended", "credits.allotment_skipped", "credits.grant", "credits.revoke",
				"credits.set_budget", "credits.remove_budget", "credits.set_threshold", "credits.remove_threshold", "credits.set_allotment", "credits.end_allotment",
			} {
				want[kind] = []string{says}
			}
			if d := cmp.Diff(want, unitsTold(t, db, acc)); d != "" {
				t.Errorf("%s (-want +got):\n%s", unit, d)
			}
			// An adoption has said so from the first.
			if d := cmp.Diff(map[string][]string{"credits.adopt": {unit}}, unitsTold(t, db, other)); d != "" {
				t.Errorf("%s (-want +got):\n%s", unit, d)
			}
		}, credits.Migrate)
	}
}

func TestUnits_AreToldInEveryAnswerAndFile(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *bun.DB) {
		clock := tenancytest.NewClock(start)
		l := credits.New(credits.Config{Unit: "gpu_second", Exponent: 3, Now: clock.Now})
		fund(t, l, db, 1500)
		held := hold(t, l, db, credits.Hold{
			Account: acc, Amount: 500, Actor: keyA, OnBehalf: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_secret"},
		})
		settle(t, l, db, credits.Settle{Account: acc, Hold: held.ID, Amount: 500, Basis: "-1;=2"})
		ask := as(t, l.Handler(db), acc)
		for _, target := range []string{"balance", "entries", "statement", "budgets"} {
			var answer struct {
				Unit     string
				Exponent int
			}
			body := ask("GET", "/credits/"+target).Body.Bytes()
			if err := json.Unmarshal(body, &answer); err != nil || answer.Unit != "gpu_second" || answer.Exponent != 3 {
				t.Errorf("%s: %s, %v", target, body, err)
			}
		}
		want := lines(csvHead, ",,opening,,0,,,,,,,,,,,,gpu_second",
			"1,2026-03-01T09:00:00.000000Z,grant,1500,1500,1500,,,,fund,system,credits,,,,,gpu_second",
			"2,2026-03-01T09:00:00.000000Z,settle,-500,1000,1000,,,,quitrent:settle:"+held.ID+",key,key_a,'-1;'=2,"+held.ID+",operator,,gpu_second",
			",,closing,,1000,,,,,,,,,,,,gpu_second")
		if d := cmp.Diff(want, writeCSV(t, l, db, credits.Statement{Account: acc})); d != "" {
			t.Error(d)
		}
	}, credits.Migrate)
}
