"""Faults on demand, for tests and for the demo's chaos: from Python, or over HTTP.

`POST /_control/fault` takes one JSON object: ``kind`` and that kind's fields (fault_fields.py). What
each does is in docs/simulator.md. Topics may hold shell wildcards (``orderbook.50.*``) and mean
topics that somebody has subscribed to before.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import orjson
from aiohttp import web

from fastbook.errors import ConfigError
from fastbook.types import Side

from .answers import Answers
from .desk import OrderDesk
from .fault_fields import checked
from .garble import GARBLED, SCENES
from .hub import TopicHub
from .market import Trade
from .market_answers import NOTICE_STATES
from .private import PrivateExchange
from .public import PublicExchange
from .raw_frames import ENDING, RAW
from .rest import RestExchange
from .sessions import Refusal
from .topics import BookTopic, TradeTopic
from .trade import TradeExchange
from .venue_faults import VenueFaults, checked_status, one_of

_EMPTY = {"a": "no_asks", "b": "no_bids"}


class Skew:
    """How far the exchange's wall clock is ahead of the real one."""

    def __init__(self) -> None:
        self.ms = 0


class Faults(VenueFaults):
    """Every fault as a method; each takes effect at once. Those of orders are in VenueFaults."""

    def __init__(
        self,
        hub: TopicHub,
        public: PublicExchange,
        private: PrivateExchange,
        trade: TradeExchange,
        rest: RestExchange,
        desk: OrderDesk,
        answers: Answers,
        skew: Skew,
        clock: Callable[[], tuple[float, int]],
    ) -> None:
        super().__init__(desk, private, trade, rest, answers)
        self._hub = hub
        self._public = public
        self._skew = skew
        self._clock = clock
        self._closing: asyncio.Future[int] | None = None  # kept, so that it is not collected

    def _topics(self, pattern: str) -> list[BookTopic]:
        topics = [topic for topic in self._hub.matching(pattern) if topic.readers]
        if not topics:
            raise ConfigError(f"nobody reads an order book topic like {pattern!r}")
        return topics

    def drop(self, topic: str, n: int = 1) -> int:
        """Lose the next n deltas; the number of topics hit, as of every topic fault."""
        topics = self._topics(topic)
        for book in topics:
            book.lose += n
        return len(topics)

    def gap(self, topic: str) -> int:
        return self.drop(topic, 1)

    def duplicate(self, topic: str, n: int = 1) -> int:
        topics = self._topics(topic)
        for book in topics:
            book.double += n
        return len(topics)

    def garble(self, topic: str, n: int = 1, how: str = "truncated") -> int:
        one_of(GARBLED, "how", how)
        topics = self._topics(topic)
        for book in topics:
            book.garble += n
            book.garble_how = how
        return len(topics)

    def stall(self, topic: str, seconds: float) -> int:
        topics = self._topics(topic)
        for book in topics:
            book.stall(self._clock()[0] + seconds)
        return len(topics)

    def restart(self, topic: str) -> int:
        topics = self._topics(topic)
        for book in topics:
            book.restart(self._clock()[1])
        self._public.flush()
        return len(topics)

    def odd_book(self, topic: str, how: str, seconds: float = 1.0) -> int:
        edit = one_of(SCENES, "how", how)
        now_s, now_ms = self._clock()
        topics = self._topics(topic)
        for book in topics:
            book.show_odd(edit, now_s + seconds, now_ms)
        self._public.flush()
        return len(topics)

    def empty(self, topic: str, side: str = "a", seconds: float = 1.0) -> int:
        return self.odd_book(topic, one_of(_EMPTY, "side", side), seconds)

    def trade_burst(self, category: str, symbol: str, n: int = 2000) -> int:
        """Trades that nobody made, all of one taker order and so of one `seq`."""
        topic = self._trade_topic(category, symbol)
        feed = topic.feed
        now_ms, seq = self._clock()[1], self._desk.next_seq()
        trades = [
            Trade(Side.BUY, feed.last_px, topic.instrument.lot, now_ms, str(uuid4()), seq,
                  feed.tick_direction)
            for _ in range(n)
        ]  # fmt: skip
        topic.tell(trades, now_ms)
        self._public.flush()
        return n

    def repeat_trades(self, category: str, symbol: str) -> int:
        self._trade_topic(category, symbol).repeat()
        self._public.flush()
        return 1

    def _trade_topic(self, category: str, symbol: str) -> TradeTopic:
        topic = self._hub.topics.get((category, f"publicTrade.{symbol}"))
        if not isinstance(topic, TradeTopic) or not topic.readers:
            raise ConfigError(f"nobody reads the trades of {symbol!r}")
        return topic

    def filters(self, category: str, symbol: str, tick: str = "", lot: str = "") -> int:
        """Other steps for a symbol; its books begin anew, with u = 1."""
        self._desk.change_filters(category, symbol, tick, lot)
        return self._begin_anew(category, symbol)

    def symbol_status(self, category: str, symbol: str, status: str) -> int:
        """Stop a symbol (``Closed``: its books are shown empty), or open it again."""
        trading = one_of({"Trading": True, "Closed": False}, "status", status)
        hit = self._desk.set_trading(category, symbol, trading)
        if trading:
            return self._begin_anew(category, symbol)
        for book in self._books_of(category, symbol):
            book.show_nothing(self._clock()[1])
        self._public.flush()
        return max(hit, 1)

    def _books_of(self, category: str, symbol: str) -> list[BookTopic]:
        return [
            book for book in self._hub.matching(f"orderbook.*.{symbol}", category) if book.readers
        ]

    def _begin_anew(self, category: str, symbol: str) -> int:
        for book in self._books_of(category, symbol):
            book.stalled_until_s = 0.0
            book.restart(self._clock()[1])
        self._public.flush()
        return 1

    def raw(self, how: str, stream: str = "public", n: int | None = None) -> int:
        """Bytes of raw_frames.py to n connections (None: all)."""
        data = one_of(RAW, "how", how)
        return self._stream(stream).raw(data, n, end=how in ENDING)

    def mute_acks(self, n: int = 1, stream: str = "public") -> int:
        self._stream(stream).mute_acks += n
        return n

    def reject(self, topic: str, n: int = 1) -> int:
        self._public.rejected_topics[topic] += n
        return 1

    def snapshot(self, topic: str) -> int:
        topics = self._topics(topic)
        for book in topics:
            book.show_whole(self._clock()[1])
        self._public.flush()
        return len(topics)

    def delist(self, topic: str) -> int:
        topics = self._topics(topic)
        for book in topics:
            book.show_nothing(self._clock()[1])
        self._public.flush()
        return len(topics)

    def _stream(self, name: str) -> PublicExchange | PrivateExchange | TradeExchange:
        streams: dict[str, PublicExchange | PrivateExchange | TradeExchange] = {
            "public": self._public,
            "private": self._private,
            "trade": self._trade,
        }
        if name not in streams:
            raise ConfigError(f"stream must be public, private or trade, was {name!r}")
        return streams[name]

    def cut(self, n: int | None = None, stream: str = "public") -> int:
        """Break n connections (None: all); how many were broken."""
        return self._stream(stream).cut(n)

    def close(self, stream: str = "public", code: int = 1001) -> int:
        """Close every connection of a stream with a close frame."""
        if not (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) and not (
            3000 <= code <= 4999
        ):
            raise ConfigError(f"code must be one that a close frame may carry, was {code}")
        host = self._stream(stream)
        count = len(host.sessions)
        self._closing = asyncio.ensure_future(host.close(code))
        return count

    def freeze(self, stream: str = "public", n: int | None = None) -> int:
        return self._stream(stream).freeze(n)

    def refuse_upgrade(
        self, stream: str = "public", status: int = 502, n: int = 1, location: str = ""
    ) -> int:
        refusal = Refusal(checked_status(status, redirects=bool(location)), location)
        self._stream(stream).upgrade_errors.extend([refusal] * n)
        return n

    def mute_pongs(self, on: bool = True, stream: str = "public") -> int:
        self._stream(stream).mute_pongs = on
        return 1

    def ban(self, seconds: float) -> int:
        self._rest.closed_until_s = self._clock()[0] + seconds
        if seconds == 0:
            self._rest.addresses.pardon()
        return 1

    def maintenance(self, state: str, title: str = "maintenance") -> int:
        if state not in ("", *NOTICE_STATES):
            raise ConfigError(f"state must be one of {', '.join(NOTICE_STATES)}, was {state!r}")
        notices = self._rest.announce(state, title)
        if notices:
            self._hub.status_topic().tell(notices, self._clock()[1])
            self._public.flush()
        return 1

    def data_before_ack(self, on: bool = True) -> int:
        self._public.data_before_ack = on
        return 1

    def skew(self, ms: int) -> int:
        self._skew.ms = ms
        return 1

    def apply(self, fault: Mapping[str, object]) -> int:
        """Do what one JSON object asks for; ConfigError when it asks for nothing known."""
        kind, given = checked(fault)
        method: Callable[..., int] = getattr(self, kind)
        return method(**given)


