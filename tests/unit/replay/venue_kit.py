"""A venue with two linear symbols and one spot pair, and short ways to trade on it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from fastbook.errors import VenueError
from fastbook.replay.accounts import Order, Row
from fastbook.replay.clearing import VenueRules
from fastbook.replay.matching import MatchingBook
from fastbook.replay.venue import Venue
from fastbook.types import Category, Instrument, Side

NOW_MS = 1_772_694_600_000
LINEAR = (
    Instrument(
        index=0,
        category=Category.LINEAR,
        symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        settle="USDT",
        price_scale=2,
        qty_scale=3,
        tick=10,
        lot=1,
        qty_min=1,
        qty_max=100_000,
        qty_max_market=50_000,
        notional_min=Decimal(5),
        leverage_max=Decimal(100),
    ),
    Instrument(
        index=1,
        category=Category.LINEAR,
        symbol="XRPUSDT",
        base="XRP",
        quote="USDT",
        settle="USDT",
        price_scale=4,
        qty_scale=1,
        tick=1,
        lot=1,
        qty_min=1,
        qty_max=10_000_000,
        qty_max_market=1_000_000,
        notional_min=Decimal(5),
        leverage_max=Decimal(75),
    ),
)
SPOT = Instrument(
    index=2,
    category=Category.SPOT,
    symbol="ETHUSDT",
    base="ETH",
    quote="USDT",
    settle="",
    price_scale=2,
    qty_scale=5,
    tick=1,
    lot=1,
    qty_min=1,
    qty_max=100_000_000,
    qty_max_market=50_000_000,
    notional_min=Decimal(5),
)


class Desk:
    """One venue, two rich accounts (`maker`, `taker`), time that stands still."""

    def __init__(self, rules: VenueRules | None = None, balance: str = "1000000") -> None:
        self.instruments = [replace(i) for i in (*LINEAR, SPOT)]  # a test may change them
        self.books = [MatchingBook() for _ in self.instruments]
        self.venue = Venue(self.instruments, self.books, rules, seed=3)
        coins = {"USDT": Decimal(balance), "ETH": Decimal(1000)}
        self.maker = self.venue.open_account(coins)
        self.taker = self.venue.open_account(coins)
        self._anonymous = 0

    def params(self, side: str, qty: str, px: str = "", **more: object) -> dict[str, Any]:
        """Create parameters: a limit order with a price, a market order without."""
        params: dict[str, Any] = {
            "category": "linear",
            "symbol": "BTCUSDT",
            "side": side,
            "orderType": "Limit" if px else "Market",
            "qty": qty,
        }
        if px:
            params["price"] = px
        return params | more

    def order(self, account: int, side: str, qty: str, px: str = "", **more: object) -> Order:
        return self.venue.place(account, self.params(side, qty, px, **more), NOW_MS)

    def refusal(self, account: int, side: str, qty: str, px: str = "", **more: object) -> int:
        """The code with which the venue refuses this order; asserts that nothing was said."""
        self.venue.take_events(account)
        try:
            self.order(account, side, qty, px, **more)
        except VenueError as e:
            assert self.venue.take_events(account) == []
            return e.code
        raise AssertionError("the venue took the order")

    def crowd(self, side: Side, px: int, qty: int, index: int = 0) -> int:
        """A resting order of the anonymous market; its number."""
        self._anonymous -= 1
        self.books[index].rest(self._anonymous, side, px, qty, 0)
        return self._anonymous

    def crowd_takes(self, side: Side, px: int, qty: int, index: int = 0) -> None:
        """The anonymous market takes, as the seeded flow would."""
        fills = self.books[index].match(side, px, qty)
        mine = [(number, owner, int(side), p, q) for number, owner, p, q in fills if owner]
        self.venue.on_market_fills(index, mine, NOW_MS, self.venue.next_seq())

    def told(self, account: int, topic: str = "") -> list[tuple[str, Row]]:
        """(topic, row) of everything that the account has not been told yet."""
        return [
            (event.topic, row)
            for event in self.venue.take_events(account)
            for row in event.rows
            if not topic or event.topic == topic
        ]

    def order_states(self, account: int) -> list[tuple[str, str, str]]:
        """(status, cancel type, reject reason) of the order rows since the last call."""
        return [
            (row["orderStatus"], row["cancelType"], row["rejectReason"])
            for _, row in self.told(account, "order")
        ]
