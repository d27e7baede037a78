package seals

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Config is the policy of Seals. The zero value works.
type Config struct {
	// Unit is that of the ledger that is sealed: credits.Config.Unit. Default: "credit".
	Unit string
	// Every is how often Run looks for entries without a seal. Default: 1 minute.
	Every time.Duration
	// Note receives the head of each ledger that a round of Run has sealed something of,
	// to keep it where the database's owner cannot change it. An error is reported with
	// the round's, and the seals stay. Default: nobody is told.
	Note func(ctx context.Context, head Head) error
}

// Seals seals and verifies the ledgers of one unit. It holds policy and no connection,
// and serves any number of goroutines.
type Seals struct {
	cfg Config
}

// New makes Seals from cfg.
func New(cfg Config) *Seals {
	if cfg.Unit == "" {
		cfg.Unit = "credit"
	}
	if cfg.Every <= 0 {
		cfg.Every = time.Minute
	}
	return &Seals{cfg: cfg}
}

// Head is the newest seal of an account's ledger. It stands for all that is sealed:
// noted where the database's owner cannot reach it, it shows a ledger that was written
// anew.
type Head struct {
	Account tenancy.AccountID `json:"account"`
	Unit    string            `json:"unit"`
	// Number is that of the last entry that is sealed; 0: none is.
	Number int64 `json:"number"`
	// Hash is 64 hexadecimal digits; "" where nothing is sealed.
	Hash string `json:"hash"`
	// At is when that entry was made.
	At time.Time `json:"at,omitzero"`
}

type sealRow struct {
	bun.BaseModel `bun:"table:credits_seals,alias:s"`

	Account tenancy.AccountID `bun:"account_id,pk"`
	Unit    string            `bun:"unit,pk"`
	Number  int64             `bun:"number,pk"`
	Hash    string            `bun:"hash"`
}

// Head reads the newest seal of an account's ledger. tenancy.ErrInvalid: account cannot
// be an account's id.
func (s *Seals) Head(ctx context.Context, db bun.IDB, account tenancy.AccountID) (Head, error) {
	head := Head{Account: account, Unit: s.cfg.Unit}
	if err := check(account); err != nil {
		return Head{}, err
	}
	rows, err := db.QueryContext(ctx, `SELECT s.number, s.hash, e.at FROM credits_seals AS s
		LEFT JOIN credits_entries AS e ON e.account_id = s.account_id AND e.unit = s.unit AND e.number = s.number
		WHERE s.account_id = ? AND s.unit = ? ORDER BY s.number DESC LIMIT 1`, account, s.cfg.Unit)
	err = each(rows, err, func(scan func(...any) error) error {
		var at any
		err := scan(&head.Number, &head.Hash, &at)
		head.At = timeOf(at)
		return err
	})
	return head, err
}

// Heads lists the heads of the accounts after one, in their order, 1 to 1,000 of them:
// to note them all, or to verify them one after another. Accounts of which nothing is
// sealed are left out.
func (s *Seals) Heads(ctx context.Context, db bun.IDB, after tenancy.AccountID, limit int) ([]Head, error) {
	heads := []Head{}
	rows, err := db.QueryContext(ctx, `SELECT a.account_id, s.number, s.hash, e.at FROM credits_accounts AS a
		JOIN credits_seals AS s ON s.account_id = a.account_id AND s.unit = a.unit AND s.number = (
			SELECT MAX(n.number) FROM credits_seals AS n WHERE n.account_id = a.account_id AND n.unit = a.unit)
		LEFT JOIN credits_entries AS e ON e.account_id = s.account_id AND e.unit = s.unit AND e.number = s.number
		WHERE a.unit = ? AND a.account_id > ? ORDER BY a.account_id LIMIT ?`, s.cfg.Unit, after, min(max(limit, 1), 1000))
	err = each(rows, err, func(scan func(...any) error) error {
		head := Head{Unit: s.cfg.Unit}
		var at any
		err := scan(&head.Account, &head.Number, &head.Hash, &at)
		head.At = timeOf(at)
		heads = append(heads, head)
		return err
	})
	return heads, err
}

func check(account tenancy.AccountID) error {
	_, err := tenancy.ParseAccountID(string(account))
	return err
}

// timeOf is a stored time, if it is one.
func timeOf(value any) time.Time {
	t, _ := value.(time.Time)
	return t.UTC()
}
