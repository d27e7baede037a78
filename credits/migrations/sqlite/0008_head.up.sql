-- head is the grant that is spent first, or ''; head_free is what is in it and not held,
-- and so is what deductions take of it: its own row is written when another grant comes
-- first, or something else happens to it. Most deductions so write one row and its entry.
ALTER TABLE credits_accounts ADD COLUMN head TEXT NOT NULL DEFAULT '';

ALTER TABLE credits_accounts ADD COLUMN head_free BIGINT NOT NULL DEFAULT 0 CHECK (head_free >= 0);

-- It does not count deductions any more, but moves on when anything else changes. A
-- program before this version, which knows of no head, finds no version and does nothing.
ALTER TABLE credits_accounts RENAME COLUMN version TO epoch;
