package seals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/chain"
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
	head, _, err := s.logs().Seal(ctx, db, account)
	return head, err
}

func (s *Seals) logs() chain.Logs[tenancy.AccountID, Head, sealRow] {
	return chain.Logs[tenancy.AccountID, Head, sealRow]{Head: s.Head, Next: next, Due: due, Note: s.cfg.Note}
}

// next makes the seals of a page of lines after the head.
func next(ctx context.Context, db bun.IDB, head Head) (Head, []sealRow, error) {
	if head.Number > math.MaxInt64-chain.Page {
		return head, nil, errors.New("seals: the chain has a number that nobody can have reached: verify it")
	}
	lines, err := unsealed(ctx, db, head.Account)
	rows := make([]sealRow, len(lines))
	for i, line := range lines {
		head.Number++
		head.Hash = Hash(head.Hash, head.Number, line)
		rows[i] = sealRow{Account: head.Account, Number: head.Number, Audit: line.ID, Hash: head.Hash}
	}
	return head, rows, err
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
		ORDER BY au.audit_id LIMIT ?`, account, chain.Page).Scan(ctx, &rows)
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
	chain.Run(ctx, db, "the audit log", s.cfg.Every, s.SealDue)
	return nil
}

// SealDue is one round of Run, for hosts with a scheduler of their own: it seals every
// line of every log that has no seal, the installation's own first, and returns how
// many. An account whose log cannot be sealed does not keep the others from it; the
// error names it. A round reads the keys of the whole log.
func (s *Seals) SealDue(ctx context.Context, db *bun.DB) (int64, error) {
	own, ownErr := s.logs().SealNote(ctx, db, "")
	others, err := s.logs().SealDue(ctx, db)
	return own + others, errors.Join(ownErr, err)
}

func due(ctx context.Context, db *bun.DB, after tenancy.AccountID) (due []tenancy.AccountID, err error) {
	err = db.NewRaw(`SELECT DISTINCT au.account_id FROM tenancy_audit AS au WHERE au.account_id > ? AND NOT EXISTS (
			SELECT 1 FROM tenancy_audit_seals AS s WHERE s.account_id = au.account_id AND s.audit_id = au.audit_id)
		ORDER BY au.account_id LIMIT ?`, after, chain.Page).Scan(ctx, &due)
	return due, err
}
