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

// SetThreshold names a level of what an account can spend.
type SetThreshold struct {
	Account tenancy.AccountID
	// Name tells an account's thresholds apart, 100 bytes at most. Default: "low".
	Name string
	// Low is in credits: who can spend that or less is low. 0: nothing can be spent.
	Low int64
	// Reset is in credits, above Low: from there on the account is low no more. The wider
	// apart the two are, the less an account that goes up and down is heard of. Default:
	// Low + 1.
	Reset int64
	// Actor is who sets it, for the audit log. Default: the system.
	Actor tenancy.Actor
}

// RemoveThreshold takes a threshold away.
type RemoveThreshold struct {
	Account tenancy.AccountID
	// Name is its own. Default: "low".
	Name string
	// Actor is who takes it away, for the audit log. Default: the system.
	Actor tenancy.Actor
}

// Threshold is a level of what an account can spend.
type Threshold struct {
	Name  string `json:"name"`
	Low   int64  `json:"low"`
	Reset int64  `json:"reset"`
	// ReachedAt is when the account became low; zero where it is not.
	ReachedAt time.Time `json:"reached_at,omitzero"`
}

// Low says that what an account can spend has fallen to a threshold, or past it.
type Low struct {
	Threshold string `json:"threshold"`
	Low       int64  `json:"low"`
	Spendable int64  `json:"spendable"`
	// Unit is the ledger's, where that is not "credit".
	Unit string `json:"unit,omitempty"`
}

// EventKind implements tenancy.Fact.
func (Low) EventKind() string { return "credits.low" }

// Recovered says that what an account can spend is up to a threshold's Reset again.
type Recovered struct {
	Threshold string `json:"threshold"`
	Reset     int64  `json:"reset"`
	Spendable int64  `json:"spendable"`
	// Unit is the ledger's, where that is not "credit".
	Unit string `json:"unit,omitempty"`
}

// EventKind implements tenancy.Fact.
func (Recovered) EventKind() string { return "credits.recovered" }

const (
	defaultThreshold = "low"
	maxThreshold     = 100 // bytes of a name
	mostThresholds   = 20  // of an account
)

// SetThreshold makes or changes a threshold: the event Low is published when what the
// account can spend (Balance.Spendable) falls to Low or past it, once, and Recovered when
// it is at Reset or above again; then the next fall counts. Each is part of the transaction
// that moved the credits, or has the time at which they expired or took effect by
// themselves. An account that is low already is so at once.
//
// What a request does in several steps counts by where it ends: a settlement that charges a
// part of its hold and gives the rest back. An account has 20 thresholds at most. It writes
// the audit log; set again as it is, a threshold stays so and nothing is written.
//
// It returns ErrInvalid.
func (l *Ledger) SetThreshold(ctx context.Context, db bun.IDB, s SetThreshold) (Threshold, error) {
	s.Name = cmp.Or(s.Name, defaultThreshold)
	if s.Reset == 0 && s.Low < math.MaxInt64 {
		s.Reset = s.Low + 1
	}
	if err := s.validate(); err != nil {
		return Threshold{}, err
	}
	audit := thresholdAudit(s.Account, s.Name, s.Actor, "credits.set_threshold")
	var set Threshold
	_, err := l.ask(ctx, db, request{
		account: s.Account, alone: true, opens: true,
		do: func(_ context.Context, b *book) (outcome, error) {
			if row := b.threshold(s.Name); row != nil && row.Low == s.Low && row.Reset == s.Reset {
				set = row.threshold()
				return outcome{}, nil
			}
			row, err := b.setThreshold(s)
			if err != nil {
				return outcome{}, err
			}
			audit.At = b.now
			audit.Data = fmt.Appendf(nil, `{"low":%d,"reset":%d%s}`, s.Low, s.Reset, b.ledger.dataUnit())
			b.note(func(ctx context.Context, db bun.IDB) error { return tenancy.Record(ctx, db, audit) })
			b.watch()
			set = row.threshold()
			return outcome{}, nil
		},
	})
	if err != nil {
		return Threshold{}, err
	}
	return set, nil
}

