DROP TABLE authn_imported_keys;
