"""Results of the REST endpoints, as plain values. No HTTP here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from urllib.parse import quote

import orjson

from fastbook.errors import VenueError
from fastbook.replay.accounts import Account, Order, Row
from fastbook.replay.clearing import VenueRules
from fastbook.replay.intake import PARAMETER_ERROR, PX_TICKS_MAX
from fastbook.replay.money import wire_text
from fastbook.replay.rows import query_order_row, query_position_row
from fastbook.types import Category, Instrument

from .coins import coin_info
from .hub import TopicHub
from .market import Json, SimulatedMarket
from .options import ApiKey

Query = Mapping[str, str]
CLOSED_IN_REALTIME_MAX = 500
HISTORY_MS = 7 * 24 * 3600 * 1000


def bad(message: str) -> VenueError:
    return VenueError(PARAMETER_ERROR, f"params error: {message}")


def limit_of(query: Query, default: int, most: int) -> int:
    text = query.get("limit", "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise bad(f"limit must be 1 to {most}")
    return int(text)


def millis_of(query: Query, name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 17):
        raise bad(f"{name} invalid")
    return int(text)


def paged(rows: Iterable[Row], key: str, query: Query, limit: int) -> tuple[list[Row], str]:
    """One page, and the cursor of the next one, percent-encoded as the venue's are."""
    after = query.get("cursor", "").partition(":")[0]
    page: list[Row] = []
    waiting = bool(after)
    for row in rows:
        if waiting:
            waiting = row[key] != after
            continue
        if len(page) == limit:
            return page, quote(f"{page[-1][key]}:{limit}", safe="")
        page.append(row)
    return page, ""


