-- A refusal for want of a budget becomes one for want of credits, which the program before
-- this version knows.
UPDATE credits_keys SET outcome = 'insufficient' WHERE outcome = 'budget';

ALTER TABLE credits_keys DROP COLUMN detail;

ALTER TABLE credits_holds DROP COLUMN on_behalf_kind;

ALTER TABLE credits_holds DROP COLUMN on_behalf_id;

ALTER TABLE credits_entries DROP COLUMN on_behalf_kind;

ALTER TABLE credits_entries DROP COLUMN on_behalf_id;

ALTER TABLE credits_accounts DROP COLUMN budgets;

ALTER TABLE credits_accounts DROP COLUMN thresholds;

DROP TABLE credits_thresholds;

DROP TABLE credits_budgets;
