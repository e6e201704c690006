"""Faults on demand, for tests and for the demo's chaos: from Python, or over HTTP.

`POST /_control/fault` takes one JSON object: ``kind`` and that kind's fields. Topics may hold
shell wildcards (``orderbook.50.*``) and mean topics that somebody has subscribed to before.

| kind | fields | effect |
|---|---|---|
| drop | topic, n = 1 | the next n deltas are made and lost: a gap |
| gap | topic | drop with n = 1 |
| garble | topic, n = 1, how | the next n deltas are spoilt: `truncated`, `garbage`, `level`, `sequence` or `oversized` |
| duplicate | topic, n = 1 | the next n deltas are sent twice |
| stall | topic, seconds | the topic is silent; a new subscription ends it |
| restart | topic | a snapshot with u = 1 |
| empty | topic, side = "a" or "b", seconds | a snapshot without that side, then silence |
| reject | topic (exact), n = 1 | the next n subscriptions are refused |
| snapshot | topic | the whole book again, in the middle of the stream |
| delist | topic | a snapshot with u = 1 and no levels, then silence |
| cut | stream = "public", "private" or "trade", n = all | connections break without a close frame |
| close | stream, code = 1001 | every connection gets a close frame |
| freeze | stream, n = all | connections stay open, and nothing comes or is heard any more |
| refuse_upgrade | stream, status = 502, n = 1 | the next n connections are not let in |
| auth_error | n = 1 | the next n `auth` requests on private and trade streams are refused |
| mute_pongs | on, stream = "public" | pings are not answered |
| data_before_ack | on | the snapshot comes before the acknowledgement |
| mute_private | on | private rows are lost |
| reverse_private | on | wallet, position, execution, order: the other way round |
| event_order | topics | as given, say "execution,order,wallet,position" |
| double_private | n = 1 | the next n private messages are sent twice |
| private_delay | ms | from a match to its private rows |
| outside | account = 1, category, symbol, side, qty | a market order that the account's owner did not send |
| funding_rate | category, symbol, rate | of the coming payments |
| cancel_race | n = 1 | the next n cancels of filled orders succeed, and the fill is told again |
| order_error | code, n = 1, message | the next n creates are refused with this code |
| gateway_error | code, n = 1, message, named = true | the trade stream's gateway refuses; not named: without reqId |
| ban | seconds | REST answers 403 to everybody; 0 ends it, and every other ban |
| maintenance | state, title | what `/v5/system/status` announces; state "" clears it |
| http_error | status, n = 1 | the next n signed requests fail with this status and HTML |
| lost_answer | n = 1 | the next n creates are carried out, and the connection breaks |
| slow_orders | ms, way = "in" or "out" | order requests take this long to arrive, or to be answered |
| skew | ms | the exchange's clock runs ahead by this much |
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
from aiohttp import web

from fastbook.errors import ConfigError, VenueError

from .desk import OrderDesk
from .hub import TopicHub
from .options import EVENT_TOPICS
from .private import PrivateExchange
from .public import PublicExchange
from .rest import RestExchange
from .topics import GARBLED, BookTopic
from .trade import TradeExchange

SECONDS_MAX = 3600.0
COUNT_MAX = 10_000
SLOW_MS_MAX = 60_000


class Skew:
    """How far the exchange's wall clock is ahead of the real one."""

    def __init__(self) -> None:
        self.ms = 0


