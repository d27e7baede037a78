package credits

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// SetBudget limits what somebody may spend of an account's credits.
type SetBudget struct {
	Account tenancy.AccountID
	// Subject is who: a key, a user. Its spending is what names it as Actor or OnBehalf.
	Subject tenancy.Actor
	// Limit is in credits a period. 0: nothing may be spent.
	Limit int64
	// Period is how often it begins anew. Default: BudgetLife, never.
	Period BudgetPeriod
	// Zone is the IANA time zone in which days, weeks and months begin. Default: UTC.
	Zone string
	// Actor is who sets it, for the audit log. Default: the system.
	Actor tenancy.Actor
}

// RemoveBudget takes a budget away: its subject may spend what the account has.
type RemoveBudget struct {
	Account tenancy.AccountID
	Subject tenancy.Actor
	// Actor is who removes it, for the audit log. Default: the system.
	Actor tenancy.Actor
}

// Budget is what somebody may spend of an account's credits, as it is.
type Budget struct {
	Subject tenancy.Actor `json:"subject"`
	// Limit is in credits a period, Used what was spent in this one and not given back,
	// Held what open holds hold. Used may be more than Limit: Settle charges what the work
	// cost, and the limit may have been lowered.
	Limit  int64        `json:"limit"`
	Used   int64        `json:"used"`
	Held   int64        `json:"held"`
	Period BudgetPeriod `json:"period"`
	Zone   string       `json:"zone"`
	// Since is when this period began, Until when the next one does; zero if none does.
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"`
}

// SetBudget limits what a subject may spend in a period, or changes the limit: at once,
// for what is spent from now on. What its open holds hold counts from the beginning, and
// what it spent before does not. A change of the limit leaves what was used as it is; with
// another period or zone the budget begins anew.
//
// Deduct and Hold count against the budgets of their Actor and of OnBehalf, under the
// account's lock; a Hold counts until it is settled or released, in whichever period that
// is. Settle charges what the work cost, against the period in which it does, and even
// past the limit: the work is done. A Refund gives back to the budget while the period in
// which the credits were spent lasts.
//
// It returns ErrInvalid.
func (l *Ledger) SetBudget(ctx context.Context, db bun.IDB, s SetBudget) (Budget, error) {
	if s.Period == "" {
		s.Period = BudgetLife
	}
	var err error
	if s.Zone, err = checkZone(s.Zone); err != nil {
		return Budget{}, err
	}
	audit := budgetAudit(s.Account, s.Subject, s.Actor, "credits.set_budget")
	if err := s.validate(audit); err != nil {
		return Budget{}, err
	}
	var set Budget
	_, err = l.ask(ctx, db, request{
		account: s.Account, alone: true, opens: true, spenders: spenders{s.Subject},
		do: func(ctx context.Context, b *book) (outcome, error) {
			budget, err := b.setBudget(ctx, s, audit)
			set = budget
			return outcome{}, err
		},
	})
	if err != nil {
		return Budget{}, err
	}
	return set, nil
}

func (s SetBudget) validate(audit tenancy.Audit) error {
	if err := checkSubject(s.Account, s.Subject, audit); err != nil {
		return err
	}
	if s.Limit < 0 {
		return fmt.Errorf("%w: the limit is below zero", ErrInvalid)
	}
	if !slices.Contains(budgetPeriods, s.Period) {
		return fmt.Errorf("%w: the period of a budget is none of %v", ErrInvalid, budgetPeriods)
	}
	return nil
}

func checkSubject(account tenancy.AccountID, subject tenancy.Actor, audit tenancy.Audit) error {
	if err := checkAccount(account); err != nil {
		return err
	}
	if subject == (tenancy.Actor{}) {
		return fmt.Errorf("%w: a budget is somebody's", ErrInvalid)
	}
	if err := checkActor(subject); err != nil {
		return err
	}
	if audit.Validate() != nil {
		return fmt.Errorf("%w: the actor and the subject have a kind and an id, in text that prints, 200 bytes together", ErrInvalid)
	}
	return nil
}

func budgetAudit(account tenancy.AccountID, subject, actor tenancy.Actor, action string) tenancy.Audit {
	return tenancy.Audit{Account: account, Actor: cmp.Or(actor, ownActor), Action: action, Target: string(subject.Kind) + ":" + subject.ID}
}

