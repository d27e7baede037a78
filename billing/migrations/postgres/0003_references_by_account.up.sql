-- Erasing an account finds its references by it.
CREATE INDEX billing_references_account ON billing_references (account_id);
