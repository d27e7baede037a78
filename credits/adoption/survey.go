package adoption

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
	"github.com/quitrent/quitrent/tenancy/adoption"
)

// survey is what the rows come to, against what is here.
type survey struct {
	*Adoption

	now    time.Time
	report Report
	fresh  []fresh
}

// fresh is an account that is to be adopted.
type fresh struct {
	at          int // its place
	account     Account
	adopt       credits.Adopt
	entries     int64
	zero        int
	forward     int
	adjustments int
}

const leftAlone = "something else was adopted before, and is left as it is"

func (a *Adoption) survey(ctx context.Context, db bun.IDB, what Adopt) (*survey, error) {
	s := &survey{Adoption: a, now: a.now(), report: Report{DryRun: what.DryRun, Refused: []Finding{}, Notes: []Finding{}}}
	seen := map[tenancy.AccountID]int{}
	for i, acc := range what.Accounts {
		if first, twice := seen[acc.ID]; twice {
			s.count(Counts{Refused: 1}, acc)
			s.refuse(KindBalance, i, acc.ID, "account", "account %d is the same: put what both have into one", first)
			continue
		}
		seen[acc.ID] = i
		if err := s.account(ctx, db, i, acc, what); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// account finds what is to become of an account. What was adopted before is not looked at
// any closer: it is left as it is.
func (s *survey) account(ctx context.Context, db bun.IDB, i int, acc Account, what Adopt) error {
	r := s.read(i, acc)
	r.adopt.Actor, r.adopt.Reason, r.adopt.DryRun = what.Actor, what.Reason, true
	done, err := s.ask(ctx, db, r)
	switch {
	case errors.Is(err, credits.ErrAdopted):
		s.count(Counts{Different: 1}, acc)
		s.note(KindBalance, i, acc.ID, "account", leftAlone)
		return nil
	case errors.Is(err, credits.ErrNotEmpty):
		r.refuse(KindBalance, i, "account", "%v", err)
	case err != nil:
		return err
	case done.Replayed:
		s.count(Counts{Same: 1}, acc)
		return nil
	}
	if err := s.known(ctx, db, r); err != nil {
		return err
	}
	total := s.report.Credits
	r.sum(&total, acc.Balance)
	s.report.Notes = append(s.report.Notes, r.notes...)
	if len(r.refused) > 0 {
		s.count(Counts{Refused: 1}, acc)
		s.report.Refused = append(s.report.Refused, r.refused...)
		return nil
	}
	r.adopt.DryRun = false
	f := fresh{at: i, account: acc, adopt: r.adopt, entries: done.Entries, zero: r.zero, forward: r.forward, adjustments: r.adjustments}
	s.fresh = append(s.fresh, f)
	s.count(Counts{New: 1}, acc)
	s.add(f, 1)
	return nil
}

// ask asks the ledger what the account is to it. Where the rows are refused it may still
// be that others were adopted before.
func (s *survey) ask(ctx context.Context, db bun.IDB, r *reading) (done credits.Adopted, err error) {
	if _, ok := tenancy.ParseAccountID(string(r.adopt.Account)); ok != nil {
		return done, nil // known refuses it
	}
	if len(r.refused) == 0 {
		done, err = s.ledger.Adopt(ctx, db, r.adopt)
		if !errors.Is(err, credits.ErrInvalid) && !errors.Is(err, credits.ErrOverflow) {
			return done, err
		}
		r.refuse(KindBalance, r.at, "history", "%v", err)
	}
	done, err = s.ledger.Adopt(ctx, db, credits.Adopt{Account: r.adopt.Account, DryRun: true})
	if done.Replayed { // there was nothing to adopt then
		return credits.Adopted{}, credits.ErrAdopted
	}
	return done, err
}

// known refuses an account that there is not, or that is over.
func (s *survey) known(ctx context.Context, db bun.IDB, r *reading) error {
	state, plan, err := s.accounts.Load(ctx, db, r.adopt.Account)
	if err != nil && !errors.Is(err, tenancy.ErrNoAccount) {
		return err
	}
	if err == nil {
		err = tenancy.Check(state, plan, s.now, tenancy.Export)
	}
	if err != nil {
		r.refuse(KindBalance, r.at, "account", "%v: adopt the account first, or leave its credits out", err)
	}
	return nil
}

// count counts an account and its rows.
func (s *survey) count(c Counts, acc Account) {
	plus(&s.report.Accounts, c, 1)
	plus(&s.report.Rows, c, len(acc.History))
}

func plus(to *Counts, c Counts, n int) {
	to.New += c.New * n
	to.Same += c.Same * n
	to.Different += c.Different * n
	to.Refused += c.Refused * n
}

// add counts what a fresh account gets, or no longer does.
func (s *survey) add(f fresh, sign int64) {
	s.report.Zero += f.zero * int(sign)
	s.report.Entries += f.entries * sign
	s.report.Forward += f.forward * int(sign)
	s.report.Adjustments += f.adjustments * int(sign)
	s.report.Credits += f.account.Balance * sign
}

// turn counts a fresh account as something else.
func (s *survey) turn(f fresh, c Counts) {
	c.New = -1
	s.count(c, f.account)
	s.add(f, -1)
}

func finding(kind adoption.Kind, at int, id tenancy.AccountID, field, text string, args ...any) Finding {
	return Finding{Kind: kind, Row: at, ID: fmt.Sprintf("%.200s", id), Field: field, Text: fmt.Sprintf(text, args...)}
}

func (s *survey) refuse(kind adoption.Kind, at int, id tenancy.AccountID, field, text string, args ...any) {
	s.report.Refused = append(s.report.Refused, finding(kind, at, id, field, text, args...))
}

func (s *survey) note(kind adoption.Kind, at int, id tenancy.AccountID, field, text string, args ...any) {
	s.report.Notes = append(s.report.Notes, finding(kind, at, id, field, text, args...))
}
