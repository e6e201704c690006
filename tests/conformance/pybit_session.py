"""pybit, unmodified, with other URLs; and what its callbacks were told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from pybit import _http_manager, _websocket_trading, unified_trading
from pybit.exceptions import FailedRequestError, InvalidRequestError
from tests.conformance.local_exchange import Key, LocalExchange, Sides, sides_of, until

# Any in this file: pybit has no types; its answers are JSON.

BTC = {"category": "linear", "symbol": "BTCUSDT"}
SPOT = {"category": "spot", "symbol": "BTCUSDT"}
INVERSE = {"category": "inverse", "symbol": "BTCUSD"}


def point_pybit_at(venue: LocalExchange, patch: pytest.MonkeyPatch) -> None:
    """pybit's templates without their https:// and wss://: nothing else of it is touched."""
    patch.setattr(_http_manager, "HTTP_URL", venue.rest)
    patch.setattr(unified_trading, "PUBLIC_WSS", venue.ws_public + "/{CHANNEL_TYPE}")
    patch.setattr(unified_trading, "PRIVATE_WSS", venue.ws_private)
    patch.setattr(_websocket_trading, "TRADE_WSS", venue.ws_trade)


@contextmanager
def http(key: Key | None = None) -> Iterator[Any]:
    keys = {} if key is None else {"api_key": key.api_key, "api_secret": key.api_secret}
    session = unified_trading.HTTP(**keys)
    try:
        yield session
    finally:
        session.client.close()


@contextmanager
def stream(channel: str, key: Key | None = None) -> Iterator[Any]:
    keys = {} if key is None else {"api_key": key.api_key, "api_secret": key.api_secret}
    socket = unified_trading.WebSocket(channel, testnet=False, **keys)
    try:
        yield socket
        assert socket.is_connected()  # its reader ends at whatever it cannot take
    finally:
        socket.exit()


@contextmanager
def trade_stream(key: Key) -> Iterator[Any]:
    socket = unified_trading.WebSocketTrading(
        testnet=False, api_key=key.api_key, api_secret=key.api_secret
    )
    try:
        until(lambda: socket.auth, "auth")
        yield socket
        assert socket.is_connected()
    finally:
        socket.exit()


class Inbox:
    """Messages of one topic, as pybit's callback hands them on."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def __call__(self, message: Any) -> None:
        self.messages.append(message)

    def wait(self, count: int = 1) -> list[Any]:
        until(lambda: len(self.messages) >= count, f"{count} messages")
        return self.messages

    def row(self, **wanted: Any) -> Any:
        """The first row of any message that has these values."""

        def find() -> Any:
            for message in list(self.messages):
                for row in message["data"]:
                    if all(row[name] == value for name, value in wanted.items()):
                        return row
            return None

        return until(find, f"a row with {wanted}")


class Books(Inbox):
    """pybit's own book of one topic, at every `u` at which it called back."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[int, Sides] = {}

    def __call__(self, message: Any) -> None:
        data = message["data"]
        self.at[data["u"]] = sides_of(data["b"], data["a"])


def touch(session: Any, **instrument: str) -> tuple[Decimal, Decimal]:
    """Best bid and best ask."""
    book = session.get_orderbook(**instrument, limit=1)["result"]
    return Decimal(book["b"][0][0]), Decimal(book["a"][0][0])


def far_bid(session: Any, **instrument: str) -> str:
    """A price that rests: some way below the best bid, on the tick."""
    return str((touch(session, **instrument)[0] * Decimal("0.995")).quantize(Decimal("1.0")))


def refusal(ask: Callable[[], Any]) -> Any:
    """The code that the exchange refuses with."""
    with pytest.raises((InvalidRequestError, FailedRequestError)) as refused:
        ask()
    return refused.value.status_code