class Answers:
    """Reads the market and the accounts for REST."""

    def __init__(self, market: SimulatedMarket, hub: TopicHub, rules: VenueRules) -> None:
        self._market = market
        self._hub = hub
        self._rules = rules

    def category(self, query: Query) -> str:
        category = query.get("category", "")
        if category not in self._market.categories:
            raise bad("category invalid")
        return category

    def instrument(self, query: Query) -> Instrument:
        return self._market.venue.instrument(self.category(query), query.get("symbol", ""))

    # Market data.

    def instruments_info(self, query: Query) -> Json:
        category = self.category(query)
        spot = category == Category.SPOT
        limit = limit_of(query, 500, 1000)
        symbol, base = query.get("symbol"), query.get("baseCoin")
        wanted = [
            i
            for i in self._market.in_category(category)
            if (not symbol or i.symbol == symbol) and (not base or i.base == base)
        ]
        if symbol and not wanted:
            raise bad("symbol invalid")
        if spot:
            return {"category": category, "list": [spot_info(i) for i in wanted]}
        rows, cursor = paged(map(linear_info, wanted), "symbol", query, limit)
        return {"category": category, "list": rows, "nextPageCursor": cursor}

    def orderbook(self, query: Query, now_ms: int) -> Json:
        """Equal to the 1000-level stream: same `u`, `seq` and levels, zeros stripped."""
        instrument = self.instrument(query)
        default = 1 if instrument.category is Category.SPOT else 25
        limit = limit_of(query, default, 1000)
        topic = self._hub.book(1000, instrument)
        if not topic.readers:
            topic.publisher.delta(now_ms, now_ms - 1, self._market.venue.next_seq())
        frame = orjson.loads(topic.publisher.repeat(now_ms))
        data = frame["data"]
        sides = {
            side: [
                [wire_text(Decimal(px)), wire_text(Decimal(qty))] for px, qty in data[side][:limit]
            ]
            for side in ("b", "a")
        }
        return {
            "s": instrument.symbol,
            **sides,
            "ts": frame["ts"],
            "u": data["u"],
            "seq": data["seq"],
            "cts": frame["cts"],
        }

    def tickers(self, query: Query, now_ms: int) -> Json:
        category = self.category(query)
        instruments = self._market.in_category(category)
        if query.get("symbol"):
            instruments = [self.instrument(query)]
        rows = []
        for instrument in instruments:
            row = self._market.ticker(instrument.index, now_ms)
            rows.append({**row, **self._market.best(instrument.index)})
        return {"category": category, "list": rows}

    def recent_trades(self, query: Query) -> Json:
        instrument = self.instrument(query)
        most = 60 if instrument.category is Category.SPOT else 1000
        limit = limit_of(query, min(most, 500), most)
        feed = self._market.feeds[instrument.index]
        newest = list(feed.recent)[::-1][:limit]
        rows = [
            {
                "execId": trade.trade_id,
                "symbol": instrument.symbol,
                "price": self._market.px_text(instrument, trade.px),
                "size": self._market.qty_text(instrument, trade.qty),
                "side": trade.side.wire,
                "time": str(trade.ts_ms),
                "isBlockTrade": False,
                "isRPITrade": False,
                "seq": str(trade.seq),
            }
            for trade in newest
        ]
        return {"category": str(instrument.category), "list": rows}

    # Orders and fills.

    def _filters(self, query: Query, *, scope_needed: bool) -> tuple[str, str, str]:
        category = self.category(query)
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
        for order in orders:
            instrument = order.instrument
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

    def open_orders(self, account: Account, query: Query) -> Json:
        filters = self._filters(query, scope_needed=True)
        limit = limit_of(query, 20, 50)
        only = query.get("openOnly", "0")
        if only not in ("0", "1"):
            raise bad("openOnly invalid")
        source = list(account.open_orders.values())
        if only == "1":
            source = list(account.closed)[-CLOSED_IN_REALTIME_MAX:]
        rows = map(query_order_row, self._select(source[::-1], query, filters))
        page, cursor = paged(rows, "orderId", query, limit)
        return {"category": query["category"], "list": page, "nextPageCursor": cursor}

    def order_history(self, account: Account, query: Query, now_ms: int) -> Json:
        filters = self._filters(query, scope_needed=False)
        limit = limit_of(query, 20, 50)
        status = query.get("orderStatus", "")
        start, end = self._window(query, now_ms)
        orders = (
            order
            for order in self._select(reversed(account.closed), query, filters)
            if (not status or order.status == status) and start <= order.created_ms <= end
        )
        page, cursor = paged(map(query_order_row, orders), "orderId", query, limit)
        return {"category": query["category"], "list": page, "nextPageCursor": cursor}

    @staticmethod
    def _window(query: Query, now_ms: int) -> tuple[int, int]:
        end = millis_of(query, "endTime", now_ms)
        start = millis_of(query, "startTime", min(end, now_ms) - HISTORY_MS)
        if end - start > HISTORY_MS:
            raise bad("the time window is at most 7 days")
        return start, end

    def executions(self, account: Account, query: Query, now_ms: int) -> Json:
        symbol, base, settle = self._filters(query, scope_needed=False)
        limit = limit_of(query, 50, 100)
        start, end = self._window(query, now_ms)
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
                and start <= int(row["execTime"]) <= end
            )

        rows = (
            {key: value for key, value in row.items() if key not in ("category", "execPnl")}
            for row in reversed(account.executions)
            if matches(row)
        )
        page, cursor = paged(rows, "execId", query, limit)
        return {"category": query["category"], "list": page, "nextPageCursor": cursor}

    # Account.

    def positions(self, account: Account, query: Query) -> Json:
        if self.category(query) == Category.SPOT:
            raise bad("category invalid")
        symbol, _, settle = self._filters(query, scope_needed=False)
        if not (symbol or settle):
            raise bad("symbol or settleCoin needed")
        limit = limit_of(query, 20, 200)
        if symbol:
            held = [account.position(self._market.by_symbol[query["category"], symbol])]
        else:
            held = [
                p
                for p in account.positions.values()
                if p.qty
                and p.instrument.settle == settle
                and p.instrument.category == query["category"]
            ]
        rows = [
            query_position_row(
                position,
                mark=self._market.venue.prices.mark(position.instrument.index),
                leverage=min(self._rules.leverage, position.instrument.leverage_max),
            )
            for position in held
        ]
        page, cursor = paged(rows, "symbol", query, limit)
        return {"list": page, "nextPageCursor": cursor, "category": query["category"]}

    def wallet(self, account: Account, query: Query) -> Json:
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

    def fee_rates(self, query: Query) -> Json:
        category = self.category(query)
        instruments = self._market.in_category(category)
        if query.get("symbol"):
            instruments = [self.instrument(query)]
        rates = self._rules.fees(Category(category))
        rows = [
            {
                "symbol": i.symbol,
                "takerFeeRate": wire_text(rates.taker),
                "makerFeeRate": wire_text(rates.maker),
                "baseCoin": "",
            }
            for i in instruments
        ]
        result: Json = {"list": rows}
        return {"category": category, **result} if category == Category.SPOT else result

    def coins(self, query: Query) -> Json:
        return coin_info(self._market.instruments, query.get("coin", ""))


