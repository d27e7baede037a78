package leaks

import (
	"net/http"
	"time"

	"github.com/quitrent/quitrent/internal/problem"
)

// The refusals of this package. Over HTTP they answer with the status named, as
// problem details (RFC 9457).
var (
	// 401
	ErrNoSignature = problem.New(http.StatusUnauthorized, "missing_signature", "this takes signed reports alone: send the signature and the identifier of its key")

	// 403
	ErrBadSignature = problem.New(http.StatusForbidden, "invalid_signature", "the signature is not the scanner's over this body")

	// 422
	ErrBadReport = problem.New(http.StatusUnprocessableEntity, "invalid_report", "the report cannot be read")

	// 503: what was wrong is in the log.
	ErrScannerKeys = problem.New(http.StatusServiceUnavailable, "scanner_keys_unavailable", "the scanner's public keys could not be had: send the report again later")
)

// later is ErrScannerKeys, and when to come back.
type later struct{ after time.Duration }

func (later) Error() string               { return ErrScannerKeys.Error() }
func (later) Unwrap() error               { return ErrScannerKeys }
func (l later) RetryAfter() time.Duration { return l.after }
