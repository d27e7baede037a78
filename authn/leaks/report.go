package leaks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Report is one find of a scanner. Formatting, logging and encoding/json leave the
// token out.
type Report struct {
	Token string `json:"-"` // what was found
	Type  string // the scanner's name for keys of this form
	URL   string // where
	// Source is what kind of place that is: "commit".
	Source string
}

// String names the type.
func (r Report) String() string { return fmt.Sprintf("report of a %.100q", r.Type) }

// Format implements fmt.Formatter: no verb shows the token.
func (r Report) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue implements slog.LogValuer.
func (r Report) LogValue() slog.Value { return slog.StringValue(r.String()) }

// ReadReports reads a JSON array of objects with the members token, type, url (or
// location) and source, all of them text, all but the first optional. Other members are
// left alone. It returns ErrBadReport, in words that hold nothing of the body.
func ReadReports(body []byte) ([]Report, error) {
	var finds []*struct {
		Token    *string `json:"token"`
		Type     string  `json:"type"`
		URL      string  `json:"url"`
		Location string  `json:"location"`
		Source   string  `json:"source"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&finds); err != nil || finds == nil {
		return nil, fmt.Errorf("%w: it is no JSON array of objects whose members are text", ErrBadReport)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: it goes on after the array", ErrBadReport)
	}
	reports := make([]Report, len(finds))
	for i, f := range finds {
		if f == nil || f.Token == nil {
			return nil, fmt.Errorf("%w: number %d has no token", ErrBadReport, i)
		}
		reports[i] = Report{Token: *f.Token, Type: f.Type, URL: f.URL, Source: f.Source}
		if f.URL == "" {
			reports[i].URL = f.Location
		}
	}
	return reports, nil
}
