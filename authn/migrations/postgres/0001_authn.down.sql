DROP TABLE authn_passwords;

DROP TABLE authn_key_secrets;

DROP TABLE authn_keys;

DROP TABLE authn_accounts;

DROP TABLE authn_key_ids;
