-- What is in the heads goes back to their own rows.
UPDATE credits_grants AS g SET remaining = a.head_free + g.held
FROM credits_accounts AS a WHERE a.account_id = g.account_id AND a.head = g.grant_id AND a.unit = g.unit;

UPDATE credits_accounts SET epoch = epoch + 1;

ALTER TABLE credits_accounts RENAME COLUMN epoch TO version;

ALTER TABLE credits_accounts DROP COLUMN head;

ALTER TABLE credits_accounts DROP COLUMN head_free;
