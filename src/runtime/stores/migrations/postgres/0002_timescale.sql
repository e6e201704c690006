-- With TimescaleDB: hypertables by day, compression of what is a day old, and candles that are
-- kept up to date by the server. Retention is set by the migration, from history.retention_days.

SELECT create_hypertable('runs', 'ts', chunk_time_interval => INTERVAL '1 day');
SELECT create_hypertable('trades', 'ts', chunk_time_interval => INTERVAL '1 day');
SELECT create_hypertable('tops', 'ts', chunk_time_interval => INTERVAL '1 day');
SELECT create_hypertable('books', 'ts', chunk_time_interval => INTERVAL '1 day');
SELECT create_hypertable('signals', 'ts', chunk_time_interval => INTERVAL '1 day');
SELECT create_hypertable('intents', 'ts', chunk_time_interval => INTERVAL '1 day');
SELECT create_hypertable('denials', 'ts', chunk_time_interval => INTERVAL '1 day');
SELECT create_hypertable('commands', 'ts', chunk_time_interval => INTERVAL '1 day');
SELECT create_hypertable('orders', 'ts', chunk_time_interval => INTERVAL '1 day');
SELECT create_hypertable('executions', 'ts', chunk_time_interval => INTERVAL '1 day');
SELECT create_hypertable('positions', 'ts', chunk_time_interval => INTERVAL '1 day');
SELECT create_hypertable('equity', 'ts', chunk_time_interval => INTERVAL '1 day');
SELECT create_hypertable('gaps', 'ts', chunk_time_interval => INTERVAL '1 day');
SELECT create_hypertable('latency', 'ts', chunk_time_interval => INTERVAL '1 day');
SELECT create_hypertable('states', 'ts', chunk_time_interval => INTERVAL '1 day');

ALTER TABLE trades SET (timescaledb.compress, timescaledb.compress_segmentby = 'symbol');
ALTER TABLE tops SET (timescaledb.compress, timescaledb.compress_segmentby = 'symbol');
ALTER TABLE books SET (timescaledb.compress, timescaledb.compress_segmentby = 'symbol');
ALTER TABLE signals SET (timescaledb.compress, timescaledb.compress_segmentby = 'symbol');
ALTER TABLE latency SET (timescaledb.compress, timescaledb.compress_segmentby = 'stage');
SELECT add_compression_policy('trades', INTERVAL '1 day');
SELECT add_compression_policy('tops', INTERVAL '1 day');
SELECT add_compression_policy('books', INTERVAL '1 day');
SELECT add_compression_policy('signals', INTERVAL '1 day');
SELECT add_compression_policy('latency', INTERVAL '1 day');

CREATE MATERIALIZED VIEW candles_1m WITH (timescaledb.continuous) AS
SELECT category, symbol, time_bucket(INTERVAL '1 minute', ts) AS minute,
       first(px, ts) AS open, max(px) AS high, min(px) AS low, last(px, ts) AS close,
       sum(qty) AS volume, count(*) AS trades
FROM trades GROUP BY category, symbol, time_bucket(INTERVAL '1 minute', ts)
WITH NO DATA;
SELECT add_continuous_aggregate_policy('candles_1m', start_offset => INTERVAL '2 hours',
       end_offset => INTERVAL '1 minute', schedule_interval => INTERVAL '1 minute');
