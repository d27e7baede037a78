package seals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Config is the policy of Seals. The zero value works.
type Config struct {
	// Every is how often Run looks for lines without a seal. Default: 1 minute.
	Every time.Duration
	// Note receives the head of each log that a round of Run has sealed something of,
	// to keep it where the database's owner cannot change it. An error is reported with
	// the round's, and the seals stay. Default: nobody is told.
	Note func(ctx context.Context, head Head) error
}

// Seals seals and verifies audit logs. It holds policy and no connection, and serves
// any number of goroutines.
type Seals struct {
	cfg Config
}

// New makes Seals from cfg.
func New(cfg Config) *Seals {
	if cfg.Every <= 0 {
		cfg.Every = time.Minute
	}
	return &Seals{cfg: cfg}
}

// Head is the newest seal of an account's chain. It stands for all that is sealed:
// noted where the database's owner cannot reach it, it shows a chain that was written
// anew.
type Head struct {
	// Account is "" for the installation's own log.
	Account tenancy.AccountID `json:"account"`
	// Number is how many lines are sealed; 0: none.
	Number int64 `json:"number"`
	// Hash is 64 hexadecimal digits; "" where nothing is sealed.
	Hash string `json:"hash"`
}

type sealRow struct {
	bun.BaseModel `bun:"table:tenancy_audit_seals,alias:s"`

	Account tenancy.AccountID `bun:"account_id,pk"`
	Number  int64             `bun:"number,pk"`
	Audit   string            `bun:"audit_id"`
	Hash    string            `bun:"hash"`
}

// page is how many lines are sealed, or verified, at a time.
const page = 500

// Head reads the newest seal. tenancy.ErrInvalid: account cannot be an account's id.
func (s *Seals) Head(ctx context.Context, db bun.IDB, account tenancy.AccountID) (Head, error) {
	if err := check(account); err != nil {
		return Head{}, err
	}
	var rows []sealRow
	err := db.NewSelect().Model(&rows).Where("account_id = ?", account).OrderExpr("number DESC").Limit(1).Scan(ctx)
	if err != nil || len(rows) == 0 {
		return Head{Account: account}, err
	}
	return Head{Account: account, Number: rows[0].Number, Hash: rows[0].Hash}, nil
}

// check takes "", the installation's own log, for an account.
func check(account tenancy.AccountID) error {
	if account == "" {
		return nil
	}
	_, err := tenancy.ParseAccountID(string(account))
	return err
}

// Seal seals every line of an account's log that has no seal, in the order of their
// ids, and returns the new head. A line whose transaction commits after younger ones
// were sealed is sealed after them. Any number of processes may seal at once: there is
// one chain, and each line is in it once. Given a *bun.DB it commits by the page, so
// what is sealed stays sealed when it is interrupted; given a transaction, other
// sealers of the account wait for its end.
//
// tenancy.ErrInvalid: account cannot be an account's id.
func (s *Seals) Seal(ctx context.Context, db bun.IDB, account tenancy.AccountID) (Head, error) {
	head, _, err := s.seal(ctx, db, account)
	return head, err
}

func (s *Seals) seal(ctx context.Context, db bun.IDB, account tenancy.AccountID) (head Head, sealed int64, err error) {
	if err := check(account); err != nil {
		return Head{}, 0, err
	}
	for {
		var n int64
		more := false
		err := tx.Join(ctx, db, func(db bun.IDB) error {
			var err error
			head, n, more, err = s.sealPage(ctx, db, account)
			return err
		})
		if err != nil {
			return Head{}, sealed, err
		}
		sealed += n
		if !more {
			return head, sealed, nil
		}
	}
}

func (s *Seals) sealPage(ctx context.Context, db bun.IDB, account tenancy.AccountID) (head Head, n int64, more bool, err error) {
	// The head is read first. Whoever seals anything after that takes the number
	// after it, and then this one's first insert finds it taken.
	if head, err = s.Head(ctx, db, account); err != nil {
		return head, 0, false, err
	}
	if head.Number > math.MaxInt64-page {
		return head, 0, false, errors.New("seals: the chain has a number that nobody can have reached: verify it")
	}
	lines, err := unsealed(ctx, db, account)
	if err != nil || len(lines) == 0 {
		return head, 0, false, err
	}
	old := head
	rows := make([]sealRow, len(lines))
	for i, line := range lines {
		head.Number++
		head.Hash = Hash(head.Hash, head.Number, line)
		rows[i] = sealRow{Account: account, Number: head.Number, Audit: line.ID, Hash: head.Hash}
	}
	// One row alone is the lock: who has inserted it is the only one to go on from
	// the head, and the others wait here.
	res, err := db.NewInsert().Model(&rows[0]).On("CONFLICT DO NOTHING").Exec(ctx)
	if err != nil {
		return old, 0, false, err
	}
	if first, err := res.RowsAffected(); err != nil || first == 0 {
		return old, 0, err == nil, err // somebody else was faster: look again
	}
	if rest := rows[1:]; len(rest) > 0 {
		if _, err := db.NewInsert().Model(&rest).Exec(ctx); err != nil {
			return old, 0, false, err
		}
	}
	return head, int64(len(rows)), len(rows) == page, nil
}

