"""`fastbook backtest` as users call it: figures, bounds, a page, and what is wrong with the data."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from fastbook.errors import ConfigError, DataFileError
from fastbook.replay.backtest.queues import Queue
from fastbook.runtime.backtest import BacktestOptions, Outcome, account_json, run_backtest
from fastbook.runtime.benchmark.frames import interleaved, mixed, symbol_name
from fastbook.runtime.config import Config, parse
from fastbook.runtime.recording.blocks import pack

from .command import document, in_process, one_sentence

SYMBOLS = 3
CONFIG = """
[market_data]
symbols = ["BTCUSDT", "SOLUSDT", "ETHUSDT"]
sample_ms = 20
[strategy.mean_reversion]
cooldown_ms = 100
[risk]
position_pct_max = 10.0
exposure_pct_max = 50.0
daily_loss_pct_max = 50.0
leverage_max = 10.0
"""


def config() -> Config:
    return parse(CONFIG, name="test", environ={})


def stamped(frames: Iterable[bytes], delay_ms: int = 3) -> list[bytes]:
    """Lines with receive times a little after the frames' own, several frames to a read."""
    lines = []
    for n, frame in enumerate(frames):
        ts_ms = int(re.search(rb'"ts":(\d+)', frame)[1])  # type: ignore[index]
        lines.append(b"%d %b\n" % (ts_ms * 1_000_000 + delay_ms * 1_000_000 + n // 4 % 2, frame))
    return lines


@pytest.fixture(scope="module")
def frames() -> list[bytes]:
    assert [symbol_name(n) for n in range(SYMBOLS)] == ["BTCUSDT", "SOLUSDT", "ETHUSDT"]
    return interleaved(mixed(SYMBOLS, 1_500))


@pytest.fixture(scope="module")
def data(frames: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backtest") / "data.frames.gz"
    path.write_bytes(gzip.compress(b"".join(stamped(frames)), 1))
    return path


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(CONFIG)
    return path


def figures(outcome: Outcome) -> list[dict[str, object]]:
    return [account_json(a) for a in outcome.run.accounts]


def test_json_and_page(toml: Path, data: Path, tmp_path: Path) -> None:
    report = tmp_path / "r.html"
    done = in_process("backtest", toml, "--data", data, "--json", "--report", report)
    assert done.returncode == 0, done.stderr
    s = document(done)
    assert s["orders"] > 5
    assert s["fills"] > 5
    assert Decimal(str(s["fees"])) > 0
    assert 0 <= s["max_drawdown"] < 1
    assert s["report"] == str(report)
    assert set(s["bounds"]) == {"pessimistic", "optimistic"}
    assert set(s["bounds"]["optimistic"]) >= {"orders", "fills", "net_pnl", "sharpe"}
    assert s["frames"] == SYMBOLS * 1_500
    page = report.read_text()
    assert page.count("<svg") == 8
    assert "nothing to show" not in page
    assert "prefers-color-scheme:dark" in page
    assert not re.search(r'(?:src|href)="|url\(|@import', page), "nothing is loaded from elsewhere"
    said = in_process("backtest", toml, "--data", data)
    assert [line.split()[0] for line in said.stdout.splitlines()[2:5]] == [
        *("expected", "pessimistic", "optimistic"),
    ]


def test_the_same_twice_and_asked_less_often(data: Path) -> None:
    first = run_backtest(config(), [data], BacktestOptions())
    again = run_backtest(config(), [data], BacktestOptions())
    asked = run_backtest(config(), [data], BacktestOptions(ask_all=True))
    assert str(figures(first)) == str(figures(again)) == str(figures(asked))
    assert first.run.cursor.skipped > 0
    assert asked.run.cursor.skipped == 0
    assert asked.run.reads == first.run.reads + first.run.cursor.skipped
    assert asked.run.reads < asked.run.cursor.frames, "several frames came in one read"


def test_every_way_to_store_it_gives_the_same(data: Path, tmp_path: Path) -> None:
    lines = gzip.decompress(data.read_bytes())
    plain = tmp_path / "plain.frames"
    plain.write_bytes(lines.rstrip(b"\n"))  # also without an end to the last line
    blocks = tmp_path / "public-00001.frames.zst"
    rows = lines.splitlines(keepends=True)
    blocks.write_bytes(
        b"".join(pack(b"".join(rows[at : at + 999]), at, 999) for at in range(0, len(rows), 999))
    )
    parts = []
    for n in range(SYMBOLS):  # one file a symbol, to be merged by time
        parts.append(tmp_path / f"part{n}")
        parts[-1].write_bytes(b"".join(rows[n::SYMBOLS]))
    wanted = str(figures(run_backtest(config(), [data], BacktestOptions())))
    for paths in ([plain], [blocks], [tmp_path], parts):
        if paths == [tmp_path]:
            plain.unlink()
        assert str(figures(run_backtest(config(), paths, BacktestOptions()))) == wanted


def test_frames_without_receive_times(frames: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "raw.ndjson"
    path.write_bytes(b"\n".join(frames))
    outcome = run_backtest(config(), [path], BacktestOptions())
    assert outcome.run.cursor.delay_ns == 5_000_000
    drawn = BacktestOptions(feed_latency_ns=(1_000_000, 9_000_000))
    one, two = (run_backtest(config(), [path], drawn) for _ in range(2))
    assert str(figures(one)) == str(figures(two))
    with pytest.raises(DataFileError, match=r"raw.ndjson:1: .*receive time"):
        run_backtest(config(), [path], BacktestOptions(feed_latency_ns=()))


def test_latency_costs(data: Path) -> None:
    near = run_backtest(config(), [data], BacktestOptions(entry_latency_ns=(0,)))
    far = run_backtest(config(), [data], BacktestOptions(entry_latency_ns=(400_000_000,)))
    latency = [o.run.accounts[0].trail.fill_latency.quantile(0.5) for o in (near, far)]
    assert latency[0] < 20e6
    assert latency[1] > 400e6


def test_fees_and_refusals_are_ours_to_choose(toml: Path, data: Path) -> None:
    def run(*args: str) -> dict[str, object]:
        done = in_process("backtest", toml, "--data", data, "--json", *args)
        assert done.returncode == 0, done.stderr
        return document(done)

    free = run("--taker-fee", "0", "--maker-fee", "0")
    assert float(str(free["fees"])) == 0
    assert int(str(run("--reject-share", "0.9")["refused_by_venue"])) > 0
    funded = run("--funding", "0.0001")
    assert int(str(funded["fundings"])) >= 0
    assert run("--queue", Queue.FRONT.value)["orders"] == run()["orders"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--order-latency", "soon"), "--order-latency soon"),
        (("--order-latency", "50:9,90:3"), "percentiles must rise"),
        (("--order-latency", "recorded:nowhere"), "not a folder"),
        (("--feed-latency", "x:y"), "--feed-latency x:y"),
        (("--taker-fee", "5"), "--taker-fee 5"),
        (("--funding", "lots"), "--funding lots"),
        (("--reject-share", "1.5"), "reject_share"),
    ],
)
def test_wrong_assumptions(toml: Path, data: Path, args: tuple[str, str], said: str) -> None:
    assert said in one_sentence(in_process("backtest", toml, "--data", data, *args), 2)


def test_wrong_data(toml: Path, data: Path, tmp_path: Path) -> None:
    assert "no such file" in one_sentence(in_process("backtest", toml, "--data", "nowhere"), 2)
    assert "name its files" in one_sentence(in_process("backtest", toml, "--data", tmp_path), 2)
    other = tmp_path / "other.toml"
    other.write_text(CONFIG.replace('"BTCUSDT", "SOLUSDT", "ETHUSDT"', '"XRPUSDT"'))
    said = one_sentence(in_process("backtest", other, "--data", data), 2)
    assert "the data has none of XRPUSDT; it has BTCUSDT, ETHUSDT, SOLUSDT" in said
    foreign = tmp_path / "foreign.csv"
    foreign.write_text("a,b\n1,2\n")
    assert "foreign.csv" in one_sentence(in_process("backtest", toml, "--data", foreign), 1)


def test_damaged_lines_have_a_place(toml: Path, data: Path, tmp_path: Path) -> None:
    rows = gzip.decompress(data.read_bytes()).splitlines(keepends=True)
    rng = Random(1)
    for row in (1_000, 2_000):
        rows[row] = rows[row][: rng.randrange(30, 60)] + b"\n"
    path = tmp_path / "damaged.frames"
    path.write_bytes(b"".join(rows))
    said = one_sentence(in_process("backtest", toml, "--data", path), 1)
    assert f"{path}:1001:" in said
    done = in_process("backtest", toml, "--data", path, "--skip-damaged", "--json")
    assert done.returncode == 0
    summary = document(done)
    assert summary["damaged"] == 2
    assert summary["gaps"] >= 1, "what was cut out is a gap in its book"


def test_a_strategy_that_raises_is_named(toml: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    from fastbook.strategy.mean_reversion import MeanReversion

    def broken(*_: object) -> None:
        raise ZeroDivisionError("nothing there")

    monkeypatch.setattr(MeanReversion, "_enter", broken)
    done = in_process("backtest", toml, "--data", data, "--json")
    assert done.returncode == 1
    assert "meanrev raised and was switched off: ZeroDivisionError: nothing there" in done.stderr
    assert document(done)["orders"] == 0


def test_without_limits_there_is_no_backtest(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[market_data]\nsymbols = ["BTCUSDT"]\n')
    assert "risk" in one_sentence(in_process("backtest", path, "--data", data), 2)
    with pytest.raises(ConfigError):
        run_backtest(parse(path.read_text(), name="t", environ={}), [data], BacktestOptions())


def test_recorded_binance_flow(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(CONFIG.replace('"BTCUSDT", "SOLUSDT", "ETHUSDT"', '"BTCUSDT"'))
    source = data_dir / "derived/ob50-from-binance-usdm-btcusdt-20240808.ndjson.gz"
    s = document(in_process("backtest", path, "--data", source, "--json"))
    assert (s["frames"], s["gaps"]) == (6_353, 0)
    assert s["orders"] > 0
