package prices

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/quitrent/quitrent/tenancy"
)

// maxBasis is the longest basis, in bytes. The limits of what is in it add up to less.
const maxBasis = 1000

// basis is why something cost what it did. Its fields are in the order of their names.
type basis struct {
	Account   tenancy.AccountID `json:"account,omitempty"`
	Amount    int64             `json:"amount"`
	Inputs    map[string]int64  `json:"inputs,omitempty"`
	Operation string            `json:"operation"`
	Version   int64             `json:"version"`
}

// basis keeps of the inputs those that the price names.
func (v Version) basis(inputs map[string]int64, amount int64) basis {
	b := basis{Account: v.Account, Amount: amount, Operation: v.Operation, Version: v.Number}
	for _, c := range v.Price.Components {
		if b.Inputs == nil {
			b.Inputs = map[string]int64{}
		}
		b.Inputs[c.Input] = inputs[c.Input]
	}
	return b
}

// String is the basis in its one form: JSON in one line, members sorted, no space.
func (b basis) String() string {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	_ = e.Encode(b) // a struct of numbers and text is always JSON
	return strings.TrimSuffix(buf.String(), "\n")
}

// parseBasis reads what String wrote, and nothing else. ErrInvalid.
func parseBasis(s string) (basis, error) {
	bad := fmt.Errorf("%w: this is not the basis of a quote", ErrInvalid)
	if len(s) > maxBasis {
		return basis{}, bad
	}
	var b basis
	if err := json.Unmarshal([]byte(s), &b); err != nil || b.String() != s {
		return basis{}, bad
	}
	if b.Amount < 0 || b.Version < 1 || len(b.Inputs) > maxComponents || checkOperation(b.Operation) != nil || checkAccount(b.Account) != nil {
		return basis{}, bad
	}
	for name, n := range b.Inputs {
		if n < 0 || !inputForm.MatchString(name) {
			return basis{}, bad
		}
	}
	return b, nil
}
