ALTER TABLE billing_transfers DROP COLUMN monthly;
