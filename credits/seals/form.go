package seals

import (
	"fmt"
	"strconv"
	"time"

	"github.com/quitrent/quitrent/internal/chain"
)

// version begins every sealed text. Another form of it would have another.
const version = "quitrent.credits.seal.1"

// columns are those of an entry, in the order of the sealed text.
const columns = `e.account_id, e.unit, e.number, e.kind, e.amount, e.balance, e.spendable, e.refund_of, e.key, e.operation,
	e.note, e.actor_kind, e.actor_id, e.at, e.basis, e.hold_id, e.grant_id, e.hash, e.on_behalf_kind, e.on_behalf_id`

// Places among the columns, and how many there are.
const (
	placeNumber = 2
	placeRefund = 7
	placeAt     = 13
	width       = 20
)

// line is an entry as it is stored, with its splits. It keeps texts, and not what they
// mean: what an owner of the database may have put there need not mean anything.
type line struct {
	columns [width]string
	splits  []split
	at      time.Time
	// broken says that a column has no value: that is no entry.
	broken bool
}

type split struct{ position, grant, amount string }

// hash is the seal of the line after the seal with the hash previous, "" for the first.
func (l *line) hash(previous string) string { return l.canonical(previous).Hash() }

// canonical is one text for one line in one place, with the number of splits before them.
func (l *line) canonical(previous string) chain.Text {
	t := chain.Text(nil).Add(version, previous).Add(l.columns[:]...).Add(strconv.Itoa(len(l.splits)))
	for _, s := range l.splits {
		t = t.Add(s.position, s.grant, s.amount)
	}
	return t
}

// values are what a row of columns is scanned into.
type values [width]any

func (v *values) targets() []any {
	targets := make([]any, width)
	for i := range v {
		targets[i] = &v[i]
	}
	return targets
}

// line is the row's. Only refund_of may be without a value, which is no text.
func (v *values) line() *line {
	l := &line{}
	for i, value := range v {
		text, ok := textOf(value)
		if !ok && i != placeRefund {
			l.broken = true
		}
		l.columns[i] = text
	}
	l.at, _ = v[placeAt].(time.Time)
	l.at = l.at.UTC()
	return l
}

// textOf is one text for one value: numbers in decimal, times in UTC as RFC 3339 has
// them, with as many decimals as they need.
func textOf(value any) (text string, ok bool) {
	switch v := value.(type) {
	case nil:
		return "", false
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), true
	case []byte:
		return string(v), true
	default:
		return fmt.Sprint(v), true
	}
}