def from_loopback(request: web.Request) -> bool:
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False


def add_control_routes(
    app: web.Application,
    faults: Faults,
    state: Callable[[], dict[str, Any]],
    book: Callable[[str, str], bytes | None],
) -> None:
    """`POST /_control/fault`, `GET /_control/state` and `GET /_control/book`; loopback only.

    `book(category, topic)`: the last published state of an order book topic as a snapshot frame.
    """

    async def fault(request: web.Request) -> web.Response:
        if not from_loopback(request):
            return web.Response(status=403)
        try:
            asked = orjson.loads(await request.read())
            if not isinstance(asked, dict):
                raise ConfigError("the body must be a JSON object")
            hit = faults.apply(asked)
        except (ConfigError, orjson.JSONDecodeError) as e:
            return web.json_response({"ok": False, "error": str(e)}, status=400)
        return web.json_response({"ok": True, "hit": hit})

    async def show(request: web.Request) -> web.Response:
        if not from_loopback(request):
            return web.Response(status=403)
        return web.Response(body=orjson.dumps(state()), content_type="application/json")

    async def show_book(request: web.Request) -> web.Response:
        if not from_loopback(request):
            return web.Response(status=403)
        frame = book(request.query.get("category", ""), request.query.get("topic", ""))
        if frame is None:
            return web.json_response({"ok": False, "error": "no such topic"}, status=404)
        return web.Response(body=frame, content_type="application/json")

    app.router.add_post("/_control/fault", fault)
    app.router.add_get("/_control/book", show_book)
    app.router.add_get("/_control/state", show)
