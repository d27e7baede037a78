DROP TABLE authn_sessions;
