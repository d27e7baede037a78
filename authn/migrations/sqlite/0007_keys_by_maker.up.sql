-- Whose rights a key acts on may have taken it over from whoever made it: it is found
-- by either.
CREATE INDEX authn_keys_maker ON authn_keys (maker_id, account_id) WHERE revoked_at IS NULL;
