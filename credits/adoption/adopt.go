package adoption

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/tenancy"
)

// Config says how the old system's rows are read. The zero value works.
type Config struct {
	// Category is that of credits whose category nobody recorded: those that were spent,
	// and a balance without lots. Default: credits.CategoryAdjustment.
	Category credits.Category
	// Adjust enters what does not add up as an entry of its own, which the statement
	// shows. Default: it is refused.
	Adjust bool
	// Debts takes over balances below zero, as debts that the next grant repays. Default:
	// they are refused.
	Debts bool
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Adoption takes over balances and their history. It holds policy and no connection, and
// serves any number of goroutines.
type Adoption struct {
	accounts *tenancy.Accounts
	ledger   *credits.Ledger
	cfg      Config
}

// New makes an Adoption from cfg, into the ledger and so of its unit. The accounts say
// which there are: their tenancy.Config.Loader, if they have one.
func New(accounts *tenancy.Accounts, ledger *credits.Ledger, cfg Config) *Adoption {
	if cfg.Category == "" {
		cfg.Category = credits.CategoryAdjustment
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Adoption{accounts: accounts, ledger: ledger, cfg: cfg}
}

// Account is what the old system has of an account's credits.
type Account struct {
	// ID is the account's in the new system.
	ID tenancy.AccountID
	// Balance is what it has, in credits.
	Balance int64
	// Lots are what the balance is made of: together the balance. Default: one lot of
	// Config.Category that never expires.
	Lots []credits.Lot
	// History are the rows of its ledger, oldest first; those of one moment in the order in
	// which they were written. Default: the balance is all that is known.
	History []Row
}

// Row is a row of the old system's ledger.
type Row struct {
	// At is when it was.
	At time.Time
	// Amount is in credits: positive what came in, negative what went out. A row of zero
	// is counted and left out: nothing happened to the credits.
	Amount int64
	// Balance is what the account had after it. Default: it is not known.
	Balance *int64
	// Kind is KindGrant or KindRefund, KindDeduct, KindExpire or KindRevoke of package
	// credits. Default: KindGrant or KindDeduct, by the amount.
	Kind credits.Kind
	// Reference is the row's id in the old system, 100 bytes at most. Default: none.
	Reference string
	// RefundOf is the Reference of the deduction that a refund gave back from. Where it is
	// not known, what was given back there can be given back once more. Default: none.
	RefundOf string
	// Operation and Note are the old system's words, 500 bytes each at most.
	Operation string
	Note      string
}

// Adopt is what to take over.
type Adopt struct {
	Accounts []Account
	// DryRun reads, checks and reports, and writes nothing.
	DryRun bool
	// Actor is who adopts: an operator or the system.
	Actor tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// Adopt takes over what was not taken over before. Everything is checked first, and while
// anything is refused nothing is written. Then each account is written in a transaction of
// its own, or in that of the host. So Adopt may run as often as one likes, in two
// processes at once, and again where it was interrupted: what is there is counted and left
// alone.
//
// It returns tenancy.ErrInvalid when the actor is missing or the reason too long,
// tenancy.ErrForbidden for an actor who is neither an operator nor the system, and
// ErrRefused, with the report, when Report.Refused is not empty; a dry run then returns
// nil. An account that gets entries of its own after the check is refused alone:
// credits.ErrNotEmpty, with the report of the others, which are written. All leave a
// joined transaction usable. After any other error, run it again.
func (a *Adoption) Adopt(ctx context.Context, db bun.IDB, what Adopt) (Report, error) {
	line := tenancy.Audit{Actor: what.Actor, Action: "credits.adopt", Reason: what.Reason}
	if err := line.Validate(); err != nil {
		return Report{}, err
	}
	if what.Actor.Kind != tenancy.ActorOperator && what.Actor.Kind != tenancy.ActorSystem {
		return Report{}, tenancy.ErrForbidden
	}
	s, err := a.survey(ctx, db, what)
	switch {
	case err != nil:
		return Report{}, err
	case what.DryRun:
		return s.report, nil
	case len(s.report.Refused) > 0:
		return s.report, ErrRefused
	case len(s.fresh) == 0:
		return s.report, nil
	}
	for _, f := range s.fresh {
		if err := s.adopt(ctx, db, f); err != nil {
			return Report{}, err
		}
	}
	line.At = a.now()
	if line.Data, err = s.report.counts(); err != nil {
		return Report{}, err
	}
	if err := tenancy.Record(ctx, db, line); err != nil {
		return Report{}, err
	}
	if n := len(s.report.Refused); n > 0 {
		return s.report, fmt.Errorf("%w: %d of the accounts, since they were checked", credits.ErrNotEmpty, n)
	}
	return s.report, nil
}

// adopt writes an account that was found to be fresh, unless it no longer is.
func (s *survey) adopt(ctx context.Context, db bun.IDB, f fresh) error {
	done, err := s.ledger.Adopt(ctx, db, f.adopt)
	switch {
	case errors.Is(err, credits.ErrNotEmpty):
		s.turn(f, Counts{Refused: 1})
		s.refuse(KindBalance, f.at, f.adopt.Account, "account", "%v", err)
	case errors.Is(err, credits.ErrAdopted):
		s.turn(f, Counts{Different: 1})
		s.note(KindBalance, f.at, f.adopt.Account, "account", leftAlone)
	case err != nil:
		return err
	case done.Replayed: // by another adoption, which runs at the same time
		s.turn(f, Counts{Same: 1})
	}
	return nil
}

func (a *Adoption) now() time.Time { return a.cfg.Now().UTC().Truncate(time.Microsecond) }
