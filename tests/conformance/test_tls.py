"""https and wss: the clients check the certificate as they would on the internet."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from typing import Any

import ccxt
import ccxt.pro
import pytest
import requests
from tests.conformance.ccxt_session import SWAP, far_bid, point_at, trade
from tests.conformance.local_exchange import LocalExchange, local_exchange, until
from tests.conformance.pybit_session import (
    BTC,
    Books,
    Inbox,
    http,
    point_pybit_at,
    stream,
    trade_stream,
)
from tests.conftest import skip_or_fail

# Any in this file: neither client has types.


@pytest.fixture(scope="module")
def venue() -> Iterator[LocalExchange]:
    if shutil.which("openssl") is None:
        skip_or_fail("openssl", "there is no openssl program to make certificates with")
    with local_exchange(categories=["linear"], tls=True) as exchange:
        yield exchange


@pytest.fixture(autouse=True)
def _urls(venue: LocalExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    assert venue.rest.startswith("https://")
    assert venue.ws_public.startswith("wss://")
    point_pybit_at(venue, monkeypatch)


def test_pybit(venue: LocalExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", venue.ca_file)
    key = venue.next_key()
    books, orders, answers = Books(), Inbox(), Inbox()
    with http(key) as session, stream("linear") as public, stream("private", key) as private:
        session.client.verify = venue.ca_file  # pybit's session looks at no variable
        public.orderbook_stream(50, "BTCUSDT", books)
        private.order_stream(orders)
        until(lambda: books.at and private.auth, "a book, and auth")
        with trade_stream(key) as entry:
            entry.place_order(answers, **BTC, side="Buy", orderType="Market", qty="0.01")
            order_id = answers.wait()[0]["data"]["orderId"]
        orders.row(orderId=order_id, orderStatus="Filled")
        (position,) = session.get_positions(**BTC)["result"]["list"]
        assert position["size"] == "0.01"


def test_ccxt(venue: LocalExchange) -> None:
    async def day(client: Any) -> None:
        book = await client.watch_order_book(SWAP, 50)
        assert book["bids"]
        made = await client.create_order_ws(SWAP, "limit", "buy", 0.01, await far_bid(client, SWAP))
        (row,) = await client.fetch_open_orders(SWAP)
        assert row["id"] == made["id"]

    trade(ccxt.pro.bybit, venue, day)


def test_without_its_authority_nobody_is_fooled(venue: LocalExchange) -> None:
    with http() as session, pytest.raises(requests.exceptions.SSLError):
        session.get_server_time()

    async def ask() -> None:
        client = ccxt.pro.bybit()
        point_at(client, venue)
        try:
            await client.fetch_time()
        finally:
            await client.close()

    with pytest.raises(ccxt.NetworkError):
        asyncio.run(ask())
