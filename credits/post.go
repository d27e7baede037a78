package credits

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// request is a verb that is asked of an account.
type request struct {
	account tenancy.AccountID
	key     string
	hash    string // of what the verb and its content are
	hold    string // that it is about
	takes   int64  // what it needs of an account that may have nothing
	none    error  // the refusal of an account that has no row, if it takes nothing
	opens   bool   // it makes the account's row even without a key
	retries bool   // its key remembers no refusal
	// spenders are whose budgets it counts against.
	spenders spenders
	// do changes the book, or refuses and leaves it as it is. The second return is what
	// undoes the whole.
	do func(ctx context.Context, b *book) (outcome, error)
	// alone is a request that reads or writes more than a book: it shares no commit.
	alone bool
	// draw is a deduction, which may be taken from the account's head.
	draw *Deduct
}

// outcome is what a request did, or why not.
type outcome struct {
	entry   Entry
	hold    *Held // if it is about one
	refusal error
}

func (o outcome) held() Held {
	if o.hold == nil {
		return Held{}
	}
	return *o.hold
}

// post answers a request in the transaction that db is, or in one of its own. A key that
// was used before gives the first outcome back, a refusal too.
func (l *Ledger) post(ctx context.Context, db bun.IDB, r request) (outcome, error) {
	outs, err := l.shared(ctx, db, []request{r}, true)
	if err == nil {
		err = outs[0].refusal
	}
	if err != nil {
		return outcome{}, err
	}
	return outs[0], nil
}

// posted answers requests in their order, under the locks of their accounts, and writes
// what they did. It must be given a transaction. A request without an outcome is one
// whose account somebody else has locked, where there is no wait.
//
// A refusal with a key is written down and so must be committed: it is an outcome and
// not an error.
func (l *Ledger) posted(ctx context.Context, db bun.IDB, requests []request, wait bool) ([]outcome, []*book, error) {
	o := &opening{ledger: l, db: db, requests: requests, wait: wait}
	if err := o.open(ctx); err != nil {
		return nil, nil, err
	}
	outs := make([]outcome, len(requests))
	for i, r := range requests {
		b := o.books[r.account]
		if b != nil && r.alone && b.changed() { // it reads the ledger, and what was due belongs there
			if err := flush(ctx, db, []*book{b}); err != nil {
				return nil, nil, err
			}
			b.written()
		}
		if b == nil {
			outs[i].refusal = errLocked
			switch { // there is no row, so there is nothing
			case wait && r.hold != "":
				outs[i].refusal = ErrNoHold
			case wait && r.none != nil:
				outs[i].refusal = r.none
			case wait:
				outs[i].refusal = l.insufficient(r.takes, 0)
			}
			continue
		}
		var err error
		if outs[i], err = b.answer(ctx, r); err != nil {
			return nil, nil, err
		}
	}
	books := make([]*book, 0, len(o.accounts))
	for _, account := range o.accounts {
		if b := o.books[account]; b != nil {
			books = append(books, b)
		}
	}
	if len(books) == 0 {
		return outs, nil, nil
	}
	return outs, books, flush(ctx, db, books)
}

// These reach no caller: somebody else has an account's lock, or what is remembered of the
// account is not enough.
var (
	errLocked = errors.New("credits: the account is locked")
	errUnread = errors.New("credits: the account is to be read")
)

// answer is what the request's key did before, or what the request does now.
func (b *book) answer(ctx context.Context, r request) (outcome, error) {
	if k := b.keys[r.key]; k != nil && r.key != "" {
		return b.replay(ctx, k, r.hash)
	}
	out, err := r.do(ctx, b)
	if err != nil {
		if refusal(err) == "" {
			return outcome{}, err
		}
		out = outcome{refusal: err}
	}
	b.watch()
	if r.key != "" && (out.refusal == nil || !r.retries) {
		b.remember(r, out)
	}
	return out, nil
}

// hashOf is the digest of what a request says: each part with its length before it,
// so that no two requests share a form.
func hashOf(content []any) string {
	text := make([]byte, 0, 256)
	for _, c := range content {
		at := len(text)
		text = binary.BigEndian.AppendUint64(text, 0)
		switch v := c.(type) {
		case string:
			text = append(text, v...)
		case Kind:
			text = append(text, v...)
		case int64:
			text = strconv.AppendInt(text, v, 10)
		case time.Time:
			if !v.IsZero() {
				text = v.UTC().AppendFormat(text, time.RFC3339Nano)
			}
		default:
			text = fmt.Append(text, v)
		}
		binary.BigEndian.PutUint64(text[at:], uint64(len(text)-at-8))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// digest is hashOf what makes a request of this ledger the same: optional parts count
// where they say something, so that what came before them keeps its digest.
func (l *Ledger) digest(content []any, optional ...named) string {
	optional = append(optional, named{"unit", l.otherUnit()})
	for _, o := range optional {
		if o.value != "" {
			content = append(content, o.name, o.value)
		}
	}
	return hashOf(content)
}

// named is a part of a request that may be absent.
type named struct{ name, value string }

// refusal is the code under which a refusal is remembered; "" for what is none.
func refusal(err error) string {
	for code, sentinel := range refusals {
		if errors.Is(err, sentinel) {
			return code
		}
	}
	return ""
}

var refusals = map[string]error{
	"insufficient":   ErrInsufficient,
	"not_refundable": ErrNotRefundable,
	"nothing_left":   ErrNothingLeft,
	"no_entry":       ErrNoEntry,
	"overflow":       ErrOverflow,
	"no_hold":        ErrNoHold,
	"hold_ended":     ErrHoldEnded,
	outcomeBudget:    ErrBudget,
}
