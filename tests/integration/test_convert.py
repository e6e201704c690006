"""`fastbook convert`: what comes out holds what went in."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from fastbook import BookDecoder
from fastbook.runtime.benchmark.frames import stream
from fastbook.runtime.convert import BUY, EVENT, EXCH, LOCAL
from fastbook.runtime.data_files import chunks

from .command import document, in_process, one_sentence

TRADE = (
    b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1700000001210,"data":'
    b'[{"T":1700000001209,"s":"BTCUSDT","S":"Buy","v":"0.5","p":"64000.1","i":"a"}]}'
)


@pytest.fixture(scope="module")
def frames() -> list[bytes]:
    return stream(120, depth=50)


@pytest.fixture
def recording(frames: list[bytes], tmp_path: Path) -> Path:
    path = tmp_path / "in.frames"
    lines = [
        b"%d %b\n" % (1_700_000_000_025_000_000 + n * 20_000_000, f) for n, f in enumerate(frames)
    ]
    lines.insert(60, b"%d %b\n" % (1_700_000_001_212_000_000, TRADE))
    path.write_bytes(b"".join(lines))
    return path


def levels(path: Path) -> dict[str, list[list[list[float]]]]:
    decoder = BookDecoder()
    for _, data in chunks([path]):
        decoder.apply_many([line.partition(b" ")[2] for line in data.split(b"\n") if line])
    assert decoder.counters["gaps"] == decoder.counters["malformed"] == 0
    return {b.symbol: [b.bids().tolist(), b.asks().tolist()] for b in decoder.books.values()}


def books(path: Path) -> list[dict[str, int]]:
    return list(document(in_process("replay", path, "--json"))["books"].values())


@pytest.mark.parametrize("middle", ["a.npz", "a.frames.gz", "a.frames.zst", "a.frames"])
def test_there_and_back(recording: Path, tmp_path: Path, middle: str) -> None:
    there, back = tmp_path / middle, tmp_path / "back.frames.zst"
    done = in_process("convert", recording, there, "--symbol", "BTCUSDT", "--json")
    assert done.returncode == 0, done.stderr
    assert document(done)["messages"] == 121
    done = in_process("convert", there, back, "--symbol", "BTCUSDT", "--depth", "50")
    assert done.returncode == 0, done.stderr
    assert levels(back) == levels(recording)
    trades = [
        line for _, data in chunks([back]) for line in data.split(b"\n") if b"publicTrade" in line
    ]
    assert len(trades) == 1
    assert trades[0].startswith(b"1700000001212000000 ")
    assert b'"S":"Buy","v":"0.5","p":"64000.1"' in trades[0]


def test_the_array_is_as_hftbacktest_has_it(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npz"
    assert in_process("convert", recording, out).returncode == 0
    data = np.load(out)["data"]
    assert data.dtype == EVENT
    assert EVENT.itemsize == 64
    assert [int(ev) & 0xFF for ev in data["ev"][:2]] == [3, 4], "cleared, then the snapshot"
    assert (np.diff(data["local_ts"]) >= 0).all()
    assert (np.diff(data["exch_ts"]) >= 0).all()
    assert (data["local_ts"] >= data["exch_ts"]).all()
    (trade,) = data[(data["ev"] & 0xFF) == 2]
    assert int(trade["ev"]) == 2 | EXCH | LOCAL | BUY
    assert (trade["px"], trade["qty"]) == (64000.1, 0.5)


def test_parquet(recording: Path, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    out = tmp_path / "a.parquet"
    assert in_process("convert", recording, out).returncode == 0
    table = pq.read_table(out).to_pydict()
    assert set(table["kind"]) == {"snapshot", "delta", "trade"}
    assert table["kind"].count("snapshot") == 100
    assert len(set(table["message"])) == 121
    at = table["kind"].index("trade")
    assert (table["px_text"][at], table["qty"][at], table["side"][at]) == ("64000.1", 0.5, 1)


TARDIS_BOOK = """exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount
bybit,BTCUSDT,1700000000000000,1700000000003000,false,bid,9,9
bybit,BTCUSDT,1700000000000000,1700000000004000,true,bid,100.5,2
bybit,BTCUSDT,1700000000000000,1700000000004000,true,bid,100.4,1.50
bybit,BTCUSDT,1700000000000000,1700000000004000,true,ask,100.6,3
bybit,BTCUSDT,1700000000020000,1700000000025000,false,bid,100.5,0
bybit,BTCUSDT,1700000000020000,1700000000025000,false,ask,100.6,0.001
"""
TARDIS_TRADES = """exchange,symbol,timestamp,local_timestamp,id,side,price,amount
bybit,BTCUSDT,1700000000000000,1700000000003000,x1,buy,100.6,2
bybit,BTCUSDT,1700000000000000,1700000000003000,x2,sell,100.5,1e-3
"""


def test_tardis_csv(tmp_path: Path) -> None:
    book, trades = tmp_path / "incremental_book_L2.csv.gz", tmp_path / "trades.csv"
    book.write_bytes(gzip.compress(TARDIS_BOOK.encode()))
    trades.write_text(TARDIS_TRADES)
    out = tmp_path / "out.frames"
    assert in_process("convert", book, out, "--depth", "50").returncode == 0
    assert list(levels(out)) == ["BTCUSDT"]
    rows = out.read_bytes().splitlines()
    assert len(rows) == 2, "what came before the snapshot is nobody's"
    assert rows[0].startswith(
        b'1700000000004000000 {"topic":"orderbook.50.BTCUSDT","type":"snapshot"'
    )
    assert b'"b":[["100.5","2"],["100.4","1.5"]],"a":[["100.6","3"]]' in rows[0]
    assert b'"type":"delta"' in rows[1]
    assert b'"b":[["100.5","0"]],"a":[["100.6","0.001"]]' in rows[1]
    out = tmp_path / "trades.frames"
    assert in_process("convert", trades, out).returncode == 0
    (row,) = out.read_bytes().splitlines()
    assert row.count(b'"S":') == 2
    assert b'"v":"0.001","p":"100.5","i":"x2"' in row


def test_bybit_downloads(data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.frames"
    done = in_process("convert", data_dir / "bybit/trades-FXSUSDT-20231010-head.csv", out, "--json")
    assert document(done)["symbols"] == ["FXSUSDT"]
    assert out.read_bytes().count(b'"S":') == 15
    out = tmp_path / "b.npz"
    source = data_dir / "bybit/v5-linear-ob500-20241201-xrp.ndjson.gz"
    assert in_process("convert", source, out).returncode == 0
    back = tmp_path / "b.frames"
    assert in_process("convert", out, back, "--symbol", "XRPUSDT", "--depth", "500").returncode == 0
    assert [len(side) for side in levels(back)["XRPUSDT"]] == [500, 500]
    assert [book["u"] for book in books(back)] == [50]


def test_what_is_wrong_is_said_and_nothing_is_left(recording: Path, tmp_path: Path) -> None:
    def said(*args: str | Path, code: int) -> str:
        return one_sentence(in_process("convert", *args), code)

    assert "the name ends in" in said(recording, tmp_path / "a.txt", code=2)
    assert "is there already" in said(recording, recording, code=2)
    foreign = tmp_path / "f.csv"
    foreign.write_text("a,b\n1,2\n")
    assert "f.csv:1: its columns" in said(foreign, tmp_path / "o.frames", code=1)
    bad = tmp_path / "bad.csv"
    bad.write_text(TARDIS_TRADES + "bybit,BTCUSDT,now,1,x,buy,1,1\n")
    assert "bad.csv:4: not a row" in said(bad, tmp_path / "o.frames", code=1)
    array = tmp_path / "x.npz"
    array.write_bytes(b"PK nonsense")
    assert "--symbol" in said(array, tmp_path / "o.frames", code=2)
    assert "x.npz" in said(array, tmp_path / "o.frames", "--symbol", "A", code=1)
    assert "no market data of ETHUSDT" in said(
        recording, tmp_path / "o.frames", "--symbol", "ETHUSDT", code=1
    )
    assert not (tmp_path / "o.frames").exists()
