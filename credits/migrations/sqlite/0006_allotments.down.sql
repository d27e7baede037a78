-- What was granted stays, and the keys by which no period is granted again.
ALTER TABLE credits_accounts DROP COLUMN renews_at;

DROP TABLE credits_allotments;