class Faults:
    """Every fault as a method; each takes effect at once."""

    def __init__(
        self,
        hub: TopicHub,
        public: PublicExchange,
        private: PrivateExchange,
        trade: TradeExchange,
        rest: RestExchange,
        desk: OrderDesk,
        skew: Skew,
        clock: Callable[[], tuple[float, int]],
    ) -> None:
        self._hub = hub
        self._public = public
        self._private = private
        self._trade = trade
        self._rest = rest
        self._desk = desk
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
        if how not in GARBLED:
            raise ConfigError(f"how must be one of {', '.join(GARBLED)}, was {how!r}")
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

    def empty(self, topic: str, side: str = "a", seconds: float = 1.0) -> int:
        if side not in ("a", "b"):
            raise ConfigError(f'side must be "a" or "b", was {side!r}')
        now_s, now_ms = self._clock()
        topics = self._topics(topic)
        for book in topics:
            book.show_empty(side, now_s + seconds, now_ms)
        self._public.flush()
        return len(topics)

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

    def refuse_upgrade(self, stream: str = "public", status: int = 502, n: int = 1) -> int:
        if not 400 <= status <= 599:
            raise ConfigError(f"status must be 400 to 599, was {status}")
        self._stream(stream).upgrade_errors.extend([status] * n)
        return n

    def auth_error(self, n: int = 1) -> int:
        self._private.keys.auths_to_refuse += n
        return n

    def mute_pongs(self, on: bool = True, stream: str = "public") -> int:
        self._stream(stream).mute_pongs = on
        return 1

    def event_order(self, topics: str) -> int:
        names = [name.strip() for name in topics.split(",")]
        if sorted(names) != sorted(EVENT_TOPICS):
            raise ConfigError(f"topics must order {', '.join(EVENT_TOPICS)}")
        self._private.order_events(names)
        return 1

    def double_private(self, n: int = 1) -> int:
        self._private.doubled += n
        return n

    def private_delay(self, ms: int) -> int:
        if not 0 <= ms <= SLOW_MS_MAX:
            raise ConfigError(f"ms must be 0 to {SLOW_MS_MAX}, was {ms}")
        self._private.delay_s = ms / 1000
        return 1

    def outside(
        self, symbol: str, side: str, qty: str, category: str = "linear", account: int = 1
    ) -> int:
        try:
            self._desk.place_outside(
                account,
                {
                    "category": category,
                    "symbol": symbol,
                    "side": side,
                    "orderType": "Market",
                    "qty": qty,
                },
            )
        except (VenueError, KeyError) as e:
            raise ConfigError(f"outside: {e}") from None
        return 1

    def funding_rate(self, symbol: str, rate: str, category: str = "linear") -> int:
        try:
            self._desk.set_funding_rate(category, symbol, Decimal(rate))
        except (VenueError, InvalidOperation) as e:
            raise ConfigError(f"funding_rate: {e}") from None
        return 1

    def cancel_race(self, n: int = 1) -> int:
        self._desk.faults.cancel_races += n
        return n

    def gateway_error(
        self, code: int, n: int = 1, message: str = "fault", named: bool = True
    ) -> int:
        self._trade.gateway_errors.extend([(code, message, named)] * n)
        return n

    def ban(self, seconds: float) -> int:
        self._rest.closed_until_s = self._clock()[0] + seconds
        if seconds == 0:
            self._rest.addresses.pardon()
        return 1

    def maintenance(self, state: str, title: str = "maintenance") -> int:
        self._rest.announce(state, title)
        return 1

    def data_before_ack(self, on: bool = True) -> int:
        self._public.data_before_ack = on
        return 1

    def mute_private(self, on: bool = True) -> int:
        self._private.mute = on
        return 1

    def reverse_private(self, on: bool = True) -> int:
        self._private.reverse = on
        return 1

    def order_error(self, code: int, n: int = 1, message: str = "fault") -> int:
        self._desk.faults.order_errors.extend([(code, message)] * n)
        return n

    def http_error(self, status: int, n: int = 1) -> int:
        if not 400 <= status <= 599:
            raise ConfigError(f"status must be 400 to 599, was {status}")
        self._rest.http_errors.extend([status] * n)
        return n

    def lost_answer(self, n: int = 1) -> int:
        self._desk.faults.lost_answers += n
        return n

    def slow_orders(self, ms: int, way: str = "out") -> int:
        if way not in ("in", "out"):
            raise ConfigError(f'way must be "in" or "out", was {way!r}')
        if not 0 <= ms <= SLOW_MS_MAX:
            raise ConfigError(f"ms must be 0 to {SLOW_MS_MAX}, was {ms}")
        setattr(self._rest.faults, f"slow_{way}_s", ms / 1000)
        return 1

    def skew(self, ms: int) -> int:
        self._skew.ms = ms
        return 1

    def apply(self, fault: Mapping[str, object]) -> int:
        """Do what one JSON object asks for; ConfigError when it asks for nothing known."""
        kind, given = checked(fault)
        method: Callable[..., int] = getattr(self, kind)
        return method(**given)


