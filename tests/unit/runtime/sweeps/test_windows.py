"""Windows of market time: where they are cut, and what the next one is told."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from fastbook import BookDecoder
from fastbook.errors import ConfigError, DataFileError
from fastbook.runtime.backtest import find_instruments, fit_config, look_at
from fastbook.runtime.config import parse
from fastbook.runtime.data_files import frames
from fastbook.runtime.sweeps.windows import Window, cut

T0 = 1_700_000_000_000
CONFIG = parse('[market_data]\nsymbols = ["BTCUSDT", "ETHUSDT"]\n', name="t", environ={})


def book(at_ms: int, symbol: str, u: int, kind: str = "delta", qty: int = 1) -> bytes:
    data = {"s": symbol, "b": [["100.5", f"{qty}.25"]], "a": [["101.0", "2"]], "u": u, "seq": u}
    return line(at_ms, f"orderbook.50.{symbol}", kind, data)


def line(at_ms: int, topic: str, kind: str, data: object, **more: object) -> bytes:
    ts = T0 + at_ms
    frame = {"topic": topic, "type": kind, "ts": ts, "data": data, "cts": ts} | more
    return b"%d %b\n" % (ts * 1_000_000, orjson.dumps(frame))


def two_books(count: int, step_ms: int = 1_000) -> list[bytes]:
    lines = [book(0, "BTCUSDT", 1, "snapshot"), book(0, "ETHUSDT", 1, "snapshot")]
    for n in range(1, count):
        lines += [book(n * step_ms, s, n + 1, qty=n + 1) for s in ("BTCUSDT", "ETHUSDT")]
    return lines


def windows_of(
    lines: list[bytes], folder: Path, count: int, *, learned_from: list[bytes] | None = None
) -> list[Window]:
    folder.mkdir(exist_ok=True)
    path = folder / "data.frames"
    path.write_bytes(b"".join(learned_from or lines))
    config = fit_config(CONFIG, look_at([path]))
    instruments = find_instruments(config, [path], None)
    path.write_bytes(b"".join(lines))
    return cut(config, instruments, [path], folder / "windows", count)


def topics(folder: Path, window: Window) -> list[str]:
    return [orjson.loads(f.data)["topic"] for _, f in frames([folder / "windows" / window.file])]


def test_equal_market_time_and_pauses_are_none(tmp_path: Path) -> None:
    lines = two_books(11)  # 10 s, then nothing for an hour, then 10 s
    lines += [book(3_600_000 + n * 1_000, "BTCUSDT", 12 + n, qty=40 + n) for n in range(11)]
    first, second = windows_of(lines, tmp_path, 2)
    assert (first.first_ns, second.first_ns) == (T0 * 10**6, (T0 + 10_000) * 10**6)
    assert first.frames + second.frames == len(lines)
    assert first.last_ns < second.first_ns, "frames of one moment stay together"


def test_the_next_window_knows_books_and_tickers(tmp_path: Path) -> None:
    lines = two_books(9)
    ticker = {"symbol": "BTCUSDT", "fundingRate": "0.0001", "nextFundingTime": "1700000100000"}
    lines[4:4] = [
        line(1_500, "tickers.BTCUSDT", "snapshot", ticker | {"markPrice": "1"}),
        line(1_600, "tickers.BTCUSDT", "delta", {"symbol": "BTCUSDT", "markPrice": "100.7"}),
        line(1_600, "tickers.SOLUSDT", "snapshot", {"symbol": "SOLUSDT", "markPrice": "7"}),
        line(1_700, "orderbook.50.SOLUSDT", "snapshot", {"s": "SOLUSDT", "b": [], "a": [], "u": 1, "seq": 1}),
        b'%d {"success":true,"op":"subscribe"}\n' % ((T0 + 1_800) * 10**6),
    ]  # fmt: skip
    windows = windows_of(lines, tmp_path, 2)
    assert [w.frames for w in windows] == [8, 10]
    first, second = (topics(tmp_path, w) for w in windows)
    assert not any("SOL" in topic for topic in first + second)
    assert second[:3] == ["orderbook.50.BTCUSDT", "orderbook.50.ETHUSDT", "tickers.BTCUSDT"]
    kept = [f.data for _, f in frames([tmp_path / "windows" / windows[1].file])]
    assert orjson.loads(kept[2])["data"] == ticker | {"markPrice": "100.7"}
    decoder = BookDecoder()
    for data in kept[:2]:
        decoder.apply(data)
    assert decoder.book("BTCUSDT").u == decoder.book("ETHUSDT").u == 4
    assert decoder.book("BTCUSDT").best_bid == 100.5


def test_a_book_out_of_trust_is_not_carried_over(tmp_path: Path) -> None:
    lines = two_books(9)
    del lines[2]  # a lost delta of BTCUSDT
    _, second = windows_of(lines, tmp_path, 2)
    assert topics(tmp_path, second)[0] == "orderbook.50.ETHUSDT"


def test_too_little_and_damaged(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"8.0 s of market, too little for 20 windows"):
        windows_of(two_books(9), tmp_path, 20)
    lines = two_books(9)
    lines[5] = lines[5].replace(b"100.5", b"1.0.5")
    with pytest.raises(DataFileError, match=r"data.frames:6: is a malformed frame"):
        windows_of(lines, tmp_path / "b", 2, learned_from=two_books(9))
    assert not list((tmp_path / "b" / "windows").glob("*.zst")), "nothing half done"
