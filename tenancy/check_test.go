package tenancy_test

import (
	"fmt"
	"math/bits"
	"testing"
	"time"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// The table of the one validation. The letters are the capabilities in their
// order: sign_in, Read, Write, spend ($), mint_keys, pay, export.
const (
	everything = "SRW$MPE"
	toPay      = "SR---PE"
	toLeave    = "S----PE"
	nothing    = "-------"
)

func TestM2_Check_TheWholeTable(t *testing.T) {
	var (
		end     = time.Date(2026, 3, 15, 9, 0, 0, 123456000, time.UTC)
		before  = time.Date(2026, 3, 15, 9, 0, 0, 123455000, time.UTC) // one microsecond earlier
		after   = time.Date(2026, 3, 15, 9, 0, 0, 123457000, time.UTC)
		muchOn  = time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC)
		good    = tenancy.Plan{Slug: "starter", Active: true}
		stopped = tenancy.Plan{Slug: "starter"}
		none    = tenancy.Plan{}
		unnamed = tenancy.Plan{Active: true}
	)
	state := func(s tenancy.Status) tenancy.State { return tenancy.State{Status: s} }
	trial := tenancy.State{Status: tenancy.StatusTrial, TrialEndsAt: end}
	paid := tenancy.State{Status: tenancy.StatusActive, PaidUntil: end}
	grace := tenancy.State{Status: tenancy.StatusPastDue, GraceEndsAt: end}

	for _, c := range []struct {
		name   string
		state  tenancy.State
		plan   tenancy.Plan
		at     time.Time
		may    string
		code   string
		status int
	}{
		{"trial before its end", trial, good, before, everything, "", 0},
		{"trial at its end", trial, good, end, toPay, "trial_over", 402},
		{"trial after its end", trial, good, after, toPay, "trial_over", 402},
		{"trial long over", trial, good, muchOn, toPay, "trial_over", 402},
		{"trial without end", state("trial"), good, muchOn, everything, "", 0},
		{"trial on a stopped plan", trial, stopped, before, toPay, "plan_inactive", 403},
		{"trial without plan", trial, none, before, toPay, "plan_inactive", 403},
		{"trial over on a stopped plan", trial, stopped, end, toPay, "trial_over", 402},

		{"active", state("active"), good, muchOn, everything, "", 0},
		{"active, with an old trial's end", tenancy.State{Status: "active", TrialEndsAt: end}, good, muchOn, everything, "", 0},
		{"active before the end of what is paid", paid, good, before, everything, "", 0},
		{"active at the end of what is paid", paid, good, end, toPay, "past_due", 402},
		{"active after the end of what is paid", paid, good, muchOn, toPay, "past_due", 402},
		{"paid, on a stopped plan", paid, stopped, before, toPay, "plan_inactive", 403},
		{"active on a stopped plan", state("active"), stopped, end, toPay, "plan_inactive", 403},
		{"active without plan", state("active"), none, end, toPay, "plan_inactive", 403},
		{"active on a plan without a name", state("active"), unnamed, end, toPay, "plan_inactive", 403},

		{"past due before the end of grace", grace, good, before, everything, "", 0},
		{"past due at the end of grace", grace, good, end, toPay, "past_due", 402},
		{"past due after grace", grace, good, after, toPay, "past_due", 402},
		{"past due without grace", state("past_due"), good, before, toPay, "past_due", 402},
		{"past due within grace on a stopped plan", grace, stopped, before, toPay, "plan_inactive", 403},
		{"past due without plan", grace, none, end, toPay, "past_due", 402},

		{"payment pending", state("pending_payment"), good, before, toPay, "payment_pending", 402},
		{"payment pending without plan", state("pending_payment"), none, before, toPay, "payment_pending", 402},
		{"payment pending within an old grace", tenancy.State{Status: "pending_payment", GraceEndsAt: end}, good, before, toPay, "payment_pending", 402},

		{"suspended", state("suspended"), good, before, toLeave, "account_suspended", 403},
		{"suspended within its trial", tenancy.State{Status: "suspended", TrialEndsAt: end, GraceEndsAt: end}, good, before, toLeave, "account_suspended", 403},
		{"suspended without plan", state("suspended"), none, before, toLeave, "account_suspended", 403},

		{"cancelled", state("cancelled"), good, before, toLeave, "account_cancelled", 403},
		{"cancelled within its trial", tenancy.State{Status: "cancelled", TrialEndsAt: end}, good, before, toLeave, "account_cancelled", 403},
		{"cancelled without plan", state("cancelled"), none, before, toLeave, "account_cancelled", 403},

		{"closed", state("closed"), good, before, nothing, "no_account", 404},
		{"erased", state("erased"), good, before, nothing, "no_account", 404},
		{"unknown status", state("vip"), good, before, nothing, "account_status_unknown", 403},
		{"status in other letters", state("Active"), good, before, nothing, "account_status_unknown", 403},
		{"no status", state(""), good, before, nothing, "account_status_unknown", 403},
		{"nothing at all", tenancy.State{}, none, time.Time{}, nothing, "account_status_unknown", 403},
	} {
		var may tenancy.Capability
		for i, letter := range c.may {
			if letter != '-' {
				may |= 1 << i
			}
		}
		for want := tenancy.Capability(1); want < 128; want++ { // alone and in every set
			err := tenancy.Check(c.state, c.plan, c.at, want)
			if want&^may == 0 {
				if err != nil {
					t.Errorf("%s, %s: refused with %v", c.name, want, err)
				}
				continue
			}
			if err == nil {
				t.Errorf("%s, %s: allowed", c.name, want)
				continue
			}
			if status, code, _ := problem.Of(err); status != c.status || code != c.code {
				t.Errorf("%s, %s: answers %d %s, want %d %s", c.name, want, status, code, c.status, c.code)
			}
		}
	}
}

