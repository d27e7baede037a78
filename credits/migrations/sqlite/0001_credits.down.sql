DROP TABLE credits_keys;

DROP TABLE credits_splits;

DROP TABLE credits_entries;

DROP TABLE credits_grants;

DROP TABLE credits_accounts;
