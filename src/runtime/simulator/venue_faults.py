"""Faults of orders, accounts, history and REST: what the exchange does wrong on request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from fastbook.errors import ConfigError, VenueError
from fastbook.replay.venue import Venue

from .answers import Answers
from .desk import OrderDesk
from .options import EVENT_TOPICS
from .order_faults import ANSWER_LOSSES, ORDER_KINDS
from .private import PrivateExchange
from .rest import RestExchange
from .sessions import Refusal
from .spoilt import SPOILT
from .trade import TradeExchange

SLOW_MS_MAX = 60_000
HOUR_MS = 3_600_000
EXEC_TYPES = ("Trade", "BlockTrade", "MovePosition", "Delivery", "Settle", "CorporateAction")

T = TypeVar("T")


def one_of(known: Mapping[str, T], field: str, name: str) -> T:
    """What `name` stands for; ConfigError that lists what there is."""
    if name not in known:
        raise ConfigError(f"{field} must be one of {', '.join(known)}, was {name!r}")
    return known[name]


def checked_status(status: int, *, redirects: bool = False) -> int:
    low = 300 if redirects else 400
    if not low <= status <= 599:
        raise ConfigError(f"status must be {low} to 599, was {status}")
    return status


def _checked_ms(ms: int) -> int:
    if not 0 <= ms <= SLOW_MS_MAX:
        raise ConfigError(f"ms must be 0 to {SLOW_MS_MAX}, was {ms}")
    return ms


def _operation(name: str) -> str:
    return one_of({kind: kind for kind in ORDER_KINDS}, "operation", name)


class VenueFaults:
    """Faults as methods; each says how many things it struck, or will."""

    def __init__(
        self,
        desk: OrderDesk,
        private: PrivateExchange,
        trade: TradeExchange,
        rest: RestExchange,
        answers: Answers,
    ) -> None:
        self._desk = desk
        self._private = private
        self._trade = trade
        self._rest = rest
        self._answers = answers

    def event_order(self, topics: str) -> int:
        names = [name.strip() for name in topics.split(",")]
        if topics == "random":
            names = []
        elif sorted(names) != sorted(EVENT_TOPICS):
            raise ConfigError(f"topics must order {', '.join(EVENT_TOPICS)}, or be random")
        self._private.order_events(names)
        return 1

    def double_private(self, n: int = 1) -> int:
        self._private.doubled += n
        return n

    def private_delay(self, ms: int, topic: str = "") -> int:
        """From a match to its rows; with `topic` of that one alone."""
        delay_s = _checked_ms(ms) / 1000
        if topic:
            self._private.topic_delays_s[
                one_of(dict.fromkeys(EVENT_TOPICS, topic), "topic", topic)
            ] = delay_s
        else:
            self._private.delay_s = delay_s
        return 1

    def replay_private(self, account: int = 1, n: int = 10) -> int:
        """The last n messages of the account again, as they were."""
        return self._private.replay(account, n)

    def outside(
        self,
        symbol: str,
        side: str,
        qty: str,
        category: str = "linear",
        account: int = 1,
        exec_type: str = "Trade",
    ) -> int:
        one_of(dict.fromkeys(EXEC_TYPES), "exec_type", exec_type)
        order = {
            "category": category, "symbol": symbol, "side": side, "orderType": "Market", "qty": qty,
        }  # fmt: skip

        def place() -> int:
            self._desk.place_outside(account, order, exec_type)
            return 1

        return _refused_as_config("outside", place)

    def liquidate(self, symbol: str, category: str = "linear", account: int = 1) -> int:
        """Close the account's positions in a symbol by force."""

        def close(venue: Venue, now_ms: int) -> int:
            index = venue.instrument(category, symbol).index
            return venue.liquidate(account, index, now_ms)

        return self._held("liquidate", close)

    def adl(self, symbol: str, category: str = "linear", account: int = 1, qty: str = "0") -> int:
        """Deleverage the account's positions in a symbol by `qty`, "0": all of it."""

        def reduce(venue: Venue, now_ms: int) -> int:
            instrument = venue.instrument(category, symbol)
            size = int(Decimal(qty).scaleb(instrument.qty_scale))
            return venue.deleverage(account, instrument.index, size, now_ms)

        return self._held("adl", reduce)

    def _held(self, kind: str, change: Callable[[Venue, int], int]) -> int:
        hit = _refused_as_config(kind, lambda: self._desk.by_hand(change))
        if not hit:
            raise ConfigError(f"{kind}: the account has no such position")
        return hit

    def reduce_only(
        self, symbol: str, category: str = "linear", account: int = 1, on: bool = True
    ) -> int:
        """The account may only leave its position in a symbol: 110023, isReduceOnly."""

        def limit(venue: Venue, now_ms: int) -> int:
            venue.only_reduce(account, venue.instrument(category, symbol).index, on)
            return 1

        return _refused_as_config("reduce_only", lambda: self._desk.by_hand(limit))

    def setting(
        self,
        symbol: str,
        category: str = "linear",
        account: int = 1,
        leverage: str = "",
        mode: int | None = None,
    ) -> int:
        """The owner changes leverage or position mode (0, 3) somewhere else."""
        which = {"category": category, "symbol": symbol}

        def change(venue: Venue, now_ms: int) -> int:
            if leverage:
                both = {"buyLeverage": leverage, "sellLeverage": leverage}
                venue.set_leverage(account, which | both)
            if mode is not None:
                venue.switch_mode(account, {**which, "mode": mode})
            return 1

        return _refused_as_config("setting", lambda: self._desk.by_hand(change))

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

    def stray_answer(self, n: int = 1) -> int:
        return self._trade.stray(n)

    def order_error(
        self, code: int, n: int = 1, message: str = "fault", operation: str = "create"
    ) -> int:
        refusals = [(_operation(operation), (code, message))] * n
        self._desk.faults.order_errors.extend(refusals)
        return n

    def rate_limited(self, n: int = 1, reset_ms: int = 1000, operation: str = "create") -> int:
        """10006, whatever the budget; `reset_ms`: how far ahead the reset is told to be."""
        self._desk.faults.rate_limits.extend([(_operation(operation), reset_ms)] * n)
        return n

    def late_reject(self, n: int = 1) -> int:
        self._desk.faults.late_rejects += n
        return n

    def late_create(self, ms: int, n: int = 1) -> int:
        """Creates whose connection breaks, and which are carried out all the same, so much later."""
        self._desk.faults.late_creates.extend([("create", _checked_ms(ms) / 1000)] * n)
        return n

    def http_error(self, status: int, n: int = 1, retry_after_s: int = 0) -> int:
        refusal = Refusal(checked_status(status), retry_after_s=retry_after_s)
        self._rest.http_errors.extend([refusal] * n)
        return n

    def redirect(self, location: str, n: int = 1) -> int:
        self._rest.http_errors.extend([Refusal(302, location)] * n)
        return n

    def key_error(self, code: int, n: int = 1, message: str = "fault") -> int:
        self._rest.key_errors.extend([(code, message)] * n)
        return n

    def bad_body(self, how: str, n: int = 1) -> int:
        one_of(SPOILT, "how", how)
        self._rest.spoilt.extend([how] * n)
        return n

    def page_error(self, how: str, n: int = 1) -> int:
        """Of signed lists with a further page: it leads to itself, or to the page after the next."""
        one_of({"repeat": 0, "lose": 0}, "how", how)
        self._answers.page_errors.extend([how] * n)
        return n

    def history_age(self, hours: int) -> int:
        """Orders and fills pass for that much older than they are."""
        if hours < 0:
            raise ConfigError(f"hours must not be negative, was {hours}")
        self._answers.age_ms = hours * HOUR_MS
        return 1

    def forget_closed(self, account: int = 1) -> int:
        """As a restart: `openOnly=1` knows none of the orders that have closed by now."""

        def forget(venue: Venue, now_ms: int) -> int:
            closed = venue.account(account).closed
            last = max((order.number for order in closed), default=0)
            self._answers.forgotten[account] = last
            return max(len(closed), 1)

        return _refused_as_config("forget_closed", lambda: self._desk.by_hand(forget))

    def lost_answer(self, n: int = 1, operation: str = "create", how: str = "cut") -> int:
        one_of(dict.fromkeys(ANSWER_LOSSES), "how", how)
        self._desk.faults.lost.extend([(_operation(operation), how)] * n)
        return n

    def lost_request(self, n: int = 1, operation: str = "create") -> int:
        self._desk.faults.lost_requests[_operation(operation)] += n
        return n

    def slow_orders(self, ms: int, way: str = "out") -> int:
        if way not in ("in", "out"):
            raise ConfigError(f'way must be "in" or "out", was {way!r}')
        setattr(self._desk.faults, f"slow_{way}_s", _checked_ms(ms) / 1000)
        return 1

    def mute_private(self, on: bool = True) -> int:
        self._private.mute = on
        return 1

    def reverse_private(self, on: bool = True) -> int:
        self._private.reverse = on
        return 1

    def auth_error(self, n: int = 1) -> int:
        self._private.keys.auths_to_refuse += n
        return n


def _refused_as_config(kind: str, change: Callable[[], int]) -> int:
    """Run it; what the venue refuses, or what does not exist, is the asker's mistake."""
    try:
        return change()
    except (VenueError, KeyError, InvalidOperation) as e:
        raise ConfigError(f"{kind}: {e}") from None
