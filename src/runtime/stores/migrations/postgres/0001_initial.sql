-- Every table is partitioned by UTC day. Where TimescaleDB is there, the migration leaves the
-- partition clause out, and 0002_timescale.sql makes hypertables of the tables.

CREATE TABLE runs (
  ts timestamptz NOT NULL, run text NOT NULL, environment text, category text, mode text,
  version text, symbols text,
  PRIMARY KEY (run, ts)
) PARTITION BY RANGE (ts);

CREATE TABLE trades (
  ts timestamptz NOT NULL, category text NOT NULL, symbol text NOT NULL,
  trade_id text NOT NULL, side text, px numeric, qty numeric, seq bigint,
  PRIMARY KEY (category, symbol, trade_id, ts)
) PARTITION BY RANGE (ts);

CREATE TABLE tops (
  ts timestamptz NOT NULL, category text NOT NULL, symbol text NOT NULL, u bigint NOT NULL,
  state text, bid_px numeric, bid_qty numeric, ask_px numeric, ask_qty numeric,
  PRIMARY KEY (category, symbol, ts, u)
) PARTITION BY RANGE (ts);

CREATE TABLE books (
  ts timestamptz NOT NULL, category text NOT NULL, symbol text NOT NULL, u bigint NOT NULL,
  state text, levels bytea,
  PRIMARY KEY (category, symbol, ts, u)
) PARTITION BY RANGE (ts);

CREATE TABLE signals (
  ts timestamptz NOT NULL, category text NOT NULL, symbol text NOT NULL, u bigint NOT NULL,
  mid double precision, spread_bps double precision, microprice double precision,
  imbalance double precision, zscore double precision, mean double precision,
  std double precision, ofi double precision, ewma double precision,
  volatility double precision, atr double precision, samples bigint,
  PRIMARY KEY (category, symbol, ts, u)
) PARTITION BY RANGE (ts);

CREATE TABLE intents (
  ts timestamptz NOT NULL, run text NOT NULL, seq bigint NOT NULL, strategy text,
  symbol text, side text, px numeric, qty numeric, order_type text, tif text,
  reduce_only boolean, reason text, confidence double precision, book_u bigint,
  PRIMARY KEY (run, seq, ts)
) PARTITION BY RANGE (ts);

CREATE TABLE denials (
  ts timestamptz NOT NULL, run text NOT NULL, seq bigint NOT NULL, strategy text,
  symbol text, side text, px numeric, qty numeric, rule text, detail text,
  PRIMARY KEY (run, seq, ts)
) PARTITION BY RANGE (ts);

CREATE TABLE commands (
  ts timestamptz NOT NULL, run text NOT NULL, seq bigint NOT NULL, command text,
  client_id text, symbol text, side text, px numeric, qty numeric, order_type text,
  tif text, reduce_only boolean,
  PRIMARY KEY (run, seq, ts)
) PARTITION BY RANGE (ts);

CREATE TABLE orders (
  ts timestamptz NOT NULL, order_id text NOT NULL, client_id text, category text,
  symbol text, status text NOT NULL, px numeric, qty numeric, cum_qty numeric NOT NULL,
  reject_reason text, run text,
  PRIMARY KEY (order_id, ts, status, cum_qty)
) PARTITION BY RANGE (ts);

CREATE TABLE executions (
  ts timestamptz NOT NULL, category text NOT NULL, symbol text NOT NULL,
  exec_id text NOT NULL, order_id text, client_id text, side text, px numeric, qty numeric,
  fee numeric, fee_coin text, is_maker boolean, exec_type text, run text,
  PRIMARY KEY (category, symbol, exec_id, ts)
) PARTITION BY RANGE (ts);

CREATE TABLE positions (
  ts timestamptz NOT NULL, run text NOT NULL, seq bigint NOT NULL, category text,
  symbol text, position_idx bigint, qty numeric, entry_px numeric, realized_pnl numeric,
  PRIMARY KEY (run, seq, ts)
) PARTITION BY RANGE (ts);

CREATE TABLE equity (
  ts timestamptz NOT NULL, run text NOT NULL, equity numeric, balance numeric,
  realized numeric, fees numeric, open_pnl numeric,
  PRIMARY KEY (run, ts)
) PARTITION BY RANGE (ts);

CREATE TABLE gaps (
  ts timestamptz NOT NULL, until timestamptz, source text NOT NULL, what text NOT NULL,
  rows bigint, reason text NOT NULL,
  PRIMARY KEY (ts, source, what, reason)
) PARTITION BY RANGE (ts);

CREATE TABLE latency (
  ts timestamptz NOT NULL, run text NOT NULL, stage text NOT NULL, count bigint,
  p50_us double precision, p99_us double precision, p999_us double precision,
  PRIMARY KEY (run, stage, ts)
) PARTITION BY RANGE (ts);

CREATE TABLE states (
  ts timestamptz NOT NULL, run text NOT NULL, seq bigint NOT NULL, kind text, detail text,
  PRIMARY KEY (run, seq, ts)
) PARTITION BY RANGE (ts);

CREATE INDEX trades_by_time ON trades (symbol, ts);
CREATE INDEX commands_by_client_id ON commands (client_id);
CREATE INDEX orders_by_client_id ON orders (client_id);
