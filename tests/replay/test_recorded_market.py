"""Recorded markets: the books of real recordings, with and without an account in them."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.replay.test_recordings import RECORDINGS, frames_of, is_book

from fastbook import ApplyStatus, BookDecoder, BookState
from fastbook.replay._matching import MatchingBook
from fastbook.replay.recorded import RecordedFlow
from fastbook.replay.recording import market_frames, recorded_markets
from fastbook.runtime.simulator.hub import TopicHub
from fastbook.runtime.simulator.market import SimulatedMarket
from fastbook.runtime.simulator.options import SimulatorOptions

NOW_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    "name", ["bybit/v5-linear-ob200-20260809-btc-sol", "bybit/v5-linear-ob500-20241201-xrp"]
)
def test_books_are_those_of_the_recording(data_dir: Path, name: str) -> None:
    recording = [frame for frame in frames_of(data_dir, name) if is_book(frame)]
    markets = recorded_markets(market_frames(recording))
    books = [MatchingBook() for _ in markets]
    flow = RecordedFlow(books, markets, lambda: market_frames(recording))
    decoder = BookDecoder()
    at, now_ms = 0, 1
    while not flow.ended:
        list(flow.due(now_ms))
        while at < flow.frames:
            assert decoder.apply(recording[at].data) in (ApplyStatus.APPLIED, ApplyStatus.SNAPSHOT)
            at += 1
        for recorded, book in zip(markets, books, strict=True):
            instrument = recorded.market.instrument
            topic = f"orderbook.{recorded.depth}.{instrument.symbol}"
            if topic in decoder.books:
                told = decoder.books[topic]
                assert (told.price_scale, told.qty_scale) == (
                    instrument.price_scale,
                    instrument.qty_scale,
                )
                assert (book.levels(1), book.levels(-1)) == told.levels()
        now_ms = flow.next_due_ms()
    assert at == len(recording)
    assert (flow.gaps, flow.refused) == (0, 0)


class Client:
    """A reader that keeps its books with the library's own decoder."""

    def __init__(self) -> None:
        self.decoder = BookDecoder()
        self.trades = 0

    def queue(self, frame: bytes) -> None:
        header = 2 if frame[1] < 126 else 4 if frame[1] == 126 else 10
        status = self.decoder.apply(frame[header:])
        assert status in (ApplyStatus.APPLIED, ApplyStatus.SNAPSHOT, ApplyStatus.TRADE)
        self.trades += status is ApplyStatus.TRADE


def test_an_account_trades_in_a_recorded_market(data_dir: Path) -> None:
    name = "bybit/v5-linear-ob200-20260809-btc-sol"
    options = SimulatorOptions(
        symbols=0, replay=(data_dir / (name + RECORDINGS[name]),), replay_loop=True
    )
    market = SimulatedMarket(options, lambda index: hub.note_trades(index))
    hub = TopicHub(options, market, Counter())
    client = Client()
    for topic in ("orderbook.50.BTCUSDT", "orderbook.200.BTCUSDT", "publicTrade.BTCUSDT"):
        found = hub.find(topic)
        assert found is not None
        hub.join(found, client, NOW_MS)
    venue = market.venue
    me = venue.open_account({"USDT": Decimal(1_000_000)})

    def place(**params: Any) -> Any:
        common = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "qty": "0.002"}
        return venue.place(me, common | params, NOW_MS)

    px = market.instruments[0].px_decimal
    best = str(px(market.books[0].best_bid()))
    resting = place(orderType="Limit", price=best)
    assert resting.status == "New"
    assert market.books[0].ahead(resting.number) > 0
    taker = place(orderType="Market", qty="0.001")
    assert taker.status == "Filled"
    for ms in range(0, 90_000, 10):  # twice through
        hub.tick(1.0 + ms / 1000, NOW_MS + ms)
        for book in market.books:
            assert 0 < book.best_bid() < book.best_ask()
    assert resting.status == "Filled"
    assert market.recorded is not None
    assert market.recorded.loops == 2
    assert (market.recorded.gaps, market.recorded.refused) == (0, 0)
    assert client.trades > 20
    for depth in (50, 200):
        shown = client.decoder.books[f"orderbook.{depth}.BTCUSDT"]
        assert shown.state is BookState.SYNCED
        assert shown.levels() == (
            market.books[0].levels(1, depth),
            market.books[0].levels(-1, depth),
        )
