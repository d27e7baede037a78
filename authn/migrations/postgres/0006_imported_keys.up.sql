-- Finds a key that another system has made by the hash that it kept. The hash is a
-- secret of the key too, under no pepper: that row says until when it opens.
CREATE TABLE authn_imported_keys (
    hash       TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    key_id     TEXT NOT NULL,
    secret_id  TEXT NOT NULL
);

-- Erasing an account finds them by it.
CREATE INDEX authn_imported_keys_account ON authn_imported_keys (account_id);
