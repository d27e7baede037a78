-- What is over is found without a look at what is open.
CREATE INDEX authn_sessions_revoked ON authn_sessions (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE INDEX authn_sessions_expires ON authn_sessions (expires_at);
