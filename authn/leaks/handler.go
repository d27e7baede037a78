package leaks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/problem"
)

// The labels of an answer.
const (
	truePositive  = "true_positive"
	falsePositive = "false_positive"
)

// answer is what the scanner learns of one find. It names the token by its hash: what
// leaked once is not repeated.
type answer struct {
	Hash  string `json:"token_hash"`
	Type  string `json:"token_type"`
	Label string `json:"label"`
}

// Handler takes what the scanner posts, at whatever path it is mounted: up to 1 MiB.
// The answer is 200 with one object for each find, in order:
//
//	POST [{"token": "…", "type": "…", "url": "…", "source": "…"}]
//	200  [{"token_hash": "…", "token_type": "…", "label": "true_positive"}]
//
// token_hash is the SHA-256 of the token in hexadecimal. A key of ours is a
// true_positive, also one that was revoked before; a find that is none, of whatever
// length, is a false_positive. The refusals are those of Config.Verify (ErrNoSignature,
// ErrBadSignature, ErrScannerKeys), ErrBadReport, also for more than Config.MaxReports,
// and 413 for a larger body. Each key is a transaction of its own: after a 503 the same
// report may be sent again, and what was done is not done twice.
func (l *Leaks) Handler(db *bun.DB) http.Handler {
	mux := problem.NewMux(l.cfg.OnError)
	mux.Route("POST /", func(w http.ResponseWriter, r *http.Request) error {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, problem.MaxBody))
		var size *http.MaxBytesError
		switch {
		case errors.As(err, &size):
			return problem.ErrBodySize
		case err != nil:
			return fmt.Errorf("%w: it could not be read to its end", ErrBadReport)
		}
		if err := l.cfg.Verify(r, body); err != nil {
			if l.signed && errors.Is(err, ErrNoSignature) {
				w.Header().Set("WWW-Authenticate", "Signature")
			}
			return err
		}
		reports, err := l.read(body)
		if err != nil {
			return err
		}
		answers, noted, err := l.take(r.Context(), db, reports)
		l.notify(r.Context(), noted) // also of what came before an error: it is committed
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusOK, answers)
		return nil
	})
	return mux
}

func (l *Leaks) read(body []byte) ([]Report, error) {
	reports, err := l.cfg.Read(body)
	switch {
	case err != nil && !errors.Is(err, ErrBadReport):
		return nil, ErrBadReport // a host's own words may hold what it could not read
	case err != nil:
		return nil, err
	case len(reports) > l.cfg.MaxReports:
		return nil, fmt.Errorf("%w: it has %d finds, %d at once are the most", ErrBadReport, len(reports), l.cfg.MaxReports)
	}
	return reports, nil
}

// take acts on the reports. noted are the leaks that were not known before.
func (l *Leaks) take(ctx context.Context, db *bun.DB, reports []Report) (answers []answer, noted []authn.Leak, err error) {
	answers = make([]answer, len(reports))
	labels := map[string]string{} // a key lies about in several places
	for i, r := range reports {
		label, ok := labels[r.Token]
		if !ok {
			leak, err := l.leaked(ctx, db, r)
			switch {
			case errors.Is(err, authn.ErrNoKey):
				label = falsePositive
			case err != nil:
				return nil, noted, err
			default:
				label = truePositive
			}
			if leak.Noted {
				noted = append(noted, leak)
			}
			labels[r.Token] = label
		}
		sum := sha256.Sum256([]byte(r.Token))
		answers[i] = answer{Hash: hex.EncodeToString(sum[:]), Type: r.Type, Label: label}
	}
	return answers, noted, nil
}

// leaked tells the keys, of which one may know this one.
func (l *Leaks) leaked(ctx context.Context, db *bun.DB, r Report) (leak authn.Leak, err error) {
	for _, keys := range l.keys {
		leak, err = keys.Leaked(ctx, db, authn.Leaked{
			Presented: r.Token, Scanner: l.cfg.Scanner, Source: r.Source, URL: r.URL, KeepKey: l.cfg.NotifyOnly,
		})
		if !errors.Is(err, authn.ErrNoKey) {
			return leak, err
		}
	}
	return leak, err
}

// notifyFor is how long Config.Notify may take for all leaks of a report: the scanner
// waits for its answer.
const notifyFor = 10 * time.Second

func (l *Leaks) notify(ctx context.Context, noted []authn.Leak) {
	if l.cfg.Notify == nil || len(noted) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), notifyFor)
	defer cancel()
	for _, leak := range noted {
		err := ctx.Err()
		if err == nil {
			err = l.cfg.Notify(ctx, leak)
		}
		if err != nil { // by its type: what a mail server says often has an address in it
			slog.WarnContext(ctx, "quitrent: nobody was told of a leaked key", "account", leak.Key.Account, "key", leak.Key.ID, "err", fmt.Sprintf("%T", err))
		}
	}
}
