DROP TABLE credits_seals;
