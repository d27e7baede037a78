package sessions

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/tenancy"
)

// List asks for a person's sessions.
type List struct {
	User tenancy.UserID
}

// List reads the sessions of a person that are open, at most 500, those that were used
// last first. There is no secret in them.
func (s *Sessions) List(ctx context.Context, db bun.IDB, l List) ([]Session, error) {
	if !possible(string(l.User)) {
		return []Session{}, nil
	}
	now := s.now()
	var rows []sessionRow
	err := db.NewSelect().Model(&rows).ExcludeColumn("token_hash").
		Where("user_id = ? AND revoked_at IS NULL AND expires_at > ? AND seen_at > ?", l.User, now, now.Add(-s.cfg.Idle)).
		OrderExpr("seen_at DESC, session_id DESC").Limit(500).Scan(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Session, len(rows))
	for i, r := range rows {
		out[i] = r.session()
	}
	return out, nil
}
