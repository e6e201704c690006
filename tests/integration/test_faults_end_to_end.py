"""The whole runtime against an exchange that misbehaves: nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from tests.integration.command import CONFIG, Running
from tests.integration.whole import Whole, run

from fastbook import BookState
from fastbook.errors import ConfigError, FastbookError
from fastbook.types import OrderEvent, TradingState

BOOKS = "orderbook.50.*"
SOME = "orderbook.50.[ABE]*"


# --- creates whose outcome is not known -------------------------------------------------------


def test_answers_to_creates_get_lost_or_come_late() -> None:
    async def trouble(whole: Whole) -> None:
        whole.faults.lost_answer(4)
        await whole.until(lambda: whole.simulator.rest.faults.lost_answers == 0, "lost")
        whole.faults.slow_orders(2_500, "out")  # beyond our patience, within the time-out
        created, before = whole.simulator.counters, whole.simulator.counters["orders"]
        await whole.until(lambda: created["orders"] > before + 1, "creates with late answers")
        whole.faults.slow_orders(0, "out")

    whole = run(Whole(), trouble)
    whole.check()
    assert whole.summary["rejected"] == 0
    # While answers were slow some orders had to wait, and an old order is not sent.
    assert whole.states().get("rejected", 0) == whole.app.engine.stats.unsent


def test_creates_arrive_after_we_stopped_waiting() -> None:
    async def trouble(whole: Whole) -> None:
        whole.faults.slow_orders(3_300, "in")  # the answer is given up after 3 s
        await whole.until(lambda: whole.app.engine.stats.unknown > 0, "late")
        whole.faults.slow_orders(0, "in")

    whole = run(Whole(recv_window_ms=5_000), trouble)
    whole.check()
    assert whole.summary["unknown"] > 0


def test_errors_that_prove_nothing_and_errors_that_do() -> None:
    refused, ambiguous = (110_007, 10_001), (10_006, 10_016, 110_072, 10_000)

    async def trouble(whole: Whole) -> None:
        for code in (*refused, *ambiguous):
            whole.faults.order_error(code)
        for status in (500, 502, 429):
            whole.faults.http_error(status)
        await whole.until(lambda: not whole.simulator.rest.faults.order_errors, "all hit", 12)

    whole = run(Whole(), trouble, after_s=0.1)
    whole.check()
    states = whole.states()
    assert states["rejected"] == len(refused)
    assert states["never_accepted"] >= len(ambiguous)
    assert whole.app.engine.stats.ghosts == 0


# --- the private stream -----------------------------------------------------------------------


def test_private_rows_in_reverse_lost_and_cut_off() -> None:
    async def trouble(whole: Whole) -> None:
        whole.faults.reverse_private()
        await asyncio.sleep(0.5)
        for _ in range(3):
            whole.faults.cut(stream="private")
            await asyncio.sleep(0.3)
        whole.faults.reverse_private(on=False)
        whole.faults.mute_private()
        fills = whole.simulator.venue.account(1).executions
        before = len(fills)
        await whole.until(lambda: len(fills) > before, "fills that we are not told of")
        whole.faults.mute_private(on=False)

    whole = run(Whole(), trouble)
    whole.check()
    assert whole.app.private is not None
    assert whole.app.private.stats.links >= 2
    assert whole.summary["reconciliations"] >= 2


def test_nothing_is_entered_before_the_private_stream_is_up() -> None:
    async def trouble(whole: Whole) -> None:
        await whole.until(whole.synced, "books")
        denied = whole.app.engine.stats.denied
        await whole.until(lambda: denied["trading_state"], "a signal")
        assert whole.app.engine.state is TradingState.RECONCILING

    whole = run(Whole(ws_private="ws://127.0.0.1:9/v5/private"), trouble, orders_before=0)
    assert whole.error is None
    whole.check_nothing_left()
    assert whole.sent == []
    assert whole.summary["reconciliations"] == 0


def test_an_account_asked_for_before_the_link_was_lost_proves_nothing() -> None:
    asked = []

    async def trouble(whole: Whole) -> None:
        app = whole.app
        reconcile = app.gateway.reconcile

        async def overtaken(since_ms: int = 0) -> list[OrderEvent]:
            events = await reconcile(since_ms)
            asked.append(since_ms)
            if len(asked) == 1:
                whole.faults.cut(stream="private")
                reconciled = app.engine.stats.reconciliations
                assert app.private is not None
                stats = app.private.stats
                links = stats.links
                await whole.until(lambda: stats.links > links, "up again")
                assert app.engine.stats.reconciliations == reconciled
            return events

        app.gateway.reconcile = overtaken  # type: ignore[method-assign]
        whole.faults.cut(stream="private")
        await whole.until(lambda: len(asked) == 2, "asked again")

    whole = run(Whole(), trouble)
    whole.check()
    assert len(asked) == 2
    assert whole.summary["reconciliations"] == 2


# --- the public stream ------------------------------------------------------------------------


def gaps_reach(whole: Whole, count: int) -> Callable[[], bool]:
    return lambda: whole.app.decoder.counters["gaps"] >= count


def test_spoilt_frames_cost_their_topics_a_resync_and_nothing_else() -> None:
    async def trouble(whole: Whole) -> None:
        app = whole.app
        others = [b for b in app.books if not b.symbol.startswith(("A", "B", "E"))]
        left_synced = []
        for how in ("truncated", "level", "sequence"):
            gaps = app.decoder.counters["gaps"]
            hit = whole.faults.garble(SOME, 1, how)
            await whole.until(gaps_reach(whole, gaps + hit), f"{how} is seen")
            left_synced += [b.symbol for b in others if b.state is not BookState.SYNCED]
            await whole.until(whole.synced, "back")
        assert left_synced == []
        assert app.feed.stats()["malformed"] >= 9
        assert app.feed.stats()["reconnects"] == 0

    whole = run(Whole(), trouble)
    whole.check()
    assert whole.summary["books_synced"] == whole.summary["symbols"]


def test_bytes_that_are_no_text_and_a_frame_beyond_all_bounds() -> None:
    async def trouble(whole: Whole) -> None:
        whole.faults.garble(SOME, 1, "garbage")
        await whole.until(lambda: whole.app.feed.stats()["malformed"] >= 3, "garbage")
        await whole.until(whole.synced, "back")
        whole.faults.garble("orderbook.50.BTCUSDT", 1, "oversized")
        await whole.until(lambda: whole.app.feed.stats()["reconnects"] == 1, "a new connection")
        await whole.until(whole.synced, "back")

    whole = run(Whole(), trouble)
    whole.check()


def test_cuts_restarts_empty_sides_doubles_and_gaps() -> None:
    async def trouble(whole: Whole) -> None:
        for _ in range(2):
            whole.faults.restart(BOOKS)
            whole.faults.duplicate(BOOKS, 5)
            whole.faults.drop(SOME)
            await asyncio.sleep(0.3)
            whole.faults.cut()
            await asyncio.sleep(0.3)
        await whole.until(whole.synced, "back")
        whole.faults.empty(SOME, "a", 0.5)
        whole.faults.empty("orderbook.50.[SX]*", "b", 0.5)
        await asyncio.sleep(0.7)
        await whole.until(whole.synced, "back")

    whole = run(Whole(), trouble)
    whole.check()
    assert whole.summary["reconnects"] == 2
    assert whole.summary["gaps"] > 0


def test_a_silent_exchange_is_traded_on_by_nobody() -> None:
    async def trouble(whole: Whole) -> None:
        app = whole.app
        whole.faults.stall(BOOKS, 60.0)
        await whole.until(lambda: all(b.state is BookState.STALE for b in app.books), "STALE")
        sent = len(whole.sent)
        await asyncio.sleep(0.5)
        assert len(whole.sent) == sent
        whole.faults.cut()  # a new subscription ends the stall
        await whole.until(whole.synced, "back")

    whole = run(Whole(), trouble)
    whole.check()
    assert whole.summary["stale_marks"] == whole.summary["symbols"]


# --- clocks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ms", [15_000, -6_000])
def test_the_exchanges_clock_jumps(ms: int) -> None:
    async def trouble(whole: Whole) -> None:
        whole.faults.skew(ms)
        whole.faults.cut(stream="private")
        assert whole.app.private is not None
        stats = whole.app.private.stats
        links = stats.links
        await whole.until(lambda: stats.links > links, "signed in again")
        await whole.until(lambda: whole.app.engine.state is TradingState.ACTIVE, "reconciled")

    whole = run(Whole(), trouble, after_s=0.5)
    whole.check()


# --- our own mistakes -------------------------------------------------------------------------


def test_a_strategy_that_raises_stops_alone() -> None:
    def boom(*_: Any) -> Any:  # Any: stands in for a strategy's method
        raise ZeroDivisionError("boom")

    async def trouble(whole: Whole) -> None:
        engine = whole.app.engine
        frames = whole.app.messages
        for lane in engine._lanes.values():
            lane.on_book = boom
        await whole.until(lambda: engine.disabled, "disabled")
        sent = len(whole.sent)
        await whole.until(lambda: whole.app.messages > frames + 500, "the market goes on")
        assert len(whole.sent) == sent

    whole = run(Whole(), trouble)
    whole.check()
    assert whole.app.engine.disabled == {"meanrev": "ZeroDivisionError: boom"}
    assert whole.app.engine.stats.strategy_errors == 1


@pytest.mark.parametrize("method", ["on_books", "on_event"])
def test_a_mistake_of_ours_ends_the_run_in_one_sentence(method: str) -> None:
    def boom(*_: Any) -> Any:  # Any: stands in for the engine's method
        raise RuntimeError("boom")

    async def trouble(whole: Whole) -> None:
        setattr(whole.app.engine, method, boom)
        await whole.until(lambda: whole.app.fatal, "noticed")

    whole = run(Whole(), trouble, after_s=60.0)
    assert isinstance(whole.error, FastbookError)
    assert str(whole.error).startswith("internal error: RuntimeError: boom (test_faults")
    assert whole.seconds < 50.0  # it did not wait to be told to stop
    assert whole.resting == []  # what stays open are positions, and the stops that protect them
    whole.check_nothing_left()


# --- limits -----------------------------------------------------------------------------------


def test_the_days_loss_stops_entries_for_good() -> None:
    latched_at: list[int] = []

    async def trouble(whole: Whole) -> None:
        gate = whole.app.engine.gate
        await whole.until(lambda: gate.latched, "fees alone are a loss of 0.001 %", 15)
        latched_at.append(len(whole.sent))
        whole.faults.cut(stream="private")  # a reconciliation does not re-arm
        await asyncio.sleep(1.0)
        assert whole.app.engine.state is TradingState.REDUCE_ONLY

    whole = run(Whole(limits={"daily_loss_pct_max": 0.001}), trouble)
    whole.check()
    assert all(order.reduce_only for order in whole.sent[latched_at[0] :])
    assert whole.app.engine.gate.latched.startswith("daily_loss_pct_max")


# --- everything at once -----------------------------------------------------------------------


def make_trouble_at_random(whole: Whole, rng: Random) -> None:
    faults = whole.faults
    kinds: list[Callable[[], object]] = [
        lambda: faults.lost_answer(1),
        lambda: faults.order_error(rng.choice([10_006, 10_016, 110_072, 110_007, 10_000])),
        lambda: faults.http_error(rng.choice([500, 502, 503, 429])),
        lambda: faults.cut(stream="private"),
        lambda: faults.cut(1),
        lambda: faults.drop(BOOKS),
        lambda: faults.garble(SOME, 1, rng.choice(["truncated", "level", "sequence", "garbage"])),
        lambda: faults.restart(BOOKS),
        lambda: faults.mute_private(rng.random() < 0.4),
        lambda: faults.reverse_private(rng.random() < 0.5),
        lambda: faults.duplicate(BOOKS, 3),
        lambda: faults.slow_orders(rng.choice([0, 0, 100, 2_500]), rng.choice(["in", "out"])),
        lambda: faults.skew(rng.choice([0, 800, -300])),
    ]
    try:
        rng.choice(kinds)()
    except ConfigError:
        pass  # just now nobody reads such a topic


def test_trouble_at_random_and_then_peace() -> None:
    async def trouble(whole: Whole) -> None:
        rng = Random(11)
        for _ in range(40):
            make_trouble_at_random(whole, rng)
            await asyncio.sleep(rng.uniform(0.02, 0.2))
        whole.faults.mute_private(on=False)
        whole.faults.slow_orders(0, "in")
        whole.faults.slow_orders(0, "out")
        whole.simulator.rest.faults.order_errors.clear()
        whole.simulator.rest.http_errors.clear()

    whole = run(Whole(), trouble)
    whole.check()
    assert whole.app.engine.stats.ghosts == 0
    assert sum(whole.app.portfolio.counters.values()) == whole.app.portfolio.counters["mismatches"]


def test_the_exchange_is_killed_and_ctrl_c_still_ends_the_run(tmp_path: Path) -> None:
    with Running("simulate", "--symbols", "2", "--rate", "1000") as exchange:
        where = orjson.loads(exchange.out.next())
        config = tmp_path / "c.toml"
        lines = [f'{name}_url = "{where[name]}"' for name in ("rest", "ws_public", "ws_private")]
        config.write_text("\n".join(["[venue]", *lines, CONFIG]))
        account = where["accounts"][0]
        keys = {
            "FASTBOOK_API_KEY": account["api_key"],
            "FASTBOOK_API_SECRET": account["api_secret"],
        }
        with Running("run", config, env=keys) as engine:
            engine.err.until("running until stopped")
            exchange.process.kill()
            engine.err.until("again in")  # it keeps trying

            assert engine.end(signal.SIGINT) == 1

            said = engine.err.rest()
            assert said[-1].startswith("fastbook: orders may be open, as they could not be")
            assert "Traceback" not in "\n".join(said)
