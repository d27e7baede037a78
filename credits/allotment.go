package credits

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Allotment is a rule by which an account is granted credits period by period.
type Allotment struct {
	Account tenancy.AccountID `json:"-"`
	Name    string            `json:"name"`
	// Amount is what a period is granted, in credits.
	Amount int64     `json:"amount"`
	Every  Every     `json:"every"`
	Anchor time.Time `json:"anchor"`
	// Zone is an IANA time zone.
	Zone       string    `json:"zone"`
	Category   Category  `json:"category"`
	Priority   int       `json:"priority"`
	Operations []string  `json:"operations,omitempty"`
	Rollover   Rollover  `json:"rollover,omitzero"`
	Until      time.Time `json:"until,omitzero"`
	// NextAt is when the next period begins and is granted; zero where none is to come.
	NextAt time.Time `json:"next_at,omitzero"`
	// EndsAt is when the newest period that began ends; zero before the first.
	EndsAt    time.Time `json:"ends_at,omitzero"`
	CreatedAt time.Time `json:"created_at"`
}

// SetAllotment says what an account is granted period by period.
type SetAllotment struct {
	Account tenancy.AccountID
	// Name tells the allotments of an account apart: "plan". Setting one of the same name
	// changes it. 1 to 100 bytes.
	Name string
	// Amount is what a period is granted, in credits, above zero.
	Amount int64
	// Every is how long a period is. Default: a month.
	Every Every
	// Anchor is when a period begins: all are counted from it. One in the future is the
	// first. Default: now, for a new allotment; as it was for one that exists, but where
	// Every or Zone changes the end of its running period.
	Anchor time.Time
	// From leaves out the periods that begin before it, one that is now too: those that
	// were granted in another way. Days are counted from Anchor all the same. It is not
	// remembered, but that what it left out of a running allotment stays left out.
	// Default: none is left out.
	From time.Time
	// Zone is the IANA time zone in which days are counted: the account's. Default: as it
	// was, and UTC for a new allotment.
	Zone string
	// Category is where the credits come from. Default: CategoryAllowance.
	Category Category
	// Priority is spent in ascending order. Default: 0.
	Priority int
	// Operations are those that the credits are for. Default: all. As in Grant.
	Operations []string
	// Rollover is what of a period's credits can be spent in later ones. Default: nothing.
	Rollover Rollover
	// Until is from when on no period begins; one that began before is granted whole.
	// Default: there is no end.
	Until time.Time
	// Actor is who says so, for the audit log. Default: the system.
	Actor tenancy.Actor
}

// AllotmentSet says that an allotment is new or another one from its next period on.
type AllotmentSet struct {
	Allotment
	// Unit is the ledger's, where that is not "credit".
	Unit string `json:"unit,omitempty"`
}

// EventKind implements tenancy.Fact.
func (AllotmentSet) EventKind() string { return "credits.allotment_set" }

// AllotmentEnded says that nothing more is granted by an allotment.
type AllotmentEnded struct {
	Name string `json:"name"`
	// Unit is the ledger's, where that is not "credit".
	Unit string `json:"unit,omitempty"`
}

// EventKind implements tenancy.Fact.
func (AllotmentEnded) EventKind() string { return "credits.allotment_ended" }

// ownActor is who grants where nobody else does.
var ownActor = tenancy.Actor{Kind: tenancy.ActorSystem, ID: "credits"}

// maxAllotments is how many allotments of an account may be in effect.
const maxAllotments = 100

// SetAllotment makes an allotment, or changes the one of that name; set again as it is,
// it stays so and nothing is written. It writes the audit log and the outbox.
//
// The period that is now is granted at once, whole: to begin with the next one, put the
// Anchor there, or From just after it. A change takes effect from the next period on.
// What the running period was granted stays, with its end; what is left of it then rolls
// over by the changed rule. For more at once, Grant the difference. Where Anchor, Every
// or Zone change, the first period is the first of theirs that begins when the running
// one has ended. So no two periods of an allotment overlap, however often it is changed,
// ended and set again.
//
// It returns ErrInvalid.
func (l *Ledger) SetAllotment(ctx context.Context, db bun.IDB, s SetAllotment) (Allotment, error) {
	if s.Every == (Every{}) {
		s.Every.Months = 1
	}
	if s.Category == "" {
		s.Category = CategoryAllowance
	}
	if s.Actor == (tenancy.Actor{}) {
		s.Actor = ownActor
	}
	s.Anchor, s.From, s.Until = micro(s.Anchor), micro(s.From), micro(s.Until)
	if err := s.validate(); err != nil {
		return Allotment{}, err
	}
	var set Allotment
	_, err := l.ask(ctx, db, request{
		account: s.Account, opens: true, alone: true,
		do: func(ctx context.Context, b *book) (_ outcome, err error) {
			set, err = b.setAllotment(ctx, s)
			return outcome{}, err
		},
	})
	if err != nil {
		return Allotment{}, err
	}
	return set, nil
}

