"""Results of the signed REST endpoints, as plain values. No HTTP here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from decimal import Decimal

from fastbook.replay.accounts import Account, Order, Row
from fastbook.replay.clearing import VenueRules
from fastbook.replay.money import ZERO, minus, over, plus, wire_text
from fastbook.replay.rows import query_order_row
from fastbook.types import Category, Instrument

from .coins import coin_info
from .keys import ApiKey
from .market import Json, SimulatedMarket
from .order_faults import FAULTS_MAX
from .query import (
    DAY_MS,
    HISTORY_MS_MAX,
    WEEK_MS,
    Query,
    bad,
    known_category,
    limit_of,
    paged,
    same_cursor,
    window_of,
)

CLOSED_IN_REALTIME_MAX = 500
STOP_FILTERS = ("StopOrder", "tpslOrder")
_STREAM_ONLY = ("category", "execPnl")


class Answers:
    """Reads the accounts for REST. Categories that are not played here are empty."""

    def __init__(self, market: SimulatedMarket, rules: VenueRules) -> None:
        self._market = market
        self._rules = rules
        # Faults: how pages of signed lists go wrong, how much older than they are all orders
        # pass for, from which number on closed orders are still shown as such.
        self.page_errors: deque[str] = deque(maxlen=FAULTS_MAX)
        self.age_ms = 0
        self.forgotten: dict[int, int] = {}  # account -> number of its last forgotten order

    def _page(
        self, rows: Iterable[Row], keys: tuple[str, ...], query: Query, limit: int
    ) -> tuple[list[Row], str]:
        """One page and the next cursor, or what a fault makes of them."""
        rows = list(rows)
        page, cursor = paged(rows, keys, query, limit)
        if cursor and self.page_errors:
            if self.page_errors.popleft() == "repeat":
                return page, same_cursor(query, limit)
            return paged(rows, keys, {**query, "cursor": cursor}, limit)
        return page, cursor

    def instrument(self, query: Query) -> Instrument:
        return self._market.venue.instrument(known_category(query), query.get("symbol", ""))

    # Orders and fills.

    def _filters(self, query: Query, *, scope_needed: bool) -> tuple[str, str, str]:
        category = known_category(query)
        symbol, base = query.get("symbol", ""), query.get("baseCoin", "")
        settle = query.get("settleCoin", "")
        if symbol:
            self.instrument(query)
        elif scope_needed and category != Category.SPOT and not (base or settle):
            raise bad("symbol, baseCoin or settleCoin needed")
        return symbol, base, settle

    @staticmethod
    def _select(
        orders: Iterable[Order], query: Query, filters: tuple[str, str, str]
    ) -> Iterator[Order]:
        symbol, base, settle = filters
        order_id, link_id = query.get("orderId", ""), query.get("orderLinkId", "")
        kind = query.get("orderFilter", "")
        for order in orders:
            instrument = order.instrument
            if kind and (kind in STOP_FILTERS) != (order.trigger is not None):
                continue
            if instrument.category != query["category"]:
                continue
            if order_id:
                if order.order_id == order_id:
                    yield order
            elif link_id:
                if order.link_id == link_id:
                    yield order
            elif (
                (not symbol or instrument.symbol == symbol)
                and (not base or instrument.base == base)
                and (not settle or instrument.settle == settle)
            ):
                yield order

    def open_orders(self, account: Account, query: Query, now_ms: int) -> Json:
        filters = self._filters(query, scope_needed=True)
        limit = limit_of(query, 20, 50)
        only = query.get("openOnly", "0")
        if only not in ("0", "1"):
            raise bad("openOnly invalid")
        source = list(account.open_orders.values())
        if only == "1":
            forgotten = self.forgotten.get(account.number, 0)
            source = [o for o in account.closed if o.number > forgotten][-CLOSED_IN_REALTIME_MAX:]
        rows = map(query_order_row, self._select(source[::-1], query, filters))
        page, cursor = self._page(rows, ("orderId",), query, limit)
        return {"category": query["category"], "list": page, "nextPageCursor": cursor}

    def order_history(self, account: Account, query: Query, now_ms: int) -> Json:
        filters = self._filters(query, scope_needed=False)
        limit = limit_of(query, 20, 50)
        status = query.get("orderStatus", "")
        start, end = window_of(query, now_ms)
        orders = (
            order
            for order in self._select(reversed(account.closed), query, filters)
            if (not status or order.status == status)
            and start <= order.created_ms - self.age_ms <= end
            and is_remembered(order, now_ms + self.age_ms)
        )
        page, cursor = self._page(map(query_order_row, orders), ("orderId",), query, limit)
        return {"category": query["category"], "list": page, "nextPageCursor": cursor}

    def executions(self, account: Account, query: Query, now_ms: int) -> Json:
        symbol, base, settle = self._filters(query, scope_needed=False)
        limit = limit_of(query, 50, 100)
        start, end = window_of(query, now_ms)
        wanted = [
            (key, query[key]) for key in ("orderId", "orderLinkId", "execType") if query.get(key)
        ]
        by_symbol = self._market.by_symbol

        def matches(row: Row) -> bool:
            instrument = by_symbol[row["category"], row["symbol"]]
            return (
                instrument.category == query["category"]
                and (not symbol or instrument.symbol == symbol)
                and (not base or instrument.base == base)
                and (not settle or instrument.settle == settle)
                and all(row[key] == value for key, value in wanted)
                and start <= int(row["execTime"]) - self.age_ms <= end
            )

        rows = (
            {key: value for key, value in row.items() if key not in _STREAM_ONLY}
            for row in reversed(account.executions)
            if matches(row)
        )
        page, cursor = self._page(rows, ("execId",), query, limit)
        return {"category": query["category"], "list": page, "nextPageCursor": cursor}

    # Account.

    def positions(self, account: Account, query: Query, now_ms: int) -> Json:
        if known_category(query) == Category.SPOT:
            raise bad("category invalid")
        symbol, _, settle = self._filters(query, scope_needed=False)
        if query["category"] == Category.LINEAR and not (symbol or settle):
            raise bad("symbol or settleCoin needed")
        limit = limit_of(query, 20, 200)
        rows = self._market.venue.position_rows(account.number, query["category"], symbol, settle)
        page, cursor = self._page(rows, ("symbol", "positionIdx"), query, limit)
        return {"list": page, "nextPageCursor": cursor, "category": query["category"]}

    def wallet(self, account: Account, query: Query, now_ms: int) -> Json:
        if query.get("accountType") != "UNIFIED":
            raise bad("accountType must be UNIFIED")
        row = self._market.venue.figures(account.number).row()
        coins = {c for c in query.get("coin", "").split(",") if c}
        row["coin"] = [
            c
            for c in row["coin"]
            if (c["coin"] in coins if coins else c["walletBalance"] != "0" or c["equity"] != "0")
        ]
        return {"list": [row]}

    def fee_rates(self, account: Account, query: Query, now_ms: int) -> Json:
        category = known_category(query)
        instruments = self._market.in_category(category)
        if query.get("symbol"):
            instruments = [self.instrument(query)]
        rates = self._rules.fees(Category(category)) if instruments else None
        rows = [
            {
                "symbol": i.symbol,
                "takerFeeRate": wire_text(rates.taker),
                "makerFeeRate": wire_text(rates.maker),
                "baseCoin": "",
            }
            for i in instruments
            if rates is not None
        ]
        result: Json = {"list": rows}
        return {"category": category, **result} if category == Category.SPOT else result

    def coins(self, account: Account, query: Query, now_ms: int) -> Json:
        return coin_info(self._market.instruments, query.get("coin", ""))

    def info(self, account: Account, query: Query, now_ms: int) -> Json:
        armed = self._market.venue.dcp.info(account.number)
        return {
            "marginMode": account.margin_mode,
            "updatedTime": "1697078946000",
            "unifiedMarginStatus": 5,
            "dcpStatus": "ON" if armed else "OFF",
            "timeWindow": int(armed[0]["timeWindow"]) if armed else 0,
            "smpGroup": 0,
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
        }

    def closed_pnl(self, account: Account, query: Query, now_ms: int) -> Json:
        """One row for every order that closed something, newest first."""
        symbol, _, _ = self._filters(query, scope_needed=False)
        limit = limit_of(query, 50, 100)
        start, end = window_of(query, now_ms)
        orders: dict[str, list[Row]] = {}
        for row in account.executions:
            if (
                row["category"] == query["category"]
                and (not symbol or row["symbol"] == symbol)
                and start <= int(row["execTime"]) <= end
                and row["closedSize"] not in ("", "0")
            ):
                orders.setdefault(row["orderId"], []).append(row)
        rows = [
            closed_row(
                fills,
                account.leverage(self._market.by_symbol[query["category"], fills[0]["symbol"]]),
            )
            for fills in reversed(orders.values())
        ]
        page, cursor = self._page(rows, ("orderId",), query, limit)
        return {"category": query["category"], "list": page, "nextPageCursor": cursor}


def is_remembered(order: Order, now_ms: int) -> bool:
    """Whether order history still has it: orders without fills go after a day."""
    age_ms = now_ms - order.updated_ms
    if age_ms <= DAY_MS or order.cum_qty:
        return age_ms <= HISTORY_MS_MAX
    return age_ms <= WEEK_MS and order.status not in ("Cancelled", "Rejected", "Deactivated")


def closed_row(fills: list[Row], leverage: Decimal) -> Row:
    """A row of closed-pnl from the closing fills of one order."""
    first, last = fills[0], fills[-1]
    qty = plus(*(Decimal(f["closedSize"]) for f in fills))
    exit_value = plus(*(
        over(Decimal(f["execValue"]) * Decimal(f["closedSize"]), Decimal(f["execQty"]))
        for f in fills
    ))  # fmt: skip
    pnl = plus(*(Decimal(f["execPnl"]) for f in fills))
    fee = plus(*(Decimal(f["execFee"]) for f in fills))
    # What was sold for more than it had cost is profit; what was bought back, the other way.
    sold = first["side"] == "Sell"
    entry_value = minus(exit_value, pnl) if sold else plus(exit_value, pnl)
    return {
        "symbol": first["symbol"],
        "orderId": first["orderId"],
        "side": first["side"],
        "qty": first["orderQty"],
        "orderPrice": first["orderPrice"],
        "orderType": first["orderType"],
        "execType": first["execType"],
        "closedSize": wire_text(qty),
        "cumEntryValue": wire_text(entry_value),
        "avgEntryPrice": wire_text(over(entry_value, qty) if qty else ZERO),
        "cumExitValue": wire_text(exit_value),
        "avgExitPrice": wire_text(over(exit_value, qty) if qty else ZERO),
        "closedPnl": wire_text(minus(pnl, fee)),
        "fillCount": str(len(fills)),
        "leverage": wire_text(leverage),
        "openFee": "0",
        "closeFee": wire_text(fee),
        "createdTime": first["execTime"],
        "updatedTime": last["execTime"],
    }


def api_key_info(key: ApiKey, uid: int) -> Json:
    """What `/v5/user/query-api` says of a key of this exchange."""
    return {
        "id": str(key.account),
        "note": "bundled exchange",
        "apiKey": key.api_key,
        "readOnly": int(key.read_only),
        "secret": "",
        "permissions": key.permissions(),
        "ips": ["*"],
        "type": 1,
        "deadlineDay": -2,
        "expiredAt": "",
        "createdAt": "2024-01-01T00:00:00Z",
        "unified": 0,
        "uta": 1,
        "userID": uid,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        "kycLevel": "LEVEL_DEFAULT",
        "kycRegion": "",
    }
