package leaks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/problem"
)

// GitHubKeys is where GitHub publishes the public keys of its secret scanning.
const GitHubKeys = "https://api.github.com/meta/public_keys/secret_scanning"

// Config is the policy of Leaks. The zero value takes GitHub's reports and revokes.
type Config struct {
	// Scanner names who reports, in the audit log and in events: 1 to 32 of
	// a-z 0-9 _ . -. Default: "github".
	Scanner string

	// KeysURL is where the scanner publishes the public keys it signs with, beginning
	// with https://. Default: GitHubKeys.
	KeysURL string
	// Client fetches KeysURL. Default: one that follows no redirect. A fetch has 10
	// seconds in any case.
	Client *http.Client
	// PublicKeys are the scanner's public keys (ECDSA P-256, PEM) by their identifiers,
	// where they are not to be fetched.
	PublicKeys map[string]string
	// Verify takes the place of the signature, for scanners of another kind.
	Verify Verifier
	// Read takes the place of ReadReports, for scanners that write something else. Of
	// an error of its own the client learns only ErrBadReport.
	Read func(body []byte) ([]Report, error)

	// NotifyOnly leaves the keys as they are: the leak is noted, and the rest is for
	// whoever is told. Default: they are revoked.
	NotifyOnly bool
	// Notify tells the owner, once for each leak that is noted, after the commit. All
	// calls of one report have 10 seconds together; an error is logged by its type.
	// What must not be lost with the process goes by the event authn.KeyLeaked instead.
	Notify func(ctx context.Context, leak authn.Leak) error

	// MaxReports bounds the keys in one report: each that looks right costs a
	// statement. Default: 1000.
	MaxReports int
	// More are the keys of other brands, or of environments that have peppers of their
	// own: a report is about the first that knows the key.
	More []*authn.Keys

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// OnError writes refusals. Default: problem details (RFC 9457).
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// Leaks takes reports of leaked keys from one scanner. It holds policy and no
// connection, and serves any number of goroutines.
type Leaks struct {
	keys   []*authn.Keys
	cfg    Config
	signed bool // by the signature of this package
}

var scannerForm = regexp.MustCompile(`^[a-z0-9_.-]{1,32}$`)

// New makes Leaks from cfg, for the keys that keys issued. The error says what is wrong
// with cfg.
func New(keys *authn.Keys, cfg Config) (*Leaks, error) {
	l := &Leaks{keys: append([]*authn.Keys{keys}, cfg.More...)}
	if slices.Contains(l.keys, nil) {
		return nil, errors.New("leaks: the keys are nil: make them with authn.New")
	}
	if cfg.Scanner == "" {
		cfg.Scanner = "github"
	}
	if !scannerForm.MatchString(cfg.Scanner) {
		return nil, fmt.Errorf("leaks: the scanner's name %q is not made of 1 to 32 of a-z 0-9 _ . -", cfg.Scanner)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnError == nil {
		cfg.OnError = problem.Write
	}
	if cfg.Read == nil {
		cfg.Read = ReadReports
	}
	if cfg.MaxReports <= 0 {
		cfg.MaxReports = 1000
	}
	switch {
	case cfg.Verify != nil && (cfg.KeysURL != "" || cfg.PublicKeys != nil), cfg.KeysURL != "" && cfg.PublicKeys != nil:
		return nil, errors.New("leaks: Config has several of KeysURL, PublicKeys and Verify: a scanner shows itself in one way")
	case cfg.Verify == nil:
		source, err := cfg.source()
		if err != nil {
			return nil, err
		}
		cfg.Verify, l.signed = signature(source), true
	}
	l.cfg = cfg
	return l, nil
}

// source is where the public keys come from.
func (cfg *Config) source() (source, error) {
	if cfg.PublicKeys != nil {
		given := static{}
		for id, text := range cfg.PublicKeys {
			key, err := publicKey(text)
			if err != nil || id == "" {
				return nil, fmt.Errorf("leaks: the public key %q is no ECDSA P-256 key in PEM under an identifier", id)
			}
			given[id] = key
		}
		if len(given) == 0 {
			return nil, errors.New("leaks: Config.PublicKeys is empty: leave it out to have them fetched")
		}
		return given, nil
	}
	if cfg.KeysURL == "" {
		cfg.KeysURL = GitHubKeys
	}
	// Whoever can answer for the scanner can end keys.
	if u, err := url.Parse(cfg.KeysURL); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("leaks: Config.KeysURL does not begin with https:// and a host")
	}
	client := cfg.Client
	if client == nil {
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return &published{url: cfg.KeysURL, client: client, now: cfg.Now}, nil
}
