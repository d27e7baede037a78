package billing_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/billing"
	"github.com/quitrent/quitrent/internal/dbtest"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/tenancytest"
)

func TestM8_Request_SaysWhatToPayAndChangesNothingElse(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		before := content(t, w.db, "tenancy_accounts", "credits_accounts", "credits_entries", "billing_subscriptions", "billing_accounts")
		got, err := w.billing.RequestTransfer(t.Context(), w.db, billing.RequestTransfer{
			Account: id, Plan: "growth", Interval: tenancy.Yearly, Currency: "USD", Actor: customer,
		})
		if err != nil {
			t.Fatal(err)
		}
		want := billing.Transfer{
			Account: id, ID: got.ID, Reference: got.Reference, Status: billing.StatusRequested, Plan: "growth", Currency: "USD",
			Interval: "year", Amount: 139000, Credits: 24000, RequestedBy: customer, RequestedAt: t0,
		}
		same(t, "transfer", want, got)
		if ref, err := billing.ParseReference(got.Reference); ref != got.Reference || err != nil {
			t.Errorf("reference %q: %v", got.Reference, err)
		}
		if !strings.HasPrefix(got.ID, "trf_") || strings.Contains(got.Reference, string(id)) {
			t.Errorf("id %q, reference %q", got.ID, got.Reference)
		}
		read, err := w.billing.Transfer(t.Context(), w.db, " "+strings.ToLower(got.Reference[:6])+" "+got.Reference[6:])
		same(t, "transfer read by its reference", want, read)
		wantErr(t, "reading it", err, nil)
		same(t, "the rest", before, content(t, w.db, "tenancy_accounts", "credits_accounts", "credits_entries", "billing_subscriptions", "billing_accounts"))
		same(t, "event", billing.TransferRequested{
			Transfer: got.ID, Reference: got.Reference, Plan: "growth", Amount: 139000, Currency: "USD",
		}, tenancytest.RequireEvent[billing.TransferRequested](t, w.db, id))
		line := tenancytest.RequireAudit(t, w.db, id, "billing.request_transfer")
		if line.Actor != customer || line.Target != got.ID || !line.At.Equal(t0) {
			t.Errorf("audit %+v", line)
		}
	})
}

