-- Candles of the recorded trades, computed when they are read.
CREATE VIEW candles_1m AS
SELECT category, symbol, date_trunc('minute', ts) AS minute,
       (array_agg(px ORDER BY ts, seq))[1] AS open, max(px) AS high, min(px) AS low,
       (array_agg(px ORDER BY ts DESC, seq DESC))[1] AS close,
       sum(qty) AS volume, count(*) AS trades
FROM trades GROUP BY category, symbol, date_trunc('minute', ts);
