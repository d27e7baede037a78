package problem

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// MaxBody bounds what Decode reads, in bytes.
const MaxBody = 1 << 20

// Refusals of a request's body.
var (
	ErrBody      = New(http.StatusUnprocessableEntity, "invalid_body", "the request body is not valid")
	ErrBodySize  = New(http.StatusRequestEntityTooLarge, "body_too_large", "the request body is larger than 1 MiB")
	ErrMediaType = New(http.StatusUnsupportedMediaType, "unsupported_media_type", "the request body must be JSON: send it with Content-Type: application/json")
)

// Decode reads one JSON object from r's body into v. Unknown members, a second
// value and a body over MaxBody are refused.
func Decode(w http.ResponseWriter, r *http.Request, v any) error {
	// No leniency: a page of another site can make a browser post a form, or a body
	// without a type, but no application/json.
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != "application/json" {
		return ErrMediaType
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var size *http.MaxBytesError
	switch body = bytes.TrimSpace(body); {
	case errors.As(err, &size):
		return ErrBodySize
	case err != nil:
		return fmt.Errorf("%w: it could not be read to its end", ErrBody)
	case len(body) == 0:
		return fmt.Errorf("%w: it is empty", ErrBody)
	case body[0] != '{': // null would pass for an object of which nothing is set
		return fmt.Errorf("%w: it is no JSON object", ErrBody)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %s", ErrBody, say(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it goes on after the first value", ErrBody)
	}
	return nil
}

// say tells the client what is wrong without the names of our types.
func say(err error) string {
	var (
		kind *json.UnmarshalTypeError
		when *time.ParseError
	)
	switch {
	case errors.As(err, &when):
		return "a time is written like 2026-12-31T23:59:59Z (RFC 3339)"
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Sprintf("%q cannot be a %s", kind.Field, kind.Value)
	case errors.As(err, &kind):
		return fmt.Sprintf("it cannot be a %s", kind.Value)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	default:
		return strings.TrimPrefix(err.Error(), "json: ")
	}
}
