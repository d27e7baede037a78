package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
)

// MaxBody bounds what Decode reads, in bytes.
const MaxBody = 1 << 20

// Refusals of a request's body.
var (
	ErrBody      = New(http.StatusUnprocessableEntity, "invalid_body", "the request body is not valid")
	ErrBodySize  = New(http.StatusRequestEntityTooLarge, "body_too_large", "the request body is larger than 1 MiB")
	ErrMediaType = New(http.StatusUnsupportedMediaType, "unsupported_media_type", "the request body must be application/json")
)

// Decode reads one JSON object from r's body into v. Unknown members, a second
// value and a body over MaxBody are refused.
func Decode(w http.ResponseWriter, r *http.Request, v any) error {
	if ct := r.Header.Get("Content-Type"); ct != "" {
		if mt, _, err := mime.ParseMediaType(ct); err != nil || mt != "application/json" {
			// curl -d says form data unless told otherwise; a browser's form
			// must not reach a JSON endpoint, so there is no leniency here.
			return ErrMediaType
		}
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		var size *http.MaxBytesError
		switch {
		case errors.As(err, &size):
			return ErrBodySize
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: it is empty", ErrBody)
		default:
			return fmt.Errorf("%w: %s", ErrBody, err)
		}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it goes on after the first value", ErrBody)
	}
	return nil
}
