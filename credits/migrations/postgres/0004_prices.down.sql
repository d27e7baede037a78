DROP TABLE credits_prices;
