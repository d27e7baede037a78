package tenancy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
)

// Overrides are what one account has otherwise than its plan says, whatever plan it
// goes to.
type Overrides struct {
	// Limits stand in the place of the plan's, or beside them.
	Limits map[string]int64 `json:"limits,omitempty"`
	// Unlimited are the limits that do not count for the account, in order.
	Unlimited []string `json:"unlimited,omitempty"`
	// Flags stand in the place of the plan's, or beside them.
	Flags map[string]bool `json:"flags,omitempty"`
}

// Override gives one account limits and flags of its own.
type Override struct {
	Account AccountID
	// Limits are to be the account's own.
	Limits map[string]int64
	// Unlimited are limits that are to count no more.
	Unlimited []string
	// Flags are to be the account's own, true and false.
	Flags map[string]bool
	// Clear are names, of limits or flags, for which the plan is to count again.
	Clear  []string
	Actor  Actor
	Reason string
}

// maxOverrides bounds the names that one account has of its own.
const maxOverrides = 200

// Override changes what an account has otherwise than its plan says, under the
// account's lock, and returns all of it. What o does not name stays. The plan that
// Enter and Load return has it in it from the commit on. An override that changes
// nothing writes nothing.
//
// It returns ErrForbidden for an actor that is neither operator nor system,
// ErrNoAccount, also for an account that is closed, and ErrInvalid when the actor is
// missing, a number is negative, a name is empty, over 64 bytes or named twice, a
// limit's name is a flag's of the account or of its plan, or the account would have
// over 200 names of its own.
func (a *Accounts) Override(ctx context.Context, db bun.IDB, o Override) (Overrides, error) {
	line := Audit{Account: o.Account, Actor: o.Actor, Action: "tenancy.override", Reason: o.Reason}
	if err := line.Validate(); err != nil {
		return Overrides{}, err
	}
	if err := runsTheService(o.Actor); err != nil {
		return Overrides{}, err
	}
	if err := o.validate(); err != nil {
		return Overrides{}, err
	}
	var out Overrides
	err := tx.Join(ctx, db, func(db bun.IDB) error {
		row, err := lockAccount(ctx, db, o.Account)
		if err != nil {
			return err
		}
		if row.gone() {
			return ErrNoAccount
		}
		old, err := readOverrides(ctx, db, o.Account)
		if err != nil {
			return err
		}
		own := old.with(o)
		if out = own.overrides(); own.equal(old) {
			return nil
		}
		if err := a.checkOverrides(ctx, db, row.Plan, own); err != nil {
			return err
		}
		limits, flags, err := own.marshal()
		if err != nil {
			return err
		}
		line.At = a.now()
		_, err = db.NewUpdate().Model((*overrideRow)(nil)).Set("limits = ?, flags = ?, updated_at = ?", limits, flags, line.At).
			Where("account_id = ?", o.Account).Exec(ctx)
		if err != nil {
			return err
		}
		if err := a.Changed(ctx, db, o.Account.Subject()); err != nil {
			return err
		}
		fact := AccountOverridden{out}
		if line.Data, err = json.Marshal(fact); err != nil {
			return err
		}
		return Note(ctx, db, line, fact)
	})
	if err != nil {
		return Overrides{}, err
	}
	return out, nil
}

// Overrides reads what an account has otherwise than its plan says. ErrNoAccount:
// there is none.
func (a *Accounts) Overrides(ctx context.Context, db bun.IDB, id AccountID) (Overrides, error) {
	if !id.known() {
		return Overrides{}, ErrNoAccount
	}
	own, err := readOverrides(ctx, db, id)
	if err != nil {
		return Overrides{}, err
	}
	return own.overrides(), nil
}

func (o Override) validate() error {
	seen := map[string]bool{}
	for _, names := range [][]string{slices.Collect(maps.Keys(o.Limits)), o.Unlimited, slices.Collect(maps.Keys(o.Flags)), o.Clear} {
		for _, name := range names {
			if name == "" {
				return fmt.Errorf("%w: a limit or a flag is unnamed", ErrInvalid)
			}
			if err := CheckText("name of a limit or a flag", name, maxEntitlement); err != nil {
				return err
			}
			if seen[name] {
				return fmt.Errorf("%w: %q is named twice", ErrInvalid, name)
			}
			seen[name] = true
		}
	}
	for name, n := range o.Limits {
		if n < 0 {
			return fmt.Errorf("%w: the limit %q is negative", ErrInvalid, name)
		}
	}
	return nil
}

