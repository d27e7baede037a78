-- Erasing an account finds its keys' ids by it.
CREATE INDEX authn_key_ids_account ON authn_key_ids (account_id);