func (s SetAllotment) validate() error {
	if err := checkAllotment(s.Account, s.Name, s.Actor); err != nil {
		return err
	}
	if err := checkAmount(s.Amount); err != nil {
		return err
	}
	if err := s.Every.validate(); err != nil {
		return err
	}
	for _, at := range []time.Time{s.Anchor, s.From, s.Until} {
		if y := at.Year(); !at.IsZero() && (y < 1900 || y > lastYear) {
			return fmt.Errorf("%w: a date is not within the years 1900 to %d", ErrInvalid, lastYear)
		}
	}
	if !s.Until.IsZero() && !s.Until.After(s.Anchor) {
		return fmt.Errorf("%w: the allotment ends before it begins", ErrInvalid)
	}
	if _, err := tenancy.ParseZone(s.Zone); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !slices.Contains(categories, s.Category) {
		return fmt.Errorf("%w: the category is none of %v", ErrInvalid, categories)
	}
	if err := checkOperations(s.Operations); err != nil {
		return err
	}
	return s.Rollover.validate()
}

// maxAllotmentName is the longest name, in bytes: it is a part of keys.
const maxAllotmentName = 100

func checkAllotment(account tenancy.AccountID, name string, actor tenancy.Actor) error {
	if err := checkAccount(account); err != nil {
		return err
	}
	if name == "" || tenancy.CheckText("name", name, maxAllotmentName) != nil {
		return fmt.Errorf("%w: the name of an allotment has 1 to %d bytes, all of which print", ErrInvalid, maxAllotmentName)
	}
	if (tenancy.Audit{Actor: actor, Action: "credits"}).Validate() != nil {
		return fmt.Errorf("%w: the actor has a kind and an id, in text that prints, 200 bytes each", ErrInvalid)
	}
	return nil
}

func (b *book) setAllotment(ctx context.Context, s SetAllotment) (Allotment, error) {
	r, err := b.rule(ctx, s.Name)
	if err != nil {
		return Allotment{}, err
	}
	if r == nil {
		if len(b.rules) >= maxAllotments {
			return Allotment{}, fmt.Errorf("%w: an account has %d allotments at most", ErrInvalid, maxAllotments)
		}
		r = &allotmentRow{Account: b.account, Unit: b.ledger.cfg.Unit, Name: s.Name, Zone: "UTC", CreatedAt: b.now}
		b.rules = append(b.rules, r)
	}
	was := *r
	r.Amount, r.Months, r.Days = s.Amount, int64(s.Every.Months), int64(s.Every.Days)
	r.Category, r.Priority, r.Operations = s.Category, int64(s.Priority), lines(s.Operations)
	r.Cap, r.Percent, r.Periods = s.Rollover.Cap, int64(s.Rollover.Percent), int64(s.Rollover.Periods)
	r.Until = s.Until
	if s.Zone != "" {
		r.Zone = s.Zone
	}
	switch {
	case !s.Anchor.IsZero():
		r.Anchor = s.Anchor
	case r.Months != was.Months || r.Days != was.Days || r.Zone != was.Zone:
		r.Anchor = latest(b.now, r.EndsAt)
	}
	if r.runs() && r.sameCalendar(&was) && !r.NextAt.Before(s.From) {
		r.next(r.Period, r.NextAt)
	} else if err := r.schedule(latest(s.From, r.EndsAt), b.now); err != nil {
		return Allotment{}, err
	}
	if *r == was {
		return r.allotment(), nil
	}
	r.changed = true
	if r.runs() && !r.NextAt.After(b.now) {
		if err := b.readTaken(ctx, []*allotmentRow{r}, b.now); err != nil {
			return Allotment{}, err
		}
		if err := b.renew([]*allotmentRow{r}); err != nil {
			return Allotment{}, err
		}
	}
	b.replan()
	set := r.allotment()
	return set, b.noteAllotment(s.Actor, "credits.set_allotment", s.Name, AllotmentSet{Allotment: set, Unit: b.ledger.otherUnit()})
}

func (b *book) noteAllotment(actor tenancy.Actor, action, name string, f tenancy.Fact) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	line := tenancy.Audit{Account: b.account, At: b.now, Actor: actor, Action: action, Target: name, Data: data}
	b.note(func(ctx context.Context, db bun.IDB) error { return tenancy.Note(ctx, db, line, f) })
	return nil
}

// Allotments lists the allotments of an account by name, those that have ended too. What
// has become due meanwhile is booked first, which writes. ErrInvalid: account is no
// account id.
func (l *Ledger) Allotments(ctx context.Context, db bun.IDB, account tenancy.AccountID) ([]Allotment, error) {
	if err := checkAccount(account); err != nil {
		return nil, err
	}
	if err := l.bookDue(ctx, db, account); err != nil {
		return nil, err
	}
	var rows []*allotmentRow
	err := db.NewSelect().Model(&rows).Where("account_id = ? AND unit = ?", account, l.cfg.Unit).Scan(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, byName) // byte by byte, whatever the database sorts by
	out := make([]Allotment, len(rows))
	for i, r := range rows {
		out[i] = r.allotment()
	}
	return out, nil
}
