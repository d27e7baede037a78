package sessions

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/changes"
	"github.com/quitrent/quitrent/tenancy"
)

// ID names a session ("ses_…"). It opens nothing and may be shown and logged.
type ID string

func (id ID) known() bool { return possible(string(id)) }

// possible reports that s may name something. What may not, as it comes out of a URL,
// is not for the database: an odd byte would end a host's transaction on PostgreSQL.
func possible(s string) bool {
	_, err := tenancy.ParseAccountID(s)
	return err == nil
}

// Session is a person who has signed in, on one device. Its network address and its
// browser are personal data.
type Session struct {
	ID   ID             `json:"id"`
	User tenancy.UserID `json:"user"`
	// Account is the one it acts for where a request names none; "": the only one that
	// the user belongs to.
	Account tenancy.AccountID `json:"account,omitzero"`
	// Addr and UserAgent are those that it began with. Neither proves anything.
	Addr      netip.Addr `json:"addr,omitzero"`
	UserAgent string     `json:"user_agent,omitzero"`
	CreatedAt time.Time  `json:"created_at"`
	// SeenAt is when it was used last, to within a minute.
	SeenAt time.Time `json:"seen_at"`
	// ExpiresAt is the end that no use puts off. One that is idle ends earlier.
	ExpiresAt time.Time `json:"expires_at"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// Issued is a session and its token, of which this is the only copy.
type Issued struct {
	Session Session
	Token   Token
}

type sessionRow struct {
	bun.BaseModel `bun:"table:authn_sessions,alias:s"`

	ID        ID                `bun:"session_id,pk"`
	Hash      string            `bun:"token_hash"`
	User      tenancy.UserID    `bun:"user_id"`
	Account   tenancy.AccountID `bun:"account_id,nullzero"`
	Addr      string            `bun:"addr"`
	UserAgent string            `bun:"user_agent"`
	CreatedAt time.Time         `bun:"created_at"`
	SeenAt    time.Time         `bun:"seen_at"`
	ExpiresAt time.Time         `bun:"expires_at"`
	RevokedAt time.Time         `bun:"revoked_at,nullzero"`
}

func (r sessionRow) session() Session {
	addr, _ := netip.ParseAddr(r.Addr)
	s := Session{
		ID: r.ID, User: r.User, Account: r.Account, Addr: addr, UserAgent: r.UserAgent,
		CreatedAt: r.CreatedAt.UTC(), SeenAt: r.SeenAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(),
	}
	if !r.RevokedAt.IsZero() {
		s.RevokedAt = r.RevokedAt.UTC()
	}
	return s
}

// found is what a token opens: a session, over or not, and whom it lets in.
type found struct {
	Session
	// who acts for the session's account. Without Account: it has none, or its person
	// does not belong to it.
	who authn.Principal
}

// foundRow is a session beside its account.
type foundRow struct {
	sessionRow
	tenancy.Found
}

// find is what the token with this hash opens, in one statement; the zero found if it
// is nobody's. It may be remembered: whatever ends a session or replaces its token calls
// Accounts.Changed for its user, and what ends a membership for the account. ticket and
// now are from before.
func (s *Sessions) find(ctx context.Context, db bun.IDB, hash string, ticket changes.Ticket, now changes.Instant) (found, error) {
	var row foundRow
	q := db.NewSelect().TableExpr("authn_sessions AS s").
		ColumnExpr("s.session_id, s.user_id, s.account_id, s.addr, s.user_agent, s.created_at, s.seen_at, s.expires_at, s.revoked_at").
		Where("s.token_hash = ?", hash)
	err := s.accounts.Beside(q, "s.account_id", "s.user_id").Scan(ctx, &row)
	if errors.Is(err, sql.ErrNoRows) {
		return found{}, nil
	}
	if err != nil {
		return found{}, err
	}
	f := found{Session: row.session()}
	if row.FoundMember == nil {
		return f, nil
	}
	f.who, _, err = s.accounts.Know(ticket, now.Time, db, authn.Principal{
		Account: f.Account, Actor: person(f.User), Bounds: &tenancy.Bounds{ExpiresAt: f.ExpiresAt},
	}, row.Found)
	return f, err
}

// one is a session, over or not; the zero Session if there is none.
func one(ctx context.Context, db bun.IDB, where, arg string) (Session, error) {
	var row sessionRow
	err := db.NewSelect().Model(&row).ExcludeColumn("token_hash").Where(where, arg).Scan(ctx) // sqltext: the callers' constants
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, nil
	}
	if err != nil {
		return Session{}, err
	}
	return row.session(), nil
}

// open reports that a session is one, and neither revoked nor over: at its very end
// it is.
func (s *Sessions) open(in Session, now time.Time) bool {
	return in.ID != "" && in.RevokedAt.IsZero() && now.Before(in.ExpiresAt) && now.Before(in.SeenAt.Add(s.cfg.Idle))
}

// longestAgent bounds a User-Agent, in bytes.
const longestAgent = 256

// cleaned is what may be kept and shown of a User-Agent, which comes from outside:
// text in UTF-8, without control characters, cut at longestAgent.
func cleaned(agent string) string {
	agent = strings.ToValidUTF8(agent[:min(len(agent), 4*longestAgent)], "")
	agent = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, agent))
	if len(agent) > longestAgent {
		end := longestAgent
		for !utf8.RuneStart(agent[end]) {
			end--
		}
		agent = agent[:end]
	}
	return agent
}

// written is an address as the database keeps it: "" for none.
func written(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	return addr.WithZone("").Unmap().String()
}

func person(user tenancy.UserID) tenancy.Actor {
	return tenancy.Actor{Kind: tenancy.ActorUser, ID: string(user)}
}
