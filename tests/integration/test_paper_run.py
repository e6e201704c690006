"""The whole runtime on paper: market data by socket, no account, fills in this process."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastbook import ApplyStatus, BookDecoder, BookState
from fastbook.replay.source import read_frames
from fastbook.runtime.app import App
from fastbook.runtime.demo import make_config
from fastbook.runtime.files import read_lines
from fastbook.runtime.recording.reader import Recording
from fastbook.runtime.recording.recorder import Recorder
from fastbook.runtime.report import Json
from fastbook.runtime.run import endpoints_of
from fastbook.runtime.run_options import RunOptions
from fastbook.runtime.simulator.options import SimulatorOptions
from fastbook.runtime.simulator.server import Simulator
from fastbook.runtime.verify import Verifier

SECONDS = 4.0


async def run_on_paper(folder: Path) -> tuple[App, Json, Json]:
    simulator = Simulator(SimulatorOptions(symbols=20, rate=4000.0, seed=3))
    where = (await simulator.start()).as_json()
    symbols = [i.symbol for i in simulator.market.instruments]
    try:
        with Recorder(folder) as recorder:
            options = RunOptions(title="test", seconds=SECONDS, recorder=recorder)
            app = App(make_config(where, symbols), endpoints_of(where), None, options)
            async with asyncio.timeout(30):
                summary = await app.run(asyncio.Event())
    finally:
        state = simulator.state()
        await simulator.stop()
    return app, summary, state


def test_paper_trades_and_sends_nothing(tmp_path: Path) -> None:
    app, summary, exchange = asyncio.run(run_on_paper(tmp_path))

    assert summary["books_synced"] == 20
    assert summary["orders"] > 0
    assert summary["fills"] > 0
    assert summary["open_positions"] == 0
    assert summary["orders_from_unsynced_books"] == 0
    assert app.portfolio.balance == app.portfolio.start + summary["realized_pnl"] - summary["fees"]
    assert exchange["accounts"][0]["executions"] == 0
    assert exchange["private_sessions"] == 0


def test_what_was_recorded_replays_to_the_same_books(tmp_path: Path) -> None:
    app, summary, _ = asyncio.run(run_on_paper(tmp_path))

    decoder = BookDecoder(app.instruments)
    path = tmp_path / "public-00001.frames.zst"
    statuses = [decoder.apply(f.data, f.recv_ns) for f in read_frames(read_lines(path), "test")]

    assert len(statuses) == summary["recorded"]["frames"]
    assert ApplyStatus.MALFORMED not in statuses
    for live, replayed in ((b, decoder.books[b.topic]) for b in app.books):
        assert (live.u, live.seq, live.recv_ns) == (replayed.u, replayed.seq, replayed.recv_ns)
        assert live.levels() == replayed.levels()
        assert replayed.state is BookState.SYNCED


def test_what_was_decided_on_paper_is_decided_again(tmp_path: Path) -> None:
    asyncio.run(run_on_paper(tmp_path))
    verdict = Verifier(Recording(tmp_path)).run()
    assert verdict.first == ""
    assert verdict.complete
    assert verdict.compared["commands"] > 0