func TestM8_Request_RefusalsWriteNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		closed := w.account(t)
		w.change(t, tenancy.Change{Account: closed, Status: tenancy.StatusClosed})
		retired := growth
		retired.Slug, retired.Active = "retired", false
		huge := growth
		huge.Slug, huge.MonthlyCredits = "huge", math.MaxInt64/12+1
		if _, err := w.accounts.Ensure(t.Context(), w.db, retired, huge); err != nil {
			t.Fatal(err)
		}
		long := strings.Repeat("x", 1<<20)
		for what, c := range map[string]struct {
			request billing.RequestTransfer
			want    error
		}{
			"an unknown plan":           {billing.RequestTransfer{Account: id, Plan: "gold"}, tenancy.ErrNoPlan},
			"no plan":                   {billing.RequestTransfer{Account: id}, tenancy.ErrNoPlan},
			"an endless plan":           {billing.RequestTransfer{Account: id, Plan: long}, tenancy.ErrNoPlan},
			"a plan with a NUL":         {billing.RequestTransfer{Account: id, Plan: "growth\x00"}, tenancy.ErrNoPlan},
			"a retired plan":            {billing.RequestTransfer{Account: id, Plan: "retired"}, tenancy.ErrNoPlan},
			"a free plan":               {billing.RequestTransfer{Account: id, Plan: tenancy.DefaultTrialPlan}, billing.ErrNotForSale},
			"a price of zero":           {billing.RequestTransfer{Account: id, Plan: "growth", Currency: "JPY"}, billing.ErrNotForSale},
			"another currency":          {billing.RequestTransfer{Account: id, Plan: "growth", Currency: "CHF"}, billing.ErrNotForSale},
			"no yearly price":           {billing.RequestTransfer{Account: id, Plan: "starter", Interval: "year"}, billing.ErrNotForSale},
			"a currency in lower case":  {billing.RequestTransfer{Account: id, Plan: "growth", Currency: "usd"}, billing.ErrInvalid},
			"no currency's name":        {billing.RequestTransfer{Account: id, Plan: "growth", Currency: "USD\x00"}, billing.ErrInvalid},
			"an endless currency":       {billing.RequestTransfer{Account: id, Plan: "growth", Currency: long}, billing.ErrInvalid},
			"another interval":          {billing.RequestTransfer{Account: id, Plan: "growth", Interval: "week"}, billing.ErrInvalid},
			"an endless interval":       {billing.RequestTransfer{Account: id, Plan: "growth", Interval: long}, billing.ErrInvalid},
			"credits beyond int64":      {billing.RequestTransfer{Account: id, Plan: "huge", Interval: "year"}, billing.ErrInvalid},
			"an unknown account":        {billing.RequestTransfer{Account: "acc_none", Plan: "growth"}, tenancy.ErrNoAccount},
			"no account":                {billing.RequestTransfer{Plan: "growth"}, tenancy.ErrNoAccount},
			"an account with a NUL":     {billing.RequestTransfer{Account: id + "\x00", Plan: "growth"}, tenancy.ErrNoAccount},
			"a closed account":          {billing.RequestTransfer{Account: closed, Plan: "growth"}, tenancy.ErrNoAccount},
			"nobody":                    {billing.RequestTransfer{Account: id, Plan: "growth", Actor: tenancy.Actor{ID: " "}}, billing.ErrInvalid},
			"an actor without an id":    {billing.RequestTransfer{Account: id, Plan: "growth", Actor: tenancy.Actor{Kind: tenancy.ActorUser}}, billing.ErrInvalid},
			"an actor with a NUL":       {billing.RequestTransfer{Account: id, Plan: "growth", Actor: tenancy.Actor{Kind: "user", ID: "a\x00"}}, billing.ErrInvalid},
			"an actor with a long name": {billing.RequestTransfer{Account: id, Plan: "growth", Actor: tenancy.Actor{Kind: "user", ID: long}}, billing.ErrInvalid},
		} {
			if c.request.Actor == (tenancy.Actor{}) {
				c.request.Actor = customer
			}
			w.refused(t, what, c.want, func(tx bun.IDB) error {
				got, err := w.billing.RequestTransfer(t.Context(), tx, c.request)
				same(t, what, billing.Transfer{}, got)
				if err != nil && len(err.Error()) > 500 {
					t.Errorf("%s: the error has %d bytes", what, len(err.Error()))
				}
				return err
			})
		}
	})
}

func TestM8_Request_WithoutABankIsRefused(t *testing.T) {
	db := dbtest.SQLite(t, billing.Migrate)
	w := newWorld(t, db, billing.Config{})
	none, err := billing.New(w.accounts, w.ledger, billing.Config{})
	if err != nil {
		t.Fatal(err)
	}
	id := w.account(t)
	unchanged(t, db, "a request without a bank", func() {
		_, err = none.RequestTransfer(t.Context(), db, billing.RequestTransfer{Account: id, Plan: "starter", Actor: customer})
	})
	if err == nil || !strings.Contains(err.Error(), "Config.Bank") {
		t.Errorf("got %v", err)
	}
}

func TestM8_Request_TheSameOpenOfferIsTheSameTransfer(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, other := w.account(t), w.account(t)
		first := w.request(t, id, "growth")
		unchanged(t, w.db, "asking again", func() { same(t, "asked again", first, w.request(t, id, "growth")) })
		if w.request(t, other, "growth").Reference == first.Reference {
			t.Error("two accounts have one reference")
		}

		dearer := growth
		dearer.Prices = []tenancy.Price{{Currency: "USD", Interval: tenancy.Monthly, Amount: 14900}}
		if _, err := w.accounts.Ensure(t.Context(), w.db, dearer); err != nil {
			t.Fatal(err)
		}
		second := w.request(t, id, "growth")
		if second.Reference == first.Reference || second.Amount != 14900 {
			t.Errorf("after the price rose: %+v", second)
		}
		dearer.MonthlyCredits++
		if _, err := w.accounts.Ensure(t.Context(), w.db, dearer); err != nil {
			t.Fatal(err)
		}
		if third := w.request(t, id, "growth"); third.Reference == second.Reference || third.Credits != 2001 {
			t.Errorf("after the credits rose: %+v", third)
		}
		w.confirm(t, second.Reference)
		dearer.MonthlyCredits--
		if _, err := w.accounts.Ensure(t.Context(), w.db, dearer); err != nil {
			t.Fatal(err)
		}
		if fourth := w.request(t, id, "growth"); fourth.Reference == second.Reference {
			t.Error("a transfer that is paid was offered again")
		}
	})
}

