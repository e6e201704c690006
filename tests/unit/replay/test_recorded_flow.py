"""A recording as a market: places in the queue, trades, pace, its end, what is learned of it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from fastbook.errors import ConfigError
from fastbook.replay._matching import MatchingBook
from fastbook.replay._recorded import RecordedBook
from fastbook.replay.recorded import GAP_MAX_MS, Happened, RecordedFlow
from fastbook.replay.recording import MarketFrame, market_frame, market_frames, recorded_markets
from fastbook.replay.source import RecordedFrame
from fastbook.types import Category

T0 = 1_772_694_600_000
ME = 1


def ten_by_ten() -> tuple[MatchingBook, RecordedBook]:
    """Ten at 99 and 98, ten at 101 and 102."""
    book = MatchingBook()
    recorded = RecordedBook(book)
    recorded.apply([(99, 10), (98, 10)], [(101, 10), (102, 10)], True)
    return book, recorded


def test_an_order_waits_behind_what_was_there() -> None:
    book, recorded = ten_by_ten()
    book.rest(1, 1, 99, 5, ME)
    assert book.ahead(1) == 10

    assert recorded.trade(-1, 99, 4) == ([], [(-1, 99, 4)])
    assert book.ahead(1) == 6
    recorded.apply([(99, 6)], [], False)  # the book after that trade: nothing new
    assert book.ahead(1) == 6

    fills, trades = recorded.trade(-1, 99, 8)
    assert fills == [(1, ME, -1, 99, 2)]
    assert trades == [(-1, 99, 6), (-1, 99, 2)]
    assert book.order(1) == (1, 99, 3, ME)


def test_cancels_are_taken_from_behind_and_newcomers_wait_behind() -> None:
    book, recorded = ten_by_ten()
    book.rest(1, 1, 99, 5, ME)
    recorded.apply([(99, 13)], [], False)
    assert [qty for _, qty, _ in book.orders(1, 99)] == [10, 5, 3]
    recorded.apply([(99, 8)], [], False)
    assert [qty for _, qty, _ in book.orders(1, 99)] == [8, 5]


def test_a_better_order_is_met_first_and_at_its_price() -> None:
    book, recorded = ten_by_ten()
    book.rest(1, -1, 100, 3, ME)
    fills, trades = recorded.trade(1, 101, 5)
    assert fills == [(1, ME, 1, 100, 3)]
    assert trades == [(1, 100, 3), (1, 101, 2)]
    assert book.levels(-1, 1) == [(101, 8)]


def test_what_a_taker_took_is_back_when_the_recording_speaks_of_it() -> None:
    book, recorded = ten_by_ten()
    assert [fill[2:] for fill in book.match(1, 101, 7)] == [(101, 7)]
    recorded.apply([(98, 12)], [], False)
    assert book.levels(-1, 1) == [(101, 3)]
    recorded.apply([], [(101, 11)], False)
    assert book.levels(-1, 1) == [(101, 11)]


def test_recorded_orders_that_cross_an_account_trade_with_it() -> None:
    book, recorded = ten_by_ten()
    book.rest(1, 1, 100, 6, ME)
    fills, trades = recorded.apply([], [(100, 4), (101, 10)], False)
    assert fills == [(1, ME, -1, 100, 4)]
    assert trades == [(-1, 100, 4)]
    assert book.levels(-1, 1) == [(101, 10)]
    # One more came, not five.
    fills, _ = recorded.apply([], [(100, 5)], False)
    assert fills == [(1, ME, -1, 100, 1)]
    # The rest of the order goes, and the recording has its level.
    book.cancel(1)
    recorded.apply([], [], False)
    assert book.levels(-1, 1) == [(100, 5)]


def test_a_trade_that_the_book_shows_already_only_moves_the_queue() -> None:
    book, recorded = ten_by_ten()
    book.rest(1, 1, 99, 5, ME)
    recorded.trade(-1, 99, 4, late=True)
    assert book.ahead(1) == 6
    assert book.levels(1, 1) == [(99, 15)]
    fills, _ = recorded.trade(-1, 99, 8, late=True)
    assert fills == [(1, ME, -1, 99, 2)]
    assert book.levels(1, 1) == [(99, 13)]


def test_a_recording_that_lost_a_message_does_not_cross() -> None:
    book, recorded = ten_by_ten()
    recorded.apply([(101, 5)], [], False)
    book.check()
    assert book.levels(1, 1) == [(101, 5)]
    assert book.levels(-1) == [(102, 10)]


@pytest.mark.parametrize("trade", [(0, 100, 1), (1, 0, 1), (1, 100, 0)])
def test_no_trade_of_nothing(trade: tuple[int, int, int]) -> None:
    _, recorded = ten_by_ten()
    with pytest.raises(ValueError, match="no trade"):
        recorded.trade(*trade)
    with pytest.raises(ValueError, match="not empty"):
        RecordedBook(ten_by_ten()[0])


# Frames.


def book_line(
    ts_ms: int, u: int, bids: object, asks: object, kind: str = "delta", symbol: str = "OWNUSDT"
) -> bytes:
    return orjson.dumps(
        {
            "topic": f"orderbook.50.{symbol}",
            "type": kind,
            "ts": ts_ms,
            "data": {"s": symbol, "b": bids, "a": asks, "u": u, "seq": u * 10},
            "cts": ts_ms - 1,
        }
    )


def trade_line(ts_ms: int, side: str, px: str, qty: str, seq: int) -> bytes:
    row = {"T": ts_ms, "s": "OWNUSDT", "S": side, "v": qty, "p": px, "i": "1", "seq": seq}
    return orjson.dumps(
        {"topic": "publicTrade.OWNUSDT", "type": "snapshot", "ts": ts_ms, "data": [row]}
    )


LINES = [
    b'{"success":true,"op":"subscribe","req_id":"1","ret_msg":"orderbook."}',
    book_line(T0, 7, [["9.95", "30"], ["9.90", "50"]], [["10.05", "40"]], "snapshot"),
    trade_line(T0 + 40, "Sell", "9.95", "10", 75),
    book_line(T0 + 50, 8, [["9.95", "20"]], []),
    b'{"topic":"tickers.OWNUSDT","type":"delta","ts":1,"data":{}}',
    book_line(T0 + 90_000, 9, [["9.95", "0"]], [["9.95", "15"]]),
]


def frames(lines: list[bytes] | None = None) -> Iterator[MarketFrame]:
    recorded = (RecordedFrame(n, 0, data) for n, data in enumerate(lines or LINES, 1))
    return market_frames(recorded)


def play(*, loop: bool = False) -> tuple[RecordedFlow, MatchingBook]:
    book = MatchingBook()
    return RecordedFlow([book], recorded_markets(frames()), frames, loop=loop), book


def test_frames_are_played_at_their_time() -> None:
    flow, book = play()
    assert book.levels(1) == [(995, 30), (990, 50)]  # the first snapshot, before time begins
    assert list(flow.due(5_000)) == [(0, [], [])]
    assert flow.next_due_ms() == 5_040
    assert list(flow.due(5_039)) == []
    happened: list[Happened] = list(flow.due(5_049))
    assert happened == [(0, [], [(-1, 995, 10)])]
    assert book.levels(1, 1) == [(995, 20)]
    list(flow.due(5_050))
    assert not flow.ended
    assert list(flow.due(5_049 + GAP_MAX_MS)) == []  # a long silence is cut short
    list(flow.due(5_050 + GAP_MAX_MS))
    assert book.levels(-1, 1) == [(995, 15)]
    assert (flow.ended, flow.frames, flow.gaps, flow.refused) == (True, 4, 0, 0)
    assert flow.next_due_ms() == 0
    assert list(flow.due(10**9)) == []


def test_a_loop_begins_again() -> None:
    flow, book = play(loop=True)
    list(flow.due(1_000))
    list(flow.due(1_050 + GAP_MAX_MS))
    assert (flow.loops, flow.ended, book.best_ask()) == (1, False, 995)
    list(flow.due(2_050 + GAP_MAX_MS))
    assert book.levels(1) == [(995, 30), (990, 50)]
    assert flow.gaps == 0


def test_gaps_and_frames_that_do_not_fit_are_counted() -> None:
    lines = [LINES[1], book_line(T0 + 10, 9, [["9.95", "4"]], [])]
    markets = recorded_markets(frames(lines))
    lines.append(book_line(T0 + 20, 10, [["9.9501", "4"]], []))
    flow = RecordedFlow([MatchingBook()], markets, lambda: frames(lines))
    list(flow.due(1_000))
    list(flow.due(2_000))
    assert (flow.frames, flow.gaps, flow.refused) == (2, 1, 1)


def test_the_grid_is_learned() -> None:
    (recorded,) = recorded_markets(frames())
    instrument = recorded.market.instrument
    assert (instrument.symbol, instrument.base, instrument.quote) == ("OWNUSDT", "OWN", "USDT")
    assert instrument.category is Category.LINEAR
    assert (instrument.price_scale, instrument.tick) == (2, 5)
    assert (instrument.qty_scale, instrument.lot, instrument.qty_min) == (0, 5, 5)
    assert instrument.qty_max % 5 == 0
    assert recorded.market.start_px == 1000
    assert recorded.depth == 50


def test_a_known_symbol_keeps_its_limits_where_the_recording_fits_them() -> None:
    levels = [["65114.20", "0.001"]], [["65114.30", "0.004"]]
    (recorded,) = recorded_markets(frames([book_line(T0, 1, *levels, "snapshot", "BTCUSDT")]))
    assert recorded.market.instrument.leverage_max == Decimal(100)
    finer = [["65114.25", "0.001"]], [["65114.30", "0.004"]]
    (recorded,) = recorded_markets(frames([book_line(T0, 1, *finer, "snapshot", "BTCUSDT")]))
    assert recorded.market.instrument.tick == 5


def test_categories_by_keys_and_name() -> None:
    levels = [["100", "1"]], [["101", "1"]]
    line = book_line(T0, 1, *levels, "snapshot", "BTCUSD")
    (recorded,) = recorded_markets(frames([line]))
    assert recorded.market.instrument.category is Category.INVERSE
    spot = orjson.loads(book_line(T0, 1, *levels, "snapshot", "ETHUSDT"))
    spot = {key: spot[key] for key in ("topic", "ts", "type", "data", "cts")}
    (recorded,) = recorded_markets(frames([orjson.dumps(spot)]))
    assert recorded.market.instrument.category is Category.SPOT
    with pytest.raises(ConfigError, match="no order book of linear"):
        recorded_markets(frames([line]), [Category.LINEAR])
    with pytest.raises(ConfigError, match="two categories"):
        recorded_markets(
            frames([book_line(T0, 1, *levels, "snapshot", "ETHUSDT"), orjson.dumps(spot)])
        )


def test_frames_that_are_none() -> None:
    assert (
        market_frame(b'{"topic":"orderbook.rpi.BTCUSDT","ts":1,"type":"delta","data":{}}') is None
    )
    with pytest.raises(ValueError, match="not a v5 frame"):
        market_frame(b'{"topic":"orderbook.50.BTCUSDT","type":"delta","data":{}}')
    with pytest.raises(ValueError, match="not a v5 frame"):
        market_frame(b'{"topic":"orderbook.50.BTCUSDT"')
    with pytest.raises(ConfigError, match="no order book"):
        recorded_markets(frames([LINES[0], LINES[2]]))


def test_recordings_are_merged_by_time(tmp_path: Path) -> None:
    one = [RecordedFrame(1, 0, LINES[1]), RecordedFrame(2, 0, LINES[3])]
    two = [RecordedFrame(1, 0, LINES[2])]
    assert [frame.ts_ms - T0 for frame in market_frames(one, two)] == [0, 40, 50]