func TestM2_Check_ACapabilityNobodyKnowsIsOneNobodyHas(t *testing.T) {
	active, plan := tenancy.State{Status: tenancy.StatusActive}, tenancy.Plan{Slug: "starter", Active: true}
	for _, c := range []tenancy.Capability{0, 128, 128 | tenancy.Read, 255} {
		wantErr(t, fmt.Sprint(uint8(c)), tenancy.Check(active, plan, t0, c), tenancy.ErrForbidden)
	}
}

func TestM2_Check_InstantsAreComparedWhateverTheirZone(t *testing.T) {
	plan := tenancy.Plan{Slug: "starter", Active: true}
	east := time.FixedZone("", 5*3600)
	trial := tenancy.State{Status: tenancy.StatusTrial, TrialEndsAt: t0.In(east)}
	wantErr(t, "just before", tenancy.Check(trial, plan, t0.Add(-time.Nanosecond), tenancy.Use), nil)
	wantErr(t, "at", tenancy.Check(trial, plan, t0, tenancy.Use), tenancy.ErrTrialOver)
}

func TestCapability_NamesRoundTrip(t *testing.T) {
	for c := tenancy.Capability(1); c < 128; c++ {
		if got, ok := tenancy.ParseCapability(c.String()); !ok || got != c {
			t.Errorf("%q is read as %q", c, got)
		}
	}
	for want, c := range map[string]tenancy.Capability{
		"sign_in": tenancy.SignIn, "read": tenancy.Read, "write": tenancy.Write, "spend": tenancy.Spend,
		"mint_keys": tenancy.MintKeys, "pay": tenancy.Pay, "export": tenancy.Export, "read+write+spend": tenancy.Use,
	} {
		if got := c.String(); got != want {
			t.Errorf("%08b is %q, want %q", c, got, want)
		}
		if n := bits.OnesCount8(uint8(c)); (n == 1) == (c == tenancy.Use) {
			t.Errorf("%s has %d bits", want, n)
		}
	}
	for _, s := range []string{"", "+", "read+", "admin", "read admin", "Read"} {
		if c, ok := tenancy.ParseCapability(s); ok || c != 0 {
			t.Errorf("%q is read as %q", s, c)
		}
	}
}
