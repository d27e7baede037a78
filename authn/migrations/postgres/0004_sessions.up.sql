-- A person's, who may belong to several accounts or to none: it finds the account
-- that the person acts for. Of the token there is a hash.
CREATE TABLE authn_sessions (
    session_id TEXT PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    user_id    TEXT NOT NULL,
    account_id TEXT,
    addr       TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    seen_at    TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    revoked_at TIMESTAMPTZ
);

CREATE INDEX authn_sessions_user ON authn_sessions (user_id, seen_at);

-- What is over was not seen for long: so it is found and deleted.
CREATE INDEX authn_sessions_seen ON authn_sessions (seen_at);
