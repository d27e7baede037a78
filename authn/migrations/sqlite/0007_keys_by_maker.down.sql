DROP INDEX authn_keys_maker;
