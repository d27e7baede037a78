package prices

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// Explain asks what a basis says.
type Explain struct {
	// Account is whose entry has the basis. Another account's own price is not
	// explained to it.
	Account tenancy.AccountID
	// Basis is a Quoted.Basis, as it was kept.
	Basis string
}

// Explained is a basis in words.
type Explained struct {
	// Text is one line in English, for the customer.
	Text string `json:"text"`
	// Amount is in credits: computed again, from the version as it is stored. Compare it
	// with what the entry took, if that may be otherwise.
	Amount int64 `json:"amount"`
	// Agrees says that the basis is what the version makes of its inputs, byte by byte.
	Agrees bool `json:"agrees"`
	// Version is the price that was used.
	Version Version `json:"version"`
}

// Explain puts a basis into words and computes it again from the stored version. A
// basis that somebody changed is explained too, and does not agree.
//
// It returns ErrInvalid for what is no basis, and ErrNoPrice where there is no such
// version or it is another account's.
func (l *List) Explain(ctx context.Context, db bun.IDB, e Explain) (Explained, error) {
	if err := checkAccount(e.Account); err != nil {
		return Explained{}, err
	}
	b, err := parseBasis(e.Basis)
	if err != nil {
		return Explained{}, err
	}
	if b.Account != "" && b.Account != e.Account {
		return Explained{}, ErrNoPrice
	}
	var row versionRow
	err = db.NewSelect().Model(&row).
		Where("account_id = ? AND operation = ? AND version = ?", b.Account, b.Operation, b.Version).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Explained{}, ErrNoPrice
	}
	if err != nil {
		return Explained{}, err
	}
	v, err := row.version()
	if err != nil {
		return Explained{}, err
	}
	return v.explain(b), nil
}

// explain computes b again.
func (v Version) explain(b basis) Explained {
	out := Explained{Version: v}
	what := fmt.Sprintf("%s, version %d of the price", v.Operation, v.Number)
	sum, err := v.Price.sum(b.Inputs)
	if err == nil {
		out.Amount, err = v.Price.cost(sum)
	}
	if err != nil || v.Ended {
		out.Amount = 0
		out.Text = what + fmt.Sprintf(": the %d credits charged do not follow from it", b.Amount)
		return out
	}
	out.Text = what + ": " + v.Price.words(b.Inputs, sum, out.Amount)
	out.Agrees = v.basis(b.Inputs, out.Amount).String() == b.String()
	switch {
	case out.Amount != b.Amount:
		out.Text += fmt.Sprintf(". This does not agree with the %s charged", credits(b.Amount))
	case !out.Agrees:
		out.Text += ". This does not agree with what was counted"
	}
	return out
}

// words is the arithmetic: "1200 input_tokens at 3 credits per 1000 = 3.6, rounded up:
// 4 credits".
func (p Price) words(inputs map[string]int64, sum exact, amount int64) string {
	if p.Free {
		return "free"
	}
	var terms []string
	if p.Fixed > 0 {
		terms = append(terms, credits(p.Fixed))
	}
	for _, c := range p.Components {
		term := fmt.Sprintf("%d %s at %s", inputs[c.Input], c.Input, credits(c.Credits))
		if c.Per > 1 {
			term += fmt.Sprintf(" per %d", c.Per)
		} else {
			term += " each"
		}
		terms = append(terms, term)
	}
	if len(terms) == 0 {
		return credits(amount) // all there is is the minimum
	}
	text := strings.Join(terms, " + ")
	rounded := map[Rounding]string{
		RoundUp: "rounded up", RoundDown: "rounded down", RoundHalfUp: "rounded to the nearest, half up", RoundHalfEven: "rounded to the nearest, half to even",
	}[p.Rounding]
	if len(p.Components) > 0 {
		text += " = " + sum.String()
	}
	if sum.rest > 0 {
		text += ", " + rounded
	}
	if n, err := p.round(sum); err == nil && n < p.Minimum {
		text += fmt.Sprintf(", at least %d", p.Minimum)
	}
	if text == credits(amount) {
		return text
	}
	return text + ": " + credits(amount)
}

func credits(n int64) string {
	if n == 1 {
		return "1 credit"
	}
	return fmt.Sprintf("%d credits", n)
}
