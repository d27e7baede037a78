package sessions

import (
	"context"
	"errors"
	"net/netip"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/id"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// Start begins a session of a person who has just shown who it is.
type Start struct {
	User tenancy.UserID
	// Account is the one to act for. "": the only one that the user belongs to; with
	// several or none the session has none yet.
	Account tenancy.AccountID
	// Addr is the network address of the client, UserAgent what its browser calls
	// itself, of which 256 bytes are kept: what a person recognises a session by.
	// Neither must be there.
	Addr      netip.Addr
	UserAgent string
}

// Start makes a session with a token of its own, whatever the caller had before, and
// writes it to the installation's audit log. A session that the caller had is for End,
// so that a token which somebody planted opens nothing. Of more sessions than
// Config.MostOpen the one that was not used for longest is revoked.
//
// Behind a password it belongs into authn.SignIn.Then: a session that begins after a
// reset has ended the password, and every session, would outlive both.
//
// It returns tenancy.ErrNoUser, and tenancy.ErrNoAccount for an account that the user
// does not belong to.
func (s *Sessions) Start(ctx context.Context, db bun.IDB, st Start) (Issued, error) {
	var out Issued
	err := tx.Join(ctx, db, func(db bun.IDB) (err error) {
		out, err = s.start(ctx, db, st)
		return err
	})
	if err != nil {
		return Issued{}, err
	}
	return out, nil
}

func (s *Sessions) start(ctx context.Context, db bun.IDB, st Start) (Issued, error) {
	if _, err := s.accounts.User(ctx, db, st.User); err != nil {
		return Issued{}, err
	}
	account, err := s.accounts.AccountOf(ctx, db, st.User, st.Account)
	if st.Account == "" && (errors.Is(err, tenancy.ErrNoAccount) || errors.Is(err, tenancy.ErrWhichAccount)) {
		account, err = "", nil
	}
	if err != nil {
		return Issued{}, err
	}
	now := s.now()
	token, hash := newToken()
	row := sessionRow{
		ID: ID(id.New("ses")), Hash: hash, User: st.User, Account: account, Addr: written(st.Addr), UserAgent: cleaned(st.UserAgent),
		CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(s.cfg.Lifetime),
	}
	if _, err := db.NewInsert().Model(&row).Exec(ctx); err != nil {
		return Issued{}, err
	}
	line := tenancy.Audit{Actor: person(st.User), Action: "sessions.start", Target: string(row.ID), At: now}
	if err := tenancy.Record(ctx, db, line); err != nil {
		return Issued{}, err
	}
	return Issued{Session: row.session(), Token: token}, s.makeRoom(ctx, db, row)
}

// makeRoom revokes what is more than Config.MostOpen, never the one that has just
// begun. Two at once may leave one too many, until the next.
func (s *Sessions) makeRoom(ctx context.Context, db bun.IDB, begun sessionRow) error {
	var surplus []ID
	err := db.NewSelect().Model((*sessionRow)(nil)).Column("session_id").
		Where("user_id = ? AND session_id <> ? AND revoked_at IS NULL", begun.User, begun.ID).
		Where("expires_at > ? AND seen_at > ?", begun.CreatedAt, begun.CreatedAt.Add(-s.cfg.Idle)).
		OrderExpr("seen_at DESC, session_id DESC").Limit(500).Offset(int64(s.cfg.MostOpen)-1).Scan(ctx, &surplus)
	if err != nil {
		return err
	}
	for _, id := range surplus {
		_, err := s.revoke(ctx, db, revocation{user: begun.User, only: id, line: tenancy.Audit{
			Actor: begunBy, Action: "sessions.revoke", Target: string(id), Reason: "the person has too many sessions",
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// begunBy is who ends sessions that are too many, in the audit log.
var begunBy = tenancy.Actor{Kind: tenancy.ActorSystem, ID: "sessions"}