// lineRow is a line of the log, or none.
type lineRow struct {
	AuditID   string
	At        *time.Time
	ActorKind *string
	ActorID   *string
	Action    *string
	Target    *string
	Reason    *string
	Data      *string
}

// whole reports that every column has a value: without one the line was not written
// by this library.
func (r lineRow) whole() bool {
	return r.At != nil && !slices.Contains([]*string{r.ActorKind, r.ActorID, r.Action, r.Target, r.Reason, r.Data}, nil)
}

func (r lineRow) line(account tenancy.AccountID) tenancy.Audit {
	return tenancy.Audit{
		Account: account, ID: r.AuditID, At: *r.At, Actor: tenancy.Actor{Kind: tenancy.ActorKind(*r.ActorKind), ID: *r.ActorID},
		Action: *r.Action, Target: *r.Target, Reason: *r.Reason, Data: json.RawMessage(*r.Data),
	}
}

func unsealed(ctx context.Context, db bun.IDB, account tenancy.AccountID) ([]tenancy.Audit, error) {
	var rows []lineRow
	err := db.NewRaw(`SELECT au.audit_id, au.at, au.actor_kind, au.actor_id, au.action, au.target, au.reason, au.data
		FROM tenancy_audit AS au WHERE au.account_id = ? AND NOT EXISTS (
			SELECT 1 FROM tenancy_audit_seals AS s WHERE s.account_id = au.account_id AND s.audit_id = au.audit_id)
		ORDER BY au.audit_id LIMIT ?`, account, page).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	lines := make([]tenancy.Audit, len(rows))
	for i, r := range rows {
		if !r.whole() {
			return nil, fmt.Errorf("seals: line %s has columns without a value: it was tampered with", r.AuditID)
		}
		lines[i] = r.line(account)
	}
	return lines, nil
}

// Run seals what has no seal until ctx ends, every Config.Every. Any number of
// processes may run it. It returns when ctx is done, with nil.
func (s *Seals) Run(ctx context.Context, db *bun.DB) error {
	tick := time.NewTicker(s.cfg.Every)
	defer tick.Stop()
	for {
		if _, err := s.SealDue(ctx, db); err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "quitrent: sealing the audit log", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// SealDue is one round of Run, for hosts with a scheduler of their own: it seals every
// line of every log that has no seal, the installation's own first, and returns how
// many. An account whose log cannot be sealed does not keep the others from it; the
// error names it. A round reads the keys of the whole log.
func (s *Seals) SealDue(ctx context.Context, db *bun.DB) (int64, error) {
	total, err := s.sealAndNote(ctx, db, "")
	errs := []error{err}
	for after := tenancy.AccountID(""); ; {
		var due []tenancy.AccountID
		err := db.NewRaw(`SELECT DISTINCT au.account_id FROM tenancy_audit AS au WHERE au.account_id > ? AND NOT EXISTS (
				SELECT 1 FROM tenancy_audit_seals AS s WHERE s.account_id = au.account_id AND s.audit_id = au.audit_id)
			ORDER BY au.account_id LIMIT ?`, after, page).Scan(ctx, &due)
		if err != nil || len(due) == 0 {
			return total, errors.Join(append(errs, err)...)
		}
		for _, account := range due {
			n, err := s.sealAndNote(ctx, db, account)
			total += n
			if ctx.Err() != nil {
				return total, ctx.Err()
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("account %s: %w", account, err))
			}
		}
		after = due[len(due)-1]
	}
}

func (s *Seals) sealAndNote(ctx context.Context, db *bun.DB, account tenancy.AccountID) (int64, error) {
	head, n, err := s.seal(ctx, db, account)
	if err == nil && n > 0 && s.cfg.Note != nil {
		err = s.cfg.Note(ctx, head)
	}
	return n, err
}
