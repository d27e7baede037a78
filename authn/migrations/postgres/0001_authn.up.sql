-- Finds a key's account from outside any account.
CREATE TABLE authn_key_ids (
    key_id     TEXT PRIMARY KEY,
    account_id TEXT NOT NULL
);

-- One row for an account that has ever had a key: the lock under which its keys
-- are counted.
CREATE TABLE authn_accounts (
    account_id TEXT PRIMARY KEY,
    issued     BIGINT NOT NULL
);

CREATE TABLE authn_keys (
    account_id      TEXT NOT NULL,
    key_id          TEXT NOT NULL,
    name            TEXT NOT NULL,
    env             TEXT NOT NULL,
    created_by_kind TEXT NOT NULL,
    created_by_id   TEXT NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    expires_at      TIMESTAMPTZ,
    revoked_at      TIMESTAMPTZ,
    PRIMARY KEY (account_id, key_id)
);

CREATE INDEX authn_keys_age ON authn_keys (account_id, created_at, key_id);

-- A key has several secrets while it is rotated.
CREATE TABLE authn_key_secrets (
    account_id TEXT NOT NULL,
    key_id     TEXT NOT NULL,
    secret_id  TEXT NOT NULL,
    pepper_id  TEXT NOT NULL,
    hash       TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ,
    PRIMARY KEY (account_id, key_id, secret_id),
    FOREIGN KEY (account_id, key_id) REFERENCES authn_keys (account_id, key_id)
);

-- A person's, who may belong to several accounts or to none.
CREATE TABLE authn_passwords (
    user_id    TEXT PRIMARY KEY,
    hash       TEXT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