def px_full(instrument: Instrument, px: int) -> str:
    """A price with every digit of its scale, as instruments-info has it."""
    return f"{instrument.px_decimal(px):f}"


def qty_full(instrument: Instrument, qty: int) -> str:
    return f"{instrument.qty_decimal(qty):f}"


def linear_info(i: Instrument) -> Row:
    """One linear instrument of instruments-info."""
    return {
        "symbol": i.symbol,
        "symbolId": i.index + 1,
        "contractType": "LinearPerpetual",
        "status": "Trading" if i.trading else "Closed",
        "baseCoin": i.base,
        "quoteCoin": i.quote,
        "launchTime": "1580000000000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(i.price_scale),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": f"{i.leverage_max:.2f}",
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": px_full(i, i.tick),
            "maxPrice": px_full(i, i.tick * PX_TICKS_MAX),
            "tickSize": px_full(i, i.tick),
        },
        "lotSizeFilter": {
            "maxOrderQty": qty_full(i, i.qty_max),
            "minOrderQty": qty_full(i, i.qty_min),
            "qtyStep": qty_full(i, i.lot),
            "postOnlyMaxOrderQty": qty_full(i, i.qty_max),
            "maxMktOrderQty": qty_full(i, i.qty_max_market),
            "minNotionalValue": wire_text(i.notional_min),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": i.settle,
        "copyTrading": "none",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
        "displayName": "",
        "symbolType": "",
        "forbidUplWithdrawal": False,
    }


def spot_info(i: Instrument) -> Row:
    """One spot instrument of instruments-info."""
    return {
        "symbolId": i.index + 1,
        "symbol": i.symbol,
        "baseCoin": i.base,
        "quoteCoin": i.quote,
        "innovation": "0",
        "status": "Trading" if i.trading else "Closed",
        "marginTrading": "none",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": qty_full(i, i.lot),
            "quotePrecision": f"{Decimal(1).scaleb(-i.price_scale - i.qty_scale):f}",
            "minOrderQty": qty_full(i, i.qty_min),
            "maxOrderQty": qty_full(i, i.qty_max),
            "minOrderAmt": wire_text(i.notional_min),
            "maxOrderAmt": "5000000",
            "maxLimitOrderQty": qty_full(i, i.qty_max),
            "maxMarketOrderQty": qty_full(i, i.qty_max_market),
            "postOnlyMaxLimitOrderSize": qty_full(i, i.qty_max),
        },
        "priceFilter": {"tickSize": px_full(i, i.tick)},
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
        "symbolType": "",
    }


def api_key_info(key: ApiKey, uid: int) -> Json:
    """What `/v5/user/query-api` says of a key of this exchange."""
    return {
        "id": str(key.account),
        "note": "bundled exchange",
        "apiKey": key.api_key,
        "readOnly": 0,
        "secret": "",
        "permissions": {
            "ContractTrade": ["Order", "Position"],
            "Spot": ["SpotTrade"],
            "Wallet": [],
            "Options": [],
            "Derivatives": [],
            "CopyTrading": [],
            "BlockTrade": [],
            "Exchange": [],
            "NFT": [],
            "Affiliate": [],
            "Earn": [],
        },
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