func (b *book) setBudget(ctx context.Context, s SetBudget, audit tenancy.Audit) (Budget, error) {
	at := b.time()
	row, err := b.budget(ctx, s.Subject)
	if err != nil {
		return Budget{}, err
	}
	if row == nil {
		held, err := b.heldBy(ctx, s.Subject)
		if err != nil {
			return Budget{}, err
		}
		row = &budgetRow{
			Account: b.account, Unit: b.ledger.cfg.Unit, Kind: s.Subject.Kind, ID: s.Subject.ID,
			Held: held, CreatedAt: b.now, made: true,
		}
		b.budgets[s.Subject] = row
		b.note(b.count(`UPDATE credits_accounts SET budgets = budgets + 1, epoch = epoch + ? WHERE account_id = ? AND unit = ?`))
	} else if err := row.roll(at); err != nil {
		return Budget{}, err
	}
	if row.Period != s.Period || row.Zone != s.Zone {
		row.Period, row.Zone, row.Used, row.Number = s.Period, s.Zone, 0, b.row.number
		if row.Since, row.Until, err = s.Period.around(at, s.Zone); err != nil {
			return Budget{}, err
		}
	}
	row.Limit, row.changed = s.Limit, true
	audit.At = b.now
	audit.Data = fmt.Appendf(nil, `{"limit":%d,"period":%q,"zone":%q%s}`, s.Limit, s.Period, s.Zone, b.ledger.dataUnit())
	b.note(func(ctx context.Context, db bun.IDB) error { return tenancy.Record(ctx, db, audit) })
	return row.budget(), nil
}

// RemoveBudget takes a budget away. It returns ErrNoBudget and ErrInvalid.
func (l *Ledger) RemoveBudget(ctx context.Context, db bun.IDB, r RemoveBudget) error {
	audit := budgetAudit(r.Account, r.Subject, r.Actor, "credits.remove_budget")
	if err := checkSubject(r.Account, r.Subject, audit); err != nil {
		return err
	}
	_, err := l.ask(ctx, db, request{
		account: r.Account, alone: true, none: ErrNoBudget, spenders: spenders{r.Subject},
		do: func(ctx context.Context, b *book) (outcome, error) {
			row, err := b.budget(ctx, r.Subject)
			if err == nil && row == nil {
				err = ErrNoBudget
			}
			if err != nil {
				return outcome{}, err
			}
			b.budgets[r.Subject] = nil
			b.note(b.count(`UPDATE credits_accounts SET budgets = budgets - 1, epoch = epoch + ? WHERE account_id = ? AND unit = ?`))
			audit.At = b.now
			audit.Data = l.unitData()
			b.note(func(ctx context.Context, db bun.IDB) error {
				if _, err := db.NewDelete().Model(row).WherePK().Exec(ctx); err != nil {
					return err
				}
				return tenancy.Record(ctx, db, audit)
			})
			return outcome{}, nil
		},
	})
	return err
}

// count is a note that changes one of the account's counters.
func (b *book) count(query string) func(context.Context, bun.IDB) error {
	return func(ctx context.Context, db bun.IDB) error {
		return moved(1)(db.ExecContext(ctx, query, step(), b.account, b.ledger.cfg.Unit)) // sqltext: constants of the callers
	}
}

// Budgets lists an account's budgets, by subject. What has become due meanwhile is booked
// first, as Balance does. ErrInvalid: account is no account id.
func (l *Ledger) Budgets(ctx context.Context, db bun.IDB, account tenancy.AccountID) ([]Budget, error) {
	if err := checkAccount(account); err != nil {
		return nil, err
	}
	if err := l.bookDue(ctx, db, account); err != nil {
		return nil, err
	}
	var rows []budgetRow
	err := db.NewSelect().Model(&rows).Where("account_id = ? AND unit = ?", account, l.cfg.Unit).
		OrderExpr("subject_kind, subject_id").Scan(ctx)
	if err != nil {
		return nil, err
	}
	now := l.now()
	budgets := make([]Budget, len(rows))
	for i := range rows {
		rows[i].utc()
		if err := rows[i].roll(now); err != nil {
			return nil, err
		}
		budgets[i] = rows[i].budget()
	}
	return budgets, nil
}

// addUp adds what is not below zero, up to the largest int64.
func addUp(a, b int64) int64 { return a + min(b, math.MaxInt64-a) }