def checked(fault: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Kind and fields of one fault; ConfigError when they are not what `Faults` takes."""
    kind = fault.get("kind")
    fields = _FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None or not isinstance(kind, str):
        raise ConfigError(f"kind must be one of {', '.join(_FIELDS)}, was {kind!r}")
    given = {key: value for key, value in fault.items() if key != "kind"}
    unknown = sorted(given.keys() - fields.keys())
    if unknown:
        raise ConfigError(f"{kind}: unknown fields: {', '.join(unknown)}")
    for name, value in given.items():
        if not fields[name](value):
            raise ConfigError(f"{kind}: bad {name}: {value!r}")
    missing = sorted(_REQUIRED.get(kind, set()) - given.keys())
    if missing:
        raise ConfigError(f"{kind}: missing fields: {', '.join(missing)}")
    return kind, given


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 200


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= COUNT_MAX


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 40


def _is_seconds(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value <= SECONDS_MAX


def _is_time(value: object) -> bool:
    return value == 0 or _is_seconds(value)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


_FIELDS: dict[str, dict[str, Callable[[object], bool]]] = {
    "drop": {"topic": _is_text, "n": _is_count},
    "gap": {"topic": _is_text},
    "garble": {"topic": _is_text, "n": _is_count, "how": _is_text},
    "duplicate": {"topic": _is_text, "n": _is_count},
    "stall": {"topic": _is_text, "seconds": _is_seconds},
    "restart": {"topic": _is_text},
    "empty": {"topic": _is_text, "side": _is_text, "seconds": _is_seconds},
    "reject": {"topic": _is_text, "n": _is_count},
    "snapshot": {"topic": _is_text},
    "delist": {"topic": _is_text},
    "cut": {"n": _is_count, "stream": _is_text},
    "close": {"stream": _is_text, "code": _is_int},
    "freeze": {"stream": _is_text, "n": _is_count},
    "refuse_upgrade": {"stream": _is_text, "status": _is_int, "n": _is_count},
    "auth_error": {"n": _is_count},
    "mute_pongs": {"on": _is_flag, "stream": _is_text},
    "event_order": {"topics": _is_text},
    "double_private": {"n": _is_count},
    "private_delay": {"ms": _is_int},
    "outside": {
        "account": _is_count,
        "category": _is_text,
        "symbol": _is_text,
        "side": _is_text,
        "qty": _is_text,
    },
    "cancel_race": {"n": _is_count},
    "funding_rate": {"category": _is_text, "symbol": _is_text, "rate": _is_text},
    "gateway_error": {"code": _is_int, "n": _is_count, "message": _is_text, "named": _is_flag},
    "ban": {"seconds": _is_time},
    "maintenance": {"state": _is_text, "title": _is_text},
    "data_before_ack": {"on": _is_flag},
    "mute_private": {"on": _is_flag},
    "reverse_private": {"on": _is_flag},
    "order_error": {"code": _is_int, "n": _is_count, "message": _is_text},
    "http_error": {"status": _is_int, "n": _is_count},
    "lost_answer": {"n": _is_count},
    "slow_orders": {"ms": _is_int, "way": _is_text},
    "skew": {"ms": _is_int},
}
_REQUIRED = {
    "drop": {"topic"},
    "gap": {"topic"},
    "garble": {"topic"},
    "duplicate": {"topic"},
    "stall": {"topic", "seconds"},
    "restart": {"topic"},
    "empty": {"topic"},
    "reject": {"topic"},
    "snapshot": {"topic"},
    "delist": {"topic"},
    "event_order": {"topics"},
    "private_delay": {"ms"},
    "outside": {"symbol", "side", "qty"},
    "funding_rate": {"symbol", "rate"},
    "gateway_error": {"code"},
    "ban": {"seconds"},
    "maintenance": {"state"},
    "order_error": {"code"},
    "http_error": {"status"},
    "slow_orders": {"ms"},
    "skew": {"ms"},
}


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
