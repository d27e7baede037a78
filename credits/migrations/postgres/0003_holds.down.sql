-- What was held can be spent again.
UPDATE credits_grants SET held = 0 WHERE held > 0;

UPDATE credits_accounts SET held = 0 WHERE held > 0;

DROP TABLE credits_holds;
