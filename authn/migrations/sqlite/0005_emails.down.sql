DROP INDEX authn_keys_made_by;

DROP TABLE authn_email_tokens;
