DROP TABLE authn_key_uses;

ALTER TABLE authn_keys DROP COLUMN leaked_at;

ALTER TABLE authn_keys DROP COLUMN addresses;

ALTER TABLE authn_keys DROP COLUMN may;

ALTER TABLE authn_keys DROP COLUMN scopes;

ALTER TABLE authn_keys DROP COLUMN maker_id;
