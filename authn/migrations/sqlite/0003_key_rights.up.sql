-- On whose rights a key acts, as far as its scopes go, for what and from where.
ALTER TABLE authn_keys ADD COLUMN maker_id TEXT NOT NULL DEFAULT '';

ALTER TABLE authn_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT '[]';

ALTER TABLE authn_keys ADD COLUMN may TEXT NOT NULL DEFAULT '';

ALTER TABLE authn_keys ADD COLUMN addresses TEXT NOT NULL DEFAULT '[]';

-- Somebody reported that the key is public.
ALTER TABLE authn_keys ADD COLUMN leaked_at TIMESTAMP;

-- When a secret was last used, to the minute: apart, so that a use locks no key.
CREATE TABLE authn_key_uses (
    account_id   TEXT NOT NULL,
    key_id       TEXT NOT NULL,
    secret_id    TEXT NOT NULL,
    last_used_at TIMESTAMP NOT NULL,
    PRIMARY KEY (account_id, key_id, secret_id),
    FOREIGN KEY (account_id, key_id, secret_id) REFERENCES authn_key_secrets (account_id, key_id, secret_id) ON DELETE CASCADE
);
