package tenancy

import (
	"fmt"
	"slices"
	"time"
)

// moves are the legal changes of status. Everything else is refused.
var moves = map[Status][]Status{
	StatusTrial:          {StatusActive, StatusPastDue, StatusPendingPayment, StatusSuspended, StatusCancelled, StatusClosed},
	StatusActive:         {StatusPastDue, StatusPendingPayment, StatusSuspended, StatusCancelled, StatusClosed},
	StatusPastDue:        {StatusActive, StatusSuspended, StatusCancelled, StatusClosed},
	StatusPendingPayment: {StatusTrial, StatusActive, StatusSuspended, StatusCancelled, StatusClosed},
	StatusSuspended:      {StatusClosed}, // and back, by Resume
	StatusCancelled:      {StatusActive, StatusPendingPayment, StatusSuspended, StatusClosed},
	StatusClosed:         {}, // but back, by Restore, and on, by MarkErased
}

// CanMove reports whether Change may take an account from one status to another.
// Resume, Restore and MarkErased, which end what no Change ends, are not moves of
// this kind.
func CanMove(from, to Status) bool { return slices.Contains(moves[from], to) }

// step is what moves an account on: Change, Suspend, Resume, Close, Restore, MarkErased.
type step interface {
	// line begins the step's line of the audit log.
	line() Audit
}

// next is the life cycle: what becomes of an account by one step at an instant.
// Every change of an account goes through it. It is pure, and what it does not name
// is refused. A closed account can be restored for the time of retention.
func next(acc Account, s step, at time.Time, retention time.Duration) (Account, error) {
	var err error
	switch s := s.(type) {
	case Change:
		err = acc.change(s, at, retention)
	case Suspend:
		err = acc.suspend()
	case Resume:
		err = acc.resume()
	case Close:
		err = acc.close(s.Actor, at, retention)
	case Restore:
		err = acc.restore(s.Actor, at)
	case MarkErased:
		err = acc.erase(s.Actor, at)
	default:
		err = fmt.Errorf("tenancy: %T is no step of an account's life", s)
	}
	if err != nil {
		return Account{}, err
	}
	return acc, nil
}

func (acc *Account) change(c Change, at time.Time, retention time.Duration) error {
	if c.Plan != "" && c.Plan != acc.Plan {
		if acc.Status == StatusErased {
			return fmt.Errorf("%w: it is %s", ErrTransition, acc.Status)
		}
		acc.Plan = c.Plan
	}
	switch c.Status {
	case "":
		if !c.TrialEndsAt.IsZero() || !c.GraceEndsAt.IsZero() || !c.PaidUntil.IsZero() {
			return fmt.Errorf("%w: an end goes with the status that it ends", ErrInvalid)
		}
		return nil
	case StatusSuspended:
		return acc.suspend()
	case StatusClosed:
		if acc.Status == StatusClosed {
			return nil
		}
		return acc.close(c.Actor, at, retention)
	case StatusErased: // which MarkErased alone makes of an account
		if acc.Status == StatusErased {
			return nil
		}
		return illegal(acc.Status, StatusErased)
	default:
		return acc.move(c)
	}
}

func (acc *Account) move(c Change) error {
	at := &acc.Status // the status that changes
	if acc.Status == StatusSuspended {
		at = &acc.SuspendedFrom
	}
	from := *at
	if from == "" && at == &acc.SuspendedFrom {
		from = StatusActive
	}
	if from != c.Status && !CanMove(from, c.Status) {
		return illegal(from, c.Status)
	}
	if at == &acc.Status {
		acc.SuspendedFrom = ""
	}
	entered := from != c.Status
	*at, acc.GraceEndsAt, acc.PaidUntil = c.Status, time.Time{}, time.Time{}
	switch c.Status {
	case StatusTrial:
		if !c.TrialEndsAt.IsZero() {
			acc.TrialEndsAt = utc(c.TrialEndsAt.Truncate(time.Microsecond))
		}
		if entered && acc.TrialEndsAt.IsZero() {
			return fmt.Errorf("%w: a trial needs an end", ErrInvalid)
		}
	case StatusActive:
		acc.PaidUntil = utc(c.PaidUntil.Truncate(time.Microsecond))
	case StatusPastDue:
		acc.GraceEndsAt = utc(c.GraceEndsAt.Truncate(time.Microsecond))
	}
	return nil
}

