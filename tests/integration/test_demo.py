"""`fastbook demo`, as a user runs it."""

from __future__ import annotations

import json
import re
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
from tests.integration.command import (
    Running,
    children_of,
    document,
    fastbook,
    in_process,
    one_sentence,
    wait_gone,
)

KEYS = {
    *("seconds", "symbols", "messages", "messages_per_s", "books_synced", "gaps", "reconnects"),
    *("signals", "orders", "fills", "realized_pnl", "fees", "equity", "latency_us", "cpu_share"),
}
SMALL = ("--symbols", "4", "--rate", "1000")


def decimals(text: str) -> Any:  # Any: JSON, its numbers exact
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def test_it_trades_and_its_account_is_the_exchanges() -> None:
    done = fastbook("demo", "--seconds", "6", "--json")
    assert done.returncode == 0, done.stderr
    summary = document(done)
    assert set(summary) >= KEYS
    assert set(summary["latency_us"]) >= {"p50", "p99", "p999"}
    assert (summary["symbols"], summary["books_synced"]) == (50, 50)
    assert summary["messages"] > 6_000  # the machine may be busy; alone it makes 140,000
    assert min(summary["signals"], summary["orders"], summary["fills"]) >= 1
    assert summary["orders_from_unsynced_books"] == 0
    assert summary["problems"] == []
    audit = summary["audit"]
    assert (audit["agrees"], audit["differences"]) == (True, [])
    exact = decimals(done.stdout)
    for name in ("realized_pnl", "fees", "balance"):
        assert exact[name] == exact["audit"]["exchange"][name], name
    assert exact["balance"] == 100_000 + exact["realized_pnl"] - exact["fees"]
    assert exact["equity"] == exact["balance"]  # nothing is left open
    assert summary["open_positions"] == 0


def test_chaos_is_seen_and_mended() -> None:
    done = fastbook("demo", "--seconds", "10", "--rate", "5000", "--chaos", "--json")
    summary = document(done)
    assert (done.returncode, summary["problems"]) == (0, []), done.stderr
    kinds = [fault["kind"] for fault in summary["chaos"]["injected"]]
    assert {"drop", "stall", "cut", "restart", "empty", "duplicate"} == set(kinds)
    assert all(summary["chaos"]["checks"].values())
    assert summary["orders_from_unsynced_books"] == 0
    assert summary["gaps"] >= 50
    assert summary["reconnects"] >= 1
    assert summary["stale_marks"] >= 1
    assert summary["books_synced"] == 50
    assert summary["audit"]["agrees"]
    assert summary["fills"] >= 1


def test_text_without_a_terminal_and_a_recording(tmp_path: Path) -> None:
    done = fastbook("demo", "--seconds", "1.5", "--record", tmp_path / "session", *SMALL)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    subjects = [line.split()[0] for line in done.stdout.splitlines()]
    assert subjects[:3] == ["messages", "books", "feed"]
    assert "4 of 4 SYNCED" in done.stdout
    assert "equal the exchange's own, to the last digit" in done.stdout
    starting, running = done.stderr.splitlines()[:2]
    assert starting == "fastbook: starting the bundled exchange"
    assert re.fullmatch(
        r"fastbook: running for 1\.5 s: 4 symbols, paper; metrics at http://127\.0\.0\.1:\d+/metrics;"
        r" Ctrl-C ends it",
        running,
    )
    recording = tmp_path / "session" / "public-00001.frames.zst"
    replayed = document(in_process("replay", recording, "--json"))
    assert f"{replayed['frames']:,} frames in {recording.parent}" in done.stdout
    books = [book for topic, book in replayed["books"].items() if "orderbook" in topic]
    assert [book["state"] for book in books] == ["SYNCED"] * 4


def test_ctrl_c_ends_it_cleanly() -> None:
    with Running("demo", *SMALL, "--json") as demo:
        demo.err.until("running for 30 s")
        (exchange,) = children_of(demo.process.pid)

        assert demo.end(signal.SIGINT) == 0

        assert wait_gone(exchange)
        summary = orjson.loads("\n".join(demo.out.rest()))
        assert summary["seconds"] < 15
        assert summary["problems"] == []
        assert "Traceback" not in "\n".join(demo.err.rest())


def test_ctrl_c_before_it_has_begun() -> None:
    with Running("demo", *SMALL) as demo:
        demo.err.until("starting the bundled exchange")
        assert demo.end(signal.SIGINT) == 0
        assert "Traceback" not in "\n".join(demo.err.rest())


def test_a_second_ctrl_c_does_not_wait() -> None:
    with Running("demo", *SMALL) as demo:
        demo.err.until("running for 30 s")
        (exchange,) = children_of(demo.process.pid)
        demo.process.send_signal(signal.SIGINT)
        assert demo.end(signal.SIGTERM) == 1
        assert wait_gone(exchange)
        assert demo.err.rest()[-1] == "fastbook: interrupted"


def test_no_orphan_after_a_kill() -> None:
    with Running("demo", *SMALL) as demo:
        demo.err.until("running for 30 s")
        (exchange,) = children_of(demo.process.pid)
        demo.end(signal.SIGKILL)
        assert wait_gone(exchange)


def test_record_into_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = one_sentence(fastbook("demo", "--record", tmp_path / "file"), 2)
    assert said == f"{tmp_path / 'file'} is a file, not a folder"
