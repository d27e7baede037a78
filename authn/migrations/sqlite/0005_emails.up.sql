-- The newest token of each kind that went to a person's mailbox, one row for good: how
-- many there were since a time is what bounds them. The hash goes when it is used.
CREATE TABLE authn_email_tokens (
    user_id    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    token_hash TEXT,
    email_key  TEXT NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    since      TIMESTAMP NOT NULL,
    issued     BIGINT NOT NULL,
    PRIMARY KEY (user_id, kind)
);

CREATE UNIQUE INDEX authn_email_tokens_hash ON authn_email_tokens (token_hash);

-- A person whose address was somebody else's until now finds the keys made under it.
CREATE INDEX authn_keys_made_by ON authn_keys (created_by_id, account_id) WHERE revoked_at IS NULL;
