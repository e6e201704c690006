"""The client's compiled book against the matching book whose frames it was given."""

from __future__ import annotations

import pytest

from fastbook import ApplyStatus, BookDecoder, BookState
from fastbook.replay.matching import DepthPublisher, MarketFlow, MatchingBook, universe
from fastbook.types import Category

DEPTHS = (1, 50, 200, 1000)


@pytest.mark.parametrize("category", list(Category))
def test_decoder_holds_the_top_of_the_matching_book(category: Category) -> None:
    markets = universe(4, category)
    books = [MatchingBook() for _ in markets]
    flow = MarketFlow(books, markets, seed=5, events_per_s=60.0)
    decoder = BookDecoder()
    published: list[tuple[DepthPublisher, MatchingBook]] = []
    for market, book in zip(markets, books, strict=True):
        unit = market.instrument
        for depth in DEPTHS:
            topic = f"orderbook.{depth}.{unit.symbol}"
            decoder.add_book(topic, price_scale=unit.price_scale, qty_scale=unit.qty_scale)
            published.append(
                (
                    DepthPublisher(book, depth, topic, category, unit.price_scale, unit.qty_scale),
                    book,
                )
            )

    for step in range(300):
        for index in range(len(markets)):
            flow.step(index, 6)
        for publisher, book in published:
            frame = publisher.delta(1000 + step, 1000 + step, step + 1)
            if frame is not None:
                assert decoder.apply(frame) in (ApplyStatus.APPLIED, ApplyStatus.SNAPSHOT)
            client = decoder.books[publisher.topic]
            assert client.state is BookState.SYNCED
            assert client.u == publisher.u
            expected = book.levels(1, publisher.depth), book.levels(-1, publisher.depth)
            assert client.levels() == expected
    for client in decoder.books.values():
        client.check()
