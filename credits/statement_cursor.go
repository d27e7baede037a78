package credits

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// cursor says which statement is being read, which entries it has and how far the
// reader has come. It is no secret and no promise: it can only ask for numbers of the
// account that asks, and the balances are looked up.
type cursor struct {
	Account tenancy.AccountID `json:"account"`
	Unit    string            `json:"unit"`
	From    time.Time         `json:"from,omitzero"`
	To      time.Time         `json:"to,omitzero"`
	Opening int64             `json:"opening"`
	Closing int64             `json:"closing"`
	After   int64             `json:"after"`
}

// next is the cursor of the page that begins after a number.
func (s Statement) next(p period, after int64) string {
	text, err := json.Marshal(cursor{
		Account: s.Account, Unit: p.unit, From: s.From.UTC(), To: s.To.UTC(), Opening: p.opening.Number, Closing: p.closing.Number, After: after,
	})
	if err != nil {
		panic(err) // the years are those of RFC 3339: validate saw to it
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// resume is the period that a cursor keeps.
func (s Statement) resume(ctx context.Context, db bun.IDB, unit string) (period, int64, error) {
	no := fmt.Errorf("%w: the cursor is not of this statement: begin it anew", ErrInvalid)
	text, err := base64.RawURLEncoding.DecodeString(s.Cursor)
	if err != nil {
		return period{}, 0, no
	}
	var c cursor
	if json.Unmarshal(text, &c) != nil {
		return period{}, 0, no
	}
	if c.Account != s.Account || c.Unit != unit || !c.From.Equal(s.From) || !c.To.Equal(s.To) {
		return period{}, 0, no
	}
	if c.After < c.Opening || c.Closing < c.After {
		return period{}, 0, no
	}
	var found []Booked
	err = db.NewRaw(`SELECT number, balance FROM credits_entries WHERE account_id = ? AND unit = ? AND number IN (?, ?)`,
		s.Account, unit, c.Opening, c.Closing).Scan(ctx, &found)
	if err != nil {
		return period{}, 0, err
	}
	p := period{s.Account, unit, Booked{Number: -1}, Booked{Number: -1}}
	for _, b := range append(found, Booked{}) { // 0 is no entry and always there
		if b.Number == c.Opening {
			p.opening = b
		}
		if b.Number == c.Closing {
			p.closing = b
		}
	}
	if p.opening.Number < 0 || p.closing.Number < 0 {
		return period{}, 0, no
	}
	return p, c.After, nil
}