func TestM8_Request_AskedConcurrentlyIsOneTransfer(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const rounds = 8
		for range rounds {
			id := w.account(t)
			got := make([]billing.Transfer, 12)
			for _, err := range dbtest.Together(len(got), func(i int) (err error) {
				got[i], err = w.billing.RequestTransfer(t.Context(), w.db, billing.RequestTransfer{Account: id, Plan: "starter", Actor: customer})
				return err
			}) {
				wantErr(t, "asking", err, nil)
			}
			for _, tr := range got {
				same(t, "transfer", got[0], tr)
			}
		}
		for table, rows := range content(t, w.db, "billing_transfers", "billing_references") {
			if len(rows) != rounds {
				t.Errorf("%s has %d rows, want one an account", table, len(rows))
			}
		}
	})
}

func TestM8_Request_OpenTransfersAreBounded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.account(t)
		plan := growth
		ask := func(tx bun.IDB, amount int64) error {
			plan.Prices = []tenancy.Price{{Currency: "USD", Interval: tenancy.Monthly, Amount: amount}}
			if _, err := w.accounts.Ensure(t.Context(), w.db, plan); err != nil {
				t.Fatal(err)
			}
			_, err := w.billing.RequestTransfer(t.Context(), tx, billing.RequestTransfer{Account: id, Plan: plan.Slug, Actor: customer})
			return err
		}
		for i := range int64(10) {
			wantErr(t, "one of ten", ask(w.db, 100+i), nil)
		}
		if _, err := w.accounts.Ensure(t.Context(), w.db, growth); err != nil {
			t.Fatal(err)
		}
		refuse := billing.RequestTransfer{Account: id, Plan: plan.Slug, Actor: customer}
		w.refused(t, "the eleventh", billing.ErrTooManyOpen, func(tx bun.IDB) error {
			_, err := w.billing.RequestTransfer(t.Context(), tx, refuse)
			return err
		})
		wantErr(t, "one of the ten again", ask(w.db, 105), nil)
		open, err := w.billing.Transfers(t.Context(), w.db, billing.Transfers{Account: id, Status: billing.StatusRequested})
		if err != nil || len(open) != 10 {
			t.Fatalf("%d open, %v", len(open), err)
		}
		if _, err := w.billing.RejectTransfer(t.Context(), w.db, rejection(open[0].Reference)); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "after one was rejected", ask(w.db, 200), nil)
	})
}

func TestTransfers_PagesNewestFirstOfOneAccountOrAll(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		one, two := w.account(t), w.account(t)
		a := w.request(t, one, "starter")
		b := w.request(t, two, "starter")
		c := w.confirm(t, w.request(t, one, "growth").Reference)
		for what, tc := range map[string]struct {
			page billing.Transfers
			want []billing.Transfer
		}{
			"one account's":     {billing.Transfers{Account: one}, []billing.Transfer{c, a}},
			"the other's":       {billing.Transfers{Account: two}, []billing.Transfer{b}},
			"everybody's":       {billing.Transfers{Everybody: true}, []billing.Transfer{c, b, a}},
			"confirmed":         {billing.Transfers{Everybody: true, Status: billing.StatusConfirmed}, []billing.Transfer{c}},
			"one's requested":   {billing.Transfers{Account: one, Status: billing.StatusRequested}, []billing.Transfer{a}},
			"the first":         {billing.Transfers{Everybody: true, Limit: 1}, []billing.Transfer{c}},
			"the next":          {billing.Transfers{Everybody: true, Limit: 1, Before: c.ID}, []billing.Transfer{b}},
			"past the end":      {billing.Transfers{Everybody: true, Before: a.ID}, []billing.Transfer{}},
			"an unknown one's":  {billing.Transfers{Account: "acc_none"}, []billing.Transfer{}},
			"from another's id": {billing.Transfers{Account: one, Before: b.ID}, []billing.Transfer{a}},
		} {
			got, err := w.billing.Transfers(t.Context(), w.db, tc.page)
			same(t, what, tc.want, got)
			wantErr(t, what, err, nil)
		}
		for what, page := range map[string]billing.Transfers{
			"nobody's":           {},
			"everybody's of one": {Account: one, Everybody: true},
			"a NUL in the id":    {Account: one + "\x00"},
			"a NUL in the mark":  {Account: one, Before: "\x00"},
			"an unknown status":  {Account: one, Status: "open"},
			"a NUL in it":        {Account: one, Status: "\x00"},
			"an endless mark":    {Account: one, Before: strings.Repeat("x", 1<<20)},
		} {
			w.refused(t, what, billing.ErrInvalid, func(tx bun.IDB) error {
				_, err := w.billing.Transfers(t.Context(), tx, page)
				return err
			})
		}
	})
}

