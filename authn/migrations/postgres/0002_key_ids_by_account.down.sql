DROP INDEX authn_key_ids_account;
