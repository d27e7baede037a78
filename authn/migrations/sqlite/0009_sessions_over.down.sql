DROP INDEX authn_sessions_expires;

DROP INDEX authn_sessions_revoked;