// suspend keeps everything that Resume will need, a grace too.
func (acc *Account) suspend() error {
	if acc.Status == StatusSuspended {
		return nil
	}
	if !CanMove(acc.Status, StatusSuspended) {
		return illegal(acc.Status, StatusSuspended)
	}
	acc.SuspendedFrom, acc.Status = acc.Status, StatusSuspended
	return nil
}

func (acc *Account) resume() error {
	if acc.Status != StatusSuspended {
		return nil
	}
	if acc.SuspendedFrom == "" {
		return fmt.Errorf("%w: nothing says what it was before: change it first", ErrTransition)
	}
	acc.Status, acc.SuspendedFrom = acc.SuspendedFrom, ""
	return nil
}

// close keeps everything that Restore will need, a suspension and every end too.
func (acc *Account) close(actor Actor, at time.Time, retention time.Duration) error {
	if err := mayClose(*acc, actor); err != nil {
		return err
	}
	switch {
	case acc.Status == StatusClosed && !acc.PurgeAt.IsZero():
		return nil
	case acc.Status == StatusClosed: // by an older version, which knew no retention
	case !CanMove(acc.Status, StatusClosed):
		return illegal(acc.Status, StatusClosed)
	default:
		acc.ClosedFrom, acc.Status = acc.Status, StatusClosed
	}
	acc.ClosedAt, acc.PurgeAt = at, at.Add(retention).Truncate(time.Microsecond)
	return nil
}

func (acc *Account) restore(actor Actor, at time.Time) error {
	if err := runsTheService(actor); err != nil {
		return err
	}
	switch acc.Status {
	case StatusClosed:
	case StatusErased:
		return fmt.Errorf("%w: it is %s", ErrTransition, acc.Status)
	default:
		return nil
	}
	if !acc.PurgeAt.IsZero() && !at.Before(acc.PurgeAt) {
		return fmt.Errorf("%w: the time in which it could be restored is over", ErrTransition)
	}
	to := acc.ClosedFrom
	if to == "" {
		to = StatusCancelled // whatever it was, it may no more than sign in, pay and leave
	}
	if !CanMove(to, StatusClosed) {
		return illegal(StatusClosed, to)
	}
	acc.Status, acc.ClosedFrom, acc.ClosedAt, acc.PurgeAt = to, "", time.Time{}, time.Time{}
	return nil
}

func (acc *Account) erase(actor Actor, at time.Time) error {
	if err := runsTheService(actor); err != nil {
		return err
	}
	switch {
	case acc.Status == StatusErased:
		return nil
	case acc.Status != StatusClosed:
		return illegal(acc.Status, StatusErased)
	case actor.Kind != ActorOperator && (acc.PurgeAt.IsZero() || at.Before(acc.PurgeAt)):
		return fmt.Errorf("%w: it can still be restored: only an operator erases it now", ErrTransition)
	}
	acc.Status, acc.ClosedFrom, acc.SuspendedFrom = StatusErased, "", ""
	acc.Name, acc.Zone = "", "UTC"
	return nil
}

func illegal(from, to Status) error { return fmt.Errorf("%w: from %s to %s", ErrTransition, from, to) }

// mayClose is the rule of closing: the owner, and who runs the service. A key is
// neither, whoever made it.
func mayClose(acc Account, actor Actor) error {
	if actor.Kind == ActorUser && actor.ID == string(acc.Owner) {
		return nil
	}
	if err := runsTheService(actor); err != nil {
		return fmt.Errorf("%w: an account is closed by its owner", ErrForbidden)
	}
	return nil
}

func runsTheService(actor Actor) error {
	if actor.Kind != ActorOperator && actor.Kind != ActorSystem {
		return ErrForbidden
	}
	return nil
}
