-- An older version knows nothing of these limits: the keys would do more than before.
UPDATE authn_keys SET revoked_at = created_at WHERE revoked_at IS NULL AND (may <> '' OR addresses <> '[]');

DROP TABLE authn_key_uses;

ALTER TABLE authn_keys DROP COLUMN leaked_at;

ALTER TABLE authn_keys DROP COLUMN addresses;

ALTER TABLE authn_keys DROP COLUMN may;

ALTER TABLE authn_keys DROP COLUMN scopes;

ALTER TABLE authn_keys DROP COLUMN maker_id;
