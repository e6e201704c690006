"""The bundled exchange beside recorded and documented messages: same keys, nesting and types."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterator
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.integration.simulator_client import Client, Json, auth_request, exchange, run

DEADLINE_S = 60.0
MARKET: Json = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market"}

NOT_SPOKEN = (  # kinds of message that the exchange does not have
    "*option*", "*greeks*", "documented/spot.liquidation.json", "documented/tickers.gct-1.json",
)  # fmt: skip
FREE_FORM = (  # examples that their authors shortened into something no venue ever sent
    "*/ws_auth_failure.json", "*/ws_auth_success.json",  # the names of two streams in one
)  # fmt: skip
OURS = {  # which of our messages stands beside which examples; the first match counts
    "documented/nautilus/http_get_account_info.json": "/v5/account/info",
    "documented/nautilus/http_get_executions.json": "/v5/execution/list",
    "documented/nautilus/http_get_fee_rate.json": "/v5/account/fee-rate",
    "documented/nautilus/http_get_funding_history.json": "/v5/market/funding/history",
    "documented/nautilus/http_get_instruments_inverse*.json": "instruments inverse",
    "documented/nautilus/http_get_instruments_linear*.json": "instruments linear",
    "documented/nautilus/http_get_instruments_spot*.json": "instruments spot",
    "documented/nautilus/http_get_klines_linear.json": "/v5/market/kline",
    "documented/nautilus/http_get_orderbook.json": "/v5/market/orderbook",
    "documented/nautilus/http_get_order*.json": "/v5/order/history",
    "documented/nautilus/http_get_positions*.json": "/v5/position/list",
    "documented/nautilus/http_get_trades_recent.json": "/v5/market/recent-trade",
    "documented/nautilus/http_get_wallet_balance*.json": "/v5/account/wallet-balance",
    "documented/nautilus/ws_account_execution_fast*.json": "execution.fast",
    "documented/nautilus/ws_account_execution*.json": "execution",
    "documented/nautilus/ws_account_order*.json": "order",
    "documented/nautilus/ws_account_position_with_open_time.json": "position row",
    "documented/nautilus/ws_account_position*.json": "position",
    "documented/nautilus/ws_account_wallet*.json": "wallet",
    "documented/nautilus/ws_kline.json": "linear kline.1.BTCUSDT",
    "documented/nautilus/ws_public_trade.json": "linear publicTrade.BTCUSDT",
    "documented/nautilus/ws_order_response.json": "trade answer",
    "documented/nautilus/ws_orderbook_*.json": "linear orderbook.50.BTCUSDT",
    "documented/nautilus/ws_subscription_ack.json": "linear ack",
    "documented/nautilus/ws_subscription_failure.json": "linear refusal",
    "documented/nautilus/ws_ticker_linear.json": "linear tickers.BTCUSDT",
    "documented/private.execution.*": "execution",
    "documented/private.order.*": "order",
    "documented/private.position.*": "position",
    "documented/private.wallet.*": "wallet",
    "documented/tickers.gct-0.json": "spot tickers.BTCUSDT",
    "documented/tickers.gct-[67].json": "inverse tickers.BTCUSD",
    "documented/tickers.gct-*": "linear tickers.BTCUSDT",
    "recorded/linear.kline*": "linear kline.1.BTCUSDT",
    "recorded/linear.orderbook.1.*": "linear orderbook.1.BTCUSDT",
    "recorded/linear.orderbook.200.*": "linear orderbook.200.BTCUSDT",
    "recorded/linear.publicTrade*": "linear publicTrade.BTCUSDT",
    "recorded/linear.subscribe-ack.json": "linear ack",
    "recorded/linear.tickers*": "linear tickers.BTCUSDT",
    "recorded/private.pong.json": "private pong",
    "recorded/spot.kline*": "spot kline.1.BTCUSDT",
    "recorded/spot.orderbook.200.*": "spot orderbook.200.BTCUSDT",
    "recorded/spot.publicTrade*": "spot publicTrade.BTCUSDT",
    "recorded/spot.subscribe-ack.json": "spot ack",
    "recorded/spot.tickers*": "spot tickers.BTCUSDT",
}
EXCUSED = {  # (examples, path): why ours is otherwise
    ("*/ws_account_wallet*", "data[].totalPerpUpl"): "the venue spells it totalPerpUPL",
    ("*/http_get_instruments_spot*.json", "result.nextPageCursor"): "spot is not paged: recorded",
    ("*/ws_account_execution_fast_envelope_id.json", "id"): "optional, and mostly absent",
}


async def collect() -> dict[str, Json]:
    """One of each message that the exchange speaks, of an account that trades."""
    got: dict[str, Json] = {}
    async with exchange(
        categories=("linear", "spot", "inverse"), symbols=2, start_base_balance=Decimal(10)
    ) as client:
        await _collect_public(client, got)
        await _collect_private(client, got)
        for category in ("linear", "spot", "inverse"):
            got[f"instruments {category}"] = await client.get(
                "/v5/market/instruments-info", category=category
            )
        asks: dict[str, Json] = {
            "/v5/market/funding/history": {},
            "/v5/market/kline": {"interval": "1"},
            "/v5/market/orderbook": {},
            "/v5/market/recent-trade": {},
            "/v5/account/info": {},
            "/v5/execution/list": {},
            "/v5/account/fee-rate": {},
            "/v5/order/history": {},
            "/v5/position/list": {},
            "/v5/account/wallet-balance": {"accountType": "UNIFIED"},
        }
        for path, more in asks.items():
            ask = client.get if "market" in path else client.ask
            got[path] = await ask(path, category="linear", symbol="BTCUSDT", **more)
    return got


async def _collect_public(client: Client, got: dict[str, Json]) -> None:
    for category, symbol in (("linear", "BTCUSDT"), ("spot", "BTCUSDT"), ("inverse", "BTCUSD")):
        async with client.public(category) as ws:
            topics = [
                f"{kind}.{symbol}"
                for kind in ("tickers", "kline.1", "publicTrade", "orderbook.1", "orderbook.50",
                             "orderbook.200")
            ]  # fmt: skip
            got[f"{category} ack"] = await ws.subscribe(*topics)
            wanted = {*topics}
            while wanted:
                frame = await ws.next()
                wanted.discard(frame["topic"])
                got.setdefault(f"{category} {frame['topic']}", frame)
            got[f"{category} refusal"] = await ws.subscribe("orderbook.7.X")


async def _collect_private(client: Client, got: dict[str, Json]) -> None:
    topics = ("order", "execution", "execution.fast", "position", "wallet")
    async with client.private(*topics) as ws:
        await ws.send({"op": "ping"})
        got["private pong"] = await ws.answer("pong")
        async with client.http.ws_connect(client.endpoints.ws_trade) as trade:
            await trade.send_json(auth_request(client.key))
            await trade.receive_json()
            now = (await client.get("/v5/market/time"))["time"]
            await trade.send_json(
                {
                    "reqId": "1",
                    "header": {"X-BAPI-TIMESTAMP": str(now)},
                    "op": "order.create",
                    "args": [MARKET | {"qty": "0.01", "orderLinkId": "t"}],
                }
            )
            got["trade answer"] = await trade.receive_json()
        for topic in topics:
            while topic not in got:
                frame = await ws.next()
                got.setdefault(frame["topic"], frame)
    got["position row"] = got["position"]["data"][0]


@pytest.fixture(scope="module")
def ours() -> dict[str, Json]:
    return asyncio.run(asyncio.wait_for(collect(), DEADLINE_S))


def differences(example: Any, mine: Any, path: str = "", *, whole: bool) -> Iterator[str]:
    """What of the example's shape ours has not; with `whole` also what is too much.

    Any: JSON. An example's null, and an empty list or object of either, say nothing.
    """
    if example is None:
        return
    if type(example) is not type(mine):
        yield f"{path}: {type(example).__name__} there, {type(mine).__name__} here"
    elif isinstance(example, dict):
        for key, value in example.items():
            there = f"{path}.{key}" if path else key
            if key in mine:
                yield from differences(value, mine[key], there, whole=whole)
            else:
                yield f"{there}: missing"
        if whole and example:
            yield from (f"{path}.{key}: too much" for key in mine.keys() - example.keys())
    elif isinstance(example, list) and example and mine:
        for element in example:
            yield from differences(element, mine[0], f"{path}[]", whole=whole)


def matching(name: str, patterns: Any, found: Callable[[str], Any]) -> Any:
    return next((found(pattern) for pattern in patterns if fnmatchcase(name, pattern)), None)


def test_every_example_of_a_kind_that_is_spoken_has_our_shape(
    data_dir: Path, ours: dict[str, Json]
) -> None:
    folder = data_dir / "bybit" / "messages"
    index = orjson.loads((folder / "index.json").read_bytes())
    compared, problems = 0, []
    for entry in index:
        name = entry["file"]
        if matching(name, NOT_SPOKEN + FREE_FORM, bool):
            continue
        kind = matching(name, OURS, OURS.__getitem__)
        assert kind is not None, f"{name}: nothing of ours stands beside it"
        example = orjson.loads((folder / name).read_bytes())
        delta = "delta" in name or example.get("type") == "delta"
        whole = name.startswith("recorded/") and not delta
        compared += 1
        for difference in sorted(set(differences(example, ours[kind], whole=whole))):
            path = difference.partition(":")[0]
            if not any(
                fnmatchcase(name, pattern) and path == excused for pattern, excused in EXCUSED
            ):
                problems.append(f"{name} beside {kind}: {difference}")
    assert problems == []
    assert compared > 75


@pytest.mark.parametrize("category", ["linear", "spot"])
def test_recorded_instruments_have_our_shape(
    data_dir: Path, ours: dict[str, Json], category: str
) -> None:
    path = data_dir / "bybit" / "rest" / f"instruments-info-{category}-20260809.json.gz"
    recorded = orjson.loads(gzip.decompress(path.read_bytes()))
    rows = recorded["result"]["list"]
    recorded["result"]["list"] = [row for row in rows if row["symbol"] == "BTCUSDT"]
    mine = ours[f"instruments {category}"]
    assert list(differences(recorded, mine, whole=True)) == []


def test_key_order_is_that_of_the_recordings(data_dir: Path, ours: dict[str, Json]) -> None:
    folder = data_dir / "bybit" / "messages" / "recorded"
    for name in ("linear.tickers.snapshot", "linear.orderbook.200.snapshot", "linear.kline.1",
                 "linear.publicTrade", "spot.tickers.snapshot", "spot.orderbook.200.snapshot",
                 "spot.kline.1", "spot.publicTrade", "linear.subscribe-ack",
                 "spot.subscribe-ack"):  # fmt: skip
        example = orjson.loads((folder / f"{name}.json").read_bytes())
        kind = matching(f"recorded/{name}.json", OURS, OURS.__getitem__)
        mine = ours[kind]
        assert list(mine) == list(example), name
        data, theirs = mine.get("data"), example.get("data")
        if isinstance(data, list):
            data, theirs = data[0], theirs[0]
        if data and "tickers" not in name:
            assert list(data) == list(theirs), name


# No recording of these is at hand: (ours, what the documentation shows).
DOCUMENTED = {
    "allLiquidation.BTCUSDT": {
        "topic": "", "type": "", "ts": 0,
        "data": [{"T": 0, "s": "", "S": "", "v": "", "p": ""}],
    },
    "priceLimit.BTCUSDT": {
        "topic": "", "data": {"symbol": "", "buyLmt": "", "sellLmt": ""}, "ts": 0,
    },
    "system.status": {
        "topic": "", "ts": 0, "data": [{
            "id": "", "title": "", "state": "", "begin": "", "end": "", "href": "",
            "serviceTypes": [0], "product": [0], "uidSuffix": [0], "maintainType": 0, "env": 0,
        }],
    },
}  # fmt: skip


def test_topics_without_an_example_are_as_documented() -> None:
    async def scenario(client: Client) -> None:
        got: dict[str, Json] = {}
        async with client.public() as ws, client.public("misc/status") as status:
            await ws.subscribe(
                "allLiquidation.BTCUSDT", "priceLimit.BTCUSDT", "orderbook.1.BTCUSDT"
            )
            for name in ("priceLimit.BTCUSDT", "allLiquidation.BTCUSDT"):
                got[name] = await ws.data(name)
            refused = await status.subscribe("orderbook.1.BTCUSDT")
            assert refused["success"] is False
            answer = await status.subscribe("system.status")
            assert list(answer) == ["success", "ret_msg", "conn_id", "req_id", "op"]
            await client.fault(kind="maintenance", state="scheduled", title="upgrade")
            got["system.status"] = await status.data("system.status")
        for name, shape in DOCUMENTED.items():
            assert list(differences(shape, got[name], whole=True)) == [], name
        row = got["system.status"]["data"][0]
        listed = await client.get("/v5/system/status", state="scheduled")
        assert listed["result"]["list"] == [row]
        assert (await client.get("/v5/system/status", id="other"))["result"]["list"] == []
        assert (await client.get("/v5/system/status", state="x"))["retCode"] == 10001
        assert (await client.fault(kind="maintenance", state="x"))["status"] == 400
        # Subscribing is all that there is to the dcp topics; nothing is ever told.
        async with client.private("dcp.future", "dcp.spot", "dcp.option") as private:
            await client.post("/v5/order/create", **MARKET, qty="0.01")
            await private.send({"op": "ping"})
            assert (await private.next())["op"] == "pong"

    run(scenario, rate=3000.0, symbols=1)


def test_differences_are_seen() -> None:
    example = {"a": "1", "b": [{"c": 1, "d": None}], "e": {}}
    assert list(differences(example, {"a": "", "b": [{"c": 2, "d": 3}], "e": {"f": 1}},
                            whole=True)) == []  # fmt: skip
    wrong = {"a": 1, "b": [{"d": ""}], "g": 1}
    assert sorted(differences(example, wrong, whole=True)) == [
        ".g: too much", "a: str there, int here", "b[].c: missing", "e: missing",
    ]  # fmt: skip
