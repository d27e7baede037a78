package tenancy

import (
	"context"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/internal/tx"
)

// Register is a sign-up.
type Register struct {
	// Name is the account's and its owner's: 1 to 200 bytes.
	Name string
	// Email is the owner's address, unique among users whatever its letter case and
	// however its accents were typed.
	Email string
	// Zone is the account's IANA time zone. Default: "UTC".
	Zone string
	// Plan is the slug of a plan. Default: Config.TrialPlan. It is the host's
	// choice and never a visitor's: a plan that costs nothing may grant a lot.
	Plan string
	// Then runs in the registration's transaction after Config.OnRegister, with the
	// same rules; authn stores the password through it.
	Then Hook
}

// Registered is what a registration made.
type Registered struct {
	Account Account
	User    User
	Plan    Plan
}

// Register makes an account, its owner and everything Config.OnRegister adds, in
// one transaction: all of it or nothing. The account starts on trial when the plan
// has trial days, active when the plan is free, and waits for its first payment
// otherwise.
//
// It returns ErrInvalid, ErrEmailTaken (two sign-ups at once with one address
// make one account), ErrNoPlan, and the errors of the hooks as they are. In a
// transaction that the caller began, the error of a hook means: roll back, whatever
// error it is.
func (a *Accounts) Register(ctx context.Context, db bun.IDB, r Register) (Registered, error) {
	r, key, err := a.cleanRegister(r)
	if err != nil {
		return Registered{}, err
	}
	if a.cfg.BeforeRegister != nil {
		if err := a.cfg.BeforeRegister(ctx, r); err != nil {
			return Registered{}, err
		}
	}
	var out Registered
	err = tx.Join(ctx, db, func(db bun.IDB) error {
		out, err = a.register(ctx, db, r, key)
		return err
	})
	if err != nil {
		return Registered{}, err
	}
	return out, nil
}

func (a *Accounts) cleanRegister(r Register) (_ Register, emailKey string, err error) {
	if r.Name, err = ParseName(r.Name); err != nil {
		return r, "", err
	}
	if r.Email, emailKey, err = ParseEmail(r.Email); err != nil {
		return r, "", err
	}
	if r.Zone, err = ParseZone(r.Zone); err != nil {
		return r, "", err
	}
	return r, emailKey, nil
}

func (a *Accounts) register(ctx context.Context, db bun.IDB, r Register, emailKey string) (Registered, error) {
	plan, err := a.registrationPlan(ctx, db, r.Plan)
	if err != nil {
		return Registered{}, err
	}
	now := a.now()
	user, err := insertUser(ctx, db, CreateUser{Email: r.Email, Name: r.Name}, emailKey, now)
	if err != nil {
		return Registered{}, err
	}
	row := accountRow{
		ID: AccountID(id.New("acc")), Name: r.Name, Plan: plan.Slug, Owner: user.ID, Zone: r.Zone, CreatedAt: now, UpdatedAt: now,
	}
	switch {
	case plan.TrialDays > 0:
		row.Status, row.TrialEndsAt = StatusTrial, now.AddDate(0, 0, plan.TrialDays)
	case plan.Free():
		row.Status = StatusActive
	default:
		row.Status = StatusPendingPayment
	}
	if _, err := db.NewInsert().Model(&row).Exec(ctx); err != nil {
		return Registered{}, err
	}
	if err := insertMember(ctx, db, Member{Account: row.ID, User: user.ID, Roles: []Role{RoleOwner}, CreatedAt: now}); err != nil {
		return Registered{}, err
	}
	out := Registered{Account: row.account(), User: user, Plan: plan}
	for _, hook := range append(a.cfg.OnRegister[:len(a.cfg.OnRegister):len(a.cfg.OnRegister)], r.Then) {
		if hook == nil {
			continue
		}
		if err := hook(ctx, db, out); err != nil {
			return Registered{}, err
		}
	}
	err = Record(ctx, db, Audit{
		Account: row.ID, At: now, Actor: Actor{Kind: ActorUser, ID: string(user.ID)}, Action: "tenancy.register", Target: string(user.ID),
	})
	if err != nil {
		return Registered{}, err
	}
	err = Publish(ctx, db, row.ID, now, AccountRegistered{
		User: user.ID, Plan: plan.Slug, Status: row.Status, TrialEndsAt: row.TrialEndsAt,
	})
	if err != nil {
		return Registered{}, err
	}
	return out, a.changed(ctx, db, Account{}, out.Account)
}

// registrationPlan finds the plan to sign up for. That the trial plan is missing
// is the host's mistake and not the visitor's, so it is no sentinel.
func (a *Accounts) registrationPlan(ctx context.Context, db bun.IDB, slug string) (Plan, error) {
	byDefault := slug == ""
	if byDefault {
		slug = a.cfg.TrialPlan
	}
	plan, err := a.Plan(ctx, db, slug)
	if err == nil && !plan.Active {
		err = ErrNoPlan
	}
	if byDefault && errors.Is(err, ErrNoPlan) {
		return Plan{}, fmt.Errorf("the trial plan %q does not exist or is inactive: call Accounts.Ensure when the program starts", slug)
	}
	return plan, err
}