func (s SetThreshold) validate() error {
	if err := checkThreshold(s.Account, s.Name, s.Actor); err != nil {
		return err
	}
	if s.Low < 0 || s.Reset <= s.Low {
		return fmt.Errorf("%w: a threshold is not below zero, and is reset above that", ErrInvalid)
	}
	return nil
}

func thresholdAudit(account tenancy.AccountID, name string, actor tenancy.Actor, action string) tenancy.Audit {
	return tenancy.Audit{Account: account, Actor: cmp.Or(actor, ownActor), Action: action, Target: name}
}

func checkThreshold(account tenancy.AccountID, name string, actor tenancy.Actor) error {
	if err := checkAccount(account); err != nil {
		return err
	}
	if err := checkActor(actor); err != nil {
		return err
	}
	if tenancy.CheckText("name", name, maxThreshold) != nil {
		return fmt.Errorf("%w: the name of a threshold is longer than %d bytes or has a character that does not print", ErrInvalid, maxThreshold)
	}
	return nil
}

func (b *book) setThreshold(s SetThreshold) (*thresholdRow, error) {
	row := b.threshold(s.Name)
	if row != nil {
		row.Low, row.Reset, row.changed = s.Low, s.Reset, true
		return row, nil
	}
	if len(b.thresholds) >= mostThresholds {
		return nil, fmt.Errorf("%w: an account has %d thresholds at most", ErrInvalid, mostThresholds)
	}
	row = &thresholdRow{
		Account: b.account, Unit: b.ledger.cfg.Unit, Name: s.Name, Low: s.Low, Reset: s.Reset, CreatedAt: b.now, made: true,
	}
	b.thresholds = append(b.thresholds, row)
	for _, g := range b.grants {
		b.expect(g)
	}
	b.note(b.count(`UPDATE credits_accounts SET thresholds = thresholds + 1, epoch = epoch + ? WHERE account_id = ? AND unit = ?`))
	return row, nil
}

// RemoveThreshold takes a threshold away. It writes the audit log and publishes nothing. It
// returns ErrNoThreshold and ErrInvalid.
func (l *Ledger) RemoveThreshold(ctx context.Context, db bun.IDB, r RemoveThreshold) error {
	r.Name = cmp.Or(r.Name, defaultThreshold)
	if err := checkThreshold(r.Account, r.Name, r.Actor); err != nil {
		return err
	}
	audit := thresholdAudit(r.Account, r.Name, r.Actor, "credits.remove_threshold")
	_, err := l.ask(ctx, db, request{
		account: r.Account, alone: true, none: ErrNoThreshold,
		do: func(_ context.Context, b *book) (outcome, error) {
			row := b.threshold(r.Name)
			if row == nil {
				return outcome{}, ErrNoThreshold
			}
			audit.At = b.now
			audit.Data = l.unitData()
			b.thresholds = slices.DeleteFunc(b.thresholds, func(o *thresholdRow) bool { return o == row })
			b.note(b.count(`UPDATE credits_accounts SET thresholds = thresholds - 1, epoch = epoch + ? WHERE account_id = ? AND unit = ?`))
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

// Thresholds lists an account's thresholds, the highest first. What has become due
// meanwhile is booked first, as Balance does. ErrInvalid: account is no account id.
func (l *Ledger) Thresholds(ctx context.Context, db bun.IDB, account tenancy.AccountID) ([]Threshold, error) {
	if err := checkAccount(account); err != nil {
		return nil, err
	}
	if err := l.bookDue(ctx, db, account); err != nil {
		return nil, err
	}
	var rows []thresholdRow
	err := db.NewSelect().Model(&rows).Where("account_id = ? AND unit = ?", account, l.cfg.Unit).
		OrderExpr("low DESC, name").Scan(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Threshold, len(rows))
	for i := range rows {
		list[i] = rows[i].threshold()
	}
	return list, nil
}
