-- Times are integers: nanoseconds since 1970, UTC. Money is decimal text, exact.
CREATE TABLE runs (
  ts INTEGER NOT NULL, run TEXT NOT NULL, environment TEXT, category TEXT, mode TEXT,
  version TEXT, symbols TEXT,
  PRIMARY KEY (run, ts)
) WITHOUT ROWID;

CREATE TABLE trades (
  ts INTEGER NOT NULL, category TEXT NOT NULL, symbol TEXT NOT NULL, trade_id TEXT NOT NULL,
  side TEXT, px TEXT, qty TEXT, seq INTEGER,
  PRIMARY KEY (category, symbol, trade_id, ts)
) WITHOUT ROWID;
CREATE INDEX trades_by_time ON trades (symbol, ts);

CREATE TABLE tops (
  ts INTEGER NOT NULL, category TEXT NOT NULL, symbol TEXT NOT NULL, u INTEGER NOT NULL,
  state TEXT, bid_px TEXT, bid_qty TEXT, ask_px TEXT, ask_qty TEXT,
  PRIMARY KEY (category, symbol, ts, u)
) WITHOUT ROWID;

CREATE TABLE books (
  ts INTEGER NOT NULL, category TEXT NOT NULL, symbol TEXT NOT NULL, u INTEGER NOT NULL,
  state TEXT, levels BLOB,
  PRIMARY KEY (category, symbol, ts, u)
) WITHOUT ROWID;

CREATE TABLE signals (
  ts INTEGER NOT NULL, category TEXT NOT NULL, symbol TEXT NOT NULL, u INTEGER NOT NULL,
  mid REAL, spread_bps REAL, microprice REAL, imbalance REAL, zscore REAL, mean REAL, std REAL,
  ofi REAL, ewma REAL, volatility REAL, atr REAL, samples INTEGER,
  PRIMARY KEY (category, symbol, ts, u)
) WITHOUT ROWID;

CREATE TABLE intents (
  ts INTEGER NOT NULL, run TEXT NOT NULL, seq INTEGER NOT NULL, strategy TEXT, symbol TEXT,
  side TEXT, px TEXT, qty TEXT, order_type TEXT, tif TEXT, reduce_only INTEGER, reason TEXT,
  confidence REAL, book_u INTEGER,
  PRIMARY KEY (run, seq, ts)
) WITHOUT ROWID;

CREATE TABLE denials (
  ts INTEGER NOT NULL, run TEXT NOT NULL, seq INTEGER NOT NULL, strategy TEXT, symbol TEXT,
  side TEXT, px TEXT, qty TEXT, rule TEXT, detail TEXT,
  PRIMARY KEY (run, seq, ts)
) WITHOUT ROWID;

CREATE TABLE commands (
  ts INTEGER NOT NULL, run TEXT NOT NULL, seq INTEGER NOT NULL, command TEXT, client_id TEXT,
  symbol TEXT, side TEXT, px TEXT, qty TEXT, order_type TEXT, tif TEXT, reduce_only INTEGER,
  PRIMARY KEY (run, seq, ts)
) WITHOUT ROWID;
CREATE INDEX commands_by_client_id ON commands (client_id);

CREATE TABLE orders (
  ts INTEGER NOT NULL, order_id TEXT NOT NULL, client_id TEXT, category TEXT, symbol TEXT,
  status TEXT NOT NULL, px TEXT, qty TEXT, cum_qty TEXT NOT NULL, reject_reason TEXT, run TEXT,
  PRIMARY KEY (order_id, ts, status, cum_qty)
) WITHOUT ROWID;
CREATE INDEX orders_by_client_id ON orders (client_id);

CREATE TABLE executions (
  ts INTEGER NOT NULL, category TEXT NOT NULL, symbol TEXT NOT NULL, exec_id TEXT NOT NULL,
  order_id TEXT, client_id TEXT, side TEXT, px TEXT, qty TEXT, fee TEXT, fee_coin TEXT,
  is_maker INTEGER, exec_type TEXT, run TEXT,
  PRIMARY KEY (category, symbol, exec_id, ts)
) WITHOUT ROWID;

CREATE TABLE positions (
  ts INTEGER NOT NULL, run TEXT NOT NULL, seq INTEGER NOT NULL, category TEXT, symbol TEXT,
  position_idx INTEGER, qty TEXT, entry_px TEXT, realized_pnl TEXT,
  PRIMARY KEY (run, seq, ts)
) WITHOUT ROWID;

CREATE TABLE equity (
  ts INTEGER NOT NULL, run TEXT NOT NULL, equity TEXT, balance TEXT, realized TEXT, fees TEXT,
  open_pnl TEXT,
  PRIMARY KEY (run, ts)
) WITHOUT ROWID;

CREATE TABLE gaps (
  ts INTEGER NOT NULL, until INTEGER NOT NULL, source TEXT NOT NULL, what TEXT NOT NULL,
  rows INTEGER, reason TEXT NOT NULL,
  PRIMARY KEY (ts, source, what, reason)
) WITHOUT ROWID;

CREATE TABLE latency (
  ts INTEGER NOT NULL, run TEXT NOT NULL, stage TEXT NOT NULL, count INTEGER, p50_us REAL,
  p99_us REAL, p999_us REAL,
  PRIMARY KEY (run, stage, ts)
) WITHOUT ROWID;

CREATE TABLE states (
  ts INTEGER NOT NULL, run TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT, detail TEXT,
  PRIMARY KEY (run, seq, ts)
) WITHOUT ROWID;