// checkOverrides looks for what only shows beside the rest.
func (a *Accounts) checkOverrides(ctx context.Context, db bun.IDB, slug string, own overrides) error {
	if len(own.limits)+len(own.flags) > maxOverrides {
		return fmt.Errorf("%w: an account has at most %d limits and flags of its own", ErrInvalid, maxOverrides)
	}
	plan, err := a.Plan(ctx, db, slug)
	if err != nil && !errors.Is(err, ErrNoPlan) {
		return err
	}
	for name := range own.flags {
		_, mine := own.limits[name]
		if _, plans := plan.Limits[name]; mine || plans {
			return fmt.Errorf("%w: %q is a limit and no flag", ErrInvalid, name)
		}
	}
	for name := range own.limits {
		if _, plans := plan.Flags[name]; plans {
			return fmt.Errorf("%w: %q is a flag and no limit", ErrInvalid, name)
		}
	}
	return nil
}

// overrides is what the two columns hold. A limit that is nil does not count.
type overrides struct {
	limits map[string]*int64
	flags  map[string]bool
}

type overrideRow struct {
	bun.BaseModel `bun:"table:tenancy_accounts,alias:a"`

	ID        AccountID `bun:"account_id,pk"`
	Limits    string    `bun:"limits"`
	Flags     string    `bun:"flags"`
	UpdatedAt time.Time `bun:"updated_at"`
}

func readOverrides(ctx context.Context, db bun.IDB, id AccountID) (overrides, error) {
	var row overrideRow
	err := db.NewSelect().Model(&row).Column("limits", "flags").Where("account_id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return overrides{}, ErrNoAccount
	}
	if err != nil {
		return overrides{}, err
	}
	return parseOverrides(row.Limits, row.Flags)
}

func parseOverrides(limits, flags string) (o overrides, err error) {
	if limits != "{}" { // which most accounts have, and Enter reads each time
		err = json.Unmarshal([]byte(limits), &o.limits)
	}
	if flags != "{}" {
		err = errors.Join(err, json.Unmarshal([]byte(flags), &o.flags))
	}
	return o, err
}

func (o overrides) marshal() (limits, flags string, err error) {
	l, err1 := json.Marshal(o.limits)
	f, err2 := json.Marshal(o.flags)
	return string(l), string(f), errors.Join(err1, err2)
}

// with is o after a change: a copy.
func (o overrides) with(c Override) overrides {
	n := overrides{limits: map[string]*int64{}, flags: map[string]bool{}}
	maps.Copy(n.limits, o.limits)
	maps.Copy(n.flags, o.flags)
	for _, name := range c.Clear {
		delete(n.limits, name)
		delete(n.flags, name)
	}
	for name, most := range c.Limits {
		n.limits[name] = &most
	}
	for _, name := range c.Unlimited {
		n.limits[name] = nil
	}
	maps.Copy(n.flags, c.Flags)
	return n
}

func (o overrides) equal(p overrides) bool {
	same := func(a, b *int64) bool { return a == b || a != nil && b != nil && *a == *b }
	return maps.EqualFunc(o.limits, p.limits, same) && maps.Equal(o.flags, p.flags)
}

func (o overrides) overrides() Overrides {
	var out Overrides
	for _, name := range slices.Sorted(maps.Keys(o.limits)) {
		if most := o.limits[name]; most == nil {
			out.Unlimited = append(out.Unlimited, name)
		} else {
			if out.Limits == nil {
				out.Limits = map[string]int64{}
			}
			out.Limits[name] = *most
		}
	}
	if len(o.flags) > 0 {
		out.Flags = maps.Clone(o.flags)
	}
	return out
}

// apply puts the account's own into its plan, whose maps nobody else holds.
func (o overrides) apply(p *Plan) {
	for name, most := range o.limits {
		switch {
		case most == nil:
			delete(p.Limits, name)
		default:
			if p.Limits == nil {
				p.Limits = map[string]int64{}
			}
			p.Limits[name] = *most
		}
	}
	for name, on := range o.flags {
		if p.Flags == nil {
			p.Flags = map[string]bool{}
		}
		p.Flags[name] = on
	}
}
