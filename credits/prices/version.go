package prices

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Version is one line of the price list. Versions are never changed or deleted.
type Version struct {
	// Account is whose price it is; "" is the general list.
	Account   tenancy.AccountID `json:"account,omitempty"`
	Operation string            `json:"operation"`
	// Number counts the versions of the account's price for the operation, in the order
	// in which they were set: 1, 2, 3, without gaps.
	Number int64 `json:"number"`
	// Price is what it costs; zero where Ended.
	Price Price `json:"price,omitzero"`
	// Ended says that from EffectiveAt on there is no price: no general one, or none of
	// the account's own.
	Ended bool `json:"ended,omitempty"`
	// EffectiveAt is when it takes effect. It holds until the next one does.
	EffectiveAt time.Time `json:"effective_at"`
	// SetAt is when it was written.
	SetAt time.Time `json:"set_at"`
	// Unchanged says, of what Set and End return, that the list said so already and
	// that this is where. It is not stored.
	Unchanged bool `json:"-"`
}

type versionRow struct {
	bun.BaseModel `bun:"table:credits_prices,alias:p"`

	Account     tenancy.AccountID `bun:"account_id,pk"`
	Operation   string            `bun:"operation,pk"`
	Number      int64             `bun:"version,pk"`
	Ended       bool              `bun:"ended"`
	Fixed       int64             `bun:"fixed"`
	Minimum     int64             `bun:"minimum"`
	Rounding    Rounding          `bun:"rounding"`
	Components  string            `bun:"components"`
	EffectiveAt time.Time         `bun:"effective_at"`
	CreatedAt   time.Time         `bun:"created_at"`
}

func (r versionRow) version() (Version, error) {
	v := Version{
		Account: r.Account, Operation: r.Operation, Number: r.Number, Ended: r.Ended,
		EffectiveAt: r.EffectiveAt.UTC(), SetAt: r.CreatedAt.UTC(),
	}
	if r.Ended {
		return v, nil
	}
	p := Price{Fixed: r.Fixed, Minimum: r.Minimum, Rounding: r.Rounding}
	err := json.Unmarshal([]byte(r.Components), &p.Components)
	p.Free = p.Fixed == 0 && p.Minimum == 0 && len(p.Components) == 0
	if err == nil {
		v.Price, err = p.normal()
	}
	if err != nil {
		// %v: a row that somebody spoilt is our fault and not the client's.
		return Version{}, fmt.Errorf("prices: version %d of %q: %v", r.Number, r.Operation, err)
	}
	return v, nil
}

func newVersionRow(v Version) (*versionRow, error) {
	components := v.Price.Components
	if components == nil {
		components = []Component{} // null is no list
	}
	list, err := json.Marshal(components)
	return &versionRow{
		Account: v.Account, Operation: v.Operation, Number: v.Number, Ended: v.Ended,
		Fixed: v.Price.Fixed, Minimum: v.Price.Minimum, Rounding: v.Price.Rounding, Components: string(list),
		EffectiveAt: v.EffectiveAt, CreatedAt: v.SetAt,
	}, err
}

func versions(rows []versionRow) ([]Version, error) {
	out := make([]Version, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.version(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

const columns = "account_id, operation, version, ended, fixed, minimum, rounding, components, effective_at, created_at"

// inEffect is what the list says of an operation at the instant: the account's own
// price, or the general one. ErrNoPrice: neither.
func inEffect(ctx context.Context, db bun.IDB, account tenancy.AccountID, operation string, at time.Time) (Version, error) {
	var rows []versionRow
	err := db.NewRaw(`SELECT * FROM (SELECT `+columns+` FROM credits_prices
			WHERE account_id = ?0 AND operation = ?1 AND effective_at <= ?2
			ORDER BY effective_at DESC, version DESC LIMIT 1) AS own
		UNION ALL SELECT * FROM (SELECT `+columns+` FROM credits_prices
			WHERE account_id = '' AND operation = ?1 AND effective_at <= ?2
			ORDER BY effective_at DESC, version DESC LIMIT 1) AS everybodys`, account, operation, at).Scan(ctx, &rows)
	if err != nil {
		return Version{}, err
	}
	var found *versionRow
	for i, r := range rows {
		if !r.Ended && (found == nil || found.Account == "") {
			found = &rows[i]
		}
	}
	if found == nil {
		return Version{}, ErrNoPrice
	}
	return found.version()
}