func TestNew_RefusesWhatMakesNoSense(t *testing.T) {
	w := build(nil, billing.Config{})
	for what, cfg := range map[string]billing.Config{
		"a mistyped IBAN":          {Bank: billing.Bank{Holder: "Q", IBAN: "DE02 1203 0000 0000 2020 52"}},
		"an IBAN that is cut":      {Bank: billing.Bank{Holder: "Q", IBAN: "DE02 1203 0000 0000 2020"}},
		"no IBAN":                  {Bank: billing.Bank{Holder: "Q"}},
		"no holder":                {Bank: billing.Bank{IBAN: bank.IBAN}},
		"a holder with a newline":  {Bank: billing.Bank{Holder: "Q\nLtd", IBAN: bank.IBAN}},
		"a BIC that is cut":        {Bank: billing.Bank{Holder: "Q", IBAN: bank.IBAN, BIC: "BYLADEM10"}},
		"a BIC with a dot":         {Bank: billing.Bank{Holder: "Q", IBAN: bank.IBAN, BIC: "BYLADE.1"}},
		"a negative grace":         {Grace: -1},
		"a currency's sign":        {Currency: "$"},
		"a currency in lower case": {Currency: "usd"},
	} {
		if s, err := billing.New(w.accounts, w.ledger, cfg); err == nil || s != nil {
			t.Errorf("%s was taken", what)
		}
	}
	if _, err := billing.New(nil, w.ledger, billing.Config{}); err == nil {
		t.Error("no accounts were taken")
	}
	if _, err := billing.New(w.accounts, nil, billing.Config{}); err == nil {
		t.Error("no ledger was taken")
	}
	for _, cfg := range []billing.Config{
		{}, {Grace: time.Hour, Currency: "EUR"}, {Bank: billing.Bank{Holder: "Q", IBAN: " gb33bukb 20201555555555 ", BIC: "bukb gb22 xxx"}},
	} {
		if _, err := billing.New(w.accounts, w.ledger, cfg); err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestTransfer_UnknownAndMistypedReferences(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for ref, want := range map[string]error{
			"RF18 5390 0754 7034": billing.ErrNoTransfer, "RF19539007547034": billing.ErrReference, "": billing.ErrReference,
			"RF18\x005390": billing.ErrReference, "trf_1": billing.ErrReference, strings.Repeat("RF18", 1<<18): billing.ErrReference,
		} {
			what := ref[:min(len(ref), 30)]
			w.refused(t, what, want, func(tx bun.IDB) error {
				got, err := w.billing.Transfer(t.Context(), tx, ref)
				same(t, what, billing.Transfer{}, got)
				_, err2 := w.billing.ConfirmTransfer(t.Context(), tx, confirmation(ref))
				_, err3 := w.billing.RejectTransfer(t.Context(), tx, rejection(ref))
				if !errors.Is(err2, want) || !errors.Is(err3, want) {
					t.Errorf("%q: confirm %v, reject %v", what, err2, err3)
				}
				return err
			})
		}
	})
}
