"""The gateway against a scripted REST server: what each answer is taken to prove."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from tests.support_bybit import LINEAR, instrument
from tests.support_rest import TIME_MS, RealClock, ScriptedRest, client, raw, scripted_rest, status

from fastbook.errors import CredentialsError, TransportError, WireError
from fastbook.runtime.bybit.gateway import (
    NO_NEW_RISK,
    ORDER_AGE_S_MAX,
    QUEUE_FULL,
    RestGateway,
)
from fastbook.runtime.bybit.rest import CANCEL_ALL
from fastbook.types import (
    AmendOrder,
    AmendRejected,
    CancelAll,
    CancelOrder,
    CancelRejected,
    Category,
    Execution,
    OrderAbsent,
    OrderAccepted,
    OrderEvent,
    OrderRejected,
    OrderType,
    OrderUnknown,
    OrderUpdate,
    PlaceOrder,
    PositionSnapshot,
    QueryOrder,
    SetStops,
    Side,
    StopsRejected,
    StopsSet,
    TimeInForce,
    WalletSnapshot,
)

CREATE, AMEND, CANCEL = "/v5/order/create", "/v5/order/amend", "/v5/order/cancel"
OPEN, HISTORY, EXECUTIONS = "/v5/order/realtime", "/v5/order/history", "/v5/execution/list"
POSITIONS, WALLET = "/v5/position/list", "/v5/account/wallet-balance"
EMPTY: dict[str, object] = {"list": [], "nextPageCursor": ""}
ORDER = {
    "symbol": "BTCUSDT",
    "orderId": "o-1",
    "orderLinkId": "c-1",
    "orderStatus": "Filled",
    "price": "69000.1",
    "qty": "0.001",
    "cumExecQty": "0.001",
    "updatedTime": "2",
}
FILL = {
    "symbol": "BTCUSDT",
    "execFee": "0.01",
    "execId": "e-1",
    "execPrice": "69000.1",
    "execQty": "0.001",
    "execType": "Trade",
    "orderId": "o-1",
    "orderLinkId": "c-1",
    "side": "Buy",
    "execTime": "1772694601353",
    "isMaker": True,
    "feeCurrency": "USDT",
}
ETH = instrument("ETHUSDT", index=1, tick=1)


class Desk:
    """The gateway's application."""

    def __init__(self) -> None:
        self.events: list[OrderEvent] = []
        self.fatal: list[BaseException] = []
        self._changed = asyncio.Event()

    def on_events(self, events: list[OrderEvent], recv_ns: int) -> None:
        assert recv_ns > 0
        self.events += events
        self._changed.set()

    def on_fatal(self, error: BaseException) -> None:
        self.fatal.append(error)
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def take(self, count: int = 1) -> list[OrderEvent]:
        await self.until(lambda: len(self.events) >= count)
        return self.events


async def until(condition: Callable[[], object]) -> None:
    """For what tells nobody when it happens; the deadline is the story's."""
    while not condition():  # noqa: ASYNC110  # a counter has no event
        await asyncio.sleep(0.005)


def place(client_id: str = "c-1", **changes: Any) -> PlaceOrder:  # Any: fields of PlaceOrder
    values: dict[str, Any] = {
        "client_id": client_id,
        "instrument": 0,
        "side": Side.BUY,
        "px": 6_900_010,
        "qty": 1,
        "order_type": OrderType.LIMIT,
        "tif": TimeInForce.GTC,
        "reduce_only": False,
    }
    return PlaceOrder(**values | changes)


CANCEL_IT = CancelOrder(client_id="c-1", instrument=0)
QUERY_IT = QueryOrder(client_id="c-1", instrument=0)
Story = Callable[[ScriptedRest, RestGateway, Desk], Awaitable[None]]


def play(story: Story, *, grace_s: float = 0.0, timeout_s: float = 5.0, **options: Any) -> Desk:
    """Options (Any) are the gateway's."""
    desk = Desk()

    async def run() -> None:
        async with (
            asyncio.timeout(15),
            scripted_rest() as server,
            client(server.url, timeout_s=timeout_s) as rest,
        ):
            gateway = RestGateway(
                rest,
                [LINEAR, ETH],
                Category.LINEAR,
                desk.on_events,
                RealClock(),
                on_fatal=desk.on_fatal,
                **options,
            )
            await story(server, gateway, desk)
            await gateway.close(grace_s)

    asyncio.run(run())
    return desk


def test_create_accepted() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CREATE, {"orderId": "o-1", "orderLinkId": "c-1"})
        gateway.send([place()])
        assert await desk.take() == [OrderAccepted(client_id="c-1", order_id="o-1")]
        assert server.asked[0].json == {
            "category": "linear",
            "symbol": "BTCUSDT",
            "side": "Buy",
            "orderType": "Limit",
            "qty": "0.001",
            "price": "69000.1",
            "timeInForce": "GTC",
            "positionIdx": 0,
            "orderLinkId": "c-1",
            "reduceOnly": False,
        }

    play(story)


@pytest.mark.parametrize("code", [10001, 110003, 110007, 110017, 110094, 170131, 20003, 110063])
def test_definite_no_is_a_rejection(code: int) -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CREATE, code)
        gateway.send([place()])
        assert await desk.take() == [
            OrderRejected(client_id="c-1", code=code, reason=f"said {code}")
        ]
        assert server.count(CREATE) == 1
        assert gateway.stats.rejected == 1

    play(story)


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


@pytest.mark.parametrize(
    "reply",
    [
        *(10000, 10006, 10014, 10016, 429, 170007, 170146),
        *(status(429), status(500), status(502), status(503), status(307, Location="/x")),
        *(status(200), status(403), raw(b'{"retCode":0'), hang_up, hang),
    ],
    ids=range(17),
)
def test_no_verdict_is_unknown_and_the_create_goes_out_once(reply: object) -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CREATE, reply)
        gateway.send([place()])
        (event,) = await desk.take()
        assert isinstance(event, OrderUnknown)
        assert event.client_id == "c-1"
        assert event.reason
        assert server.count(CREATE) == 1
        assert gateway.stats.unknown == 1

    play(story, timeout_s=0.3 if reply is hang else 5.0)


@pytest.mark.parametrize("reply", [status(400), status(404)])
def test_request_that_the_venue_did_not_take_is_rejected(reply: object) -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CREATE, reply)
        gateway.send([place()])
        (event,) = await desk.take()
        assert isinstance(event, OrderRejected)

    play(story)


def test_what_never_left_is_rejected() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CREATE, status(403))
        gateway.send([place("c-1")])
        await desk.take()
        gateway.send([place("c-2"), place("c-3", px=1)])
        events = await desk.take(3)
        assert all(isinstance(e, OrderRejected) and e.code == 0 for e in events[1:])
        assert server.count(CREATE) == 1

    play(story)


@pytest.mark.parametrize("reply", [10003, 10005, status(401)])
def test_refused_key_rejects_and_alarms(reply: object) -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CREATE, reply)
        gateway.send([place()])
        (event,) = await desk.take()
        assert isinstance(event, OrderRejected)
        assert event.code == (401 if callable(reply) else reply)

    desk = play(story)
    assert [type(e) for e in desk.fatal] == [CredentialsError]


@pytest.mark.parametrize("code", [110072, 170141])
def test_duplicate_id_is_asked_about_not_rejected(code: int) -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CREATE, code)
        server.answer(OPEN, {"list": [ORDER]})
        server.answer(HISTORY, EMPTY)
        server.answer(EXECUTIONS, EMPTY)
        gateway.send([place()])
        first, second = await desk.take(2)
        assert isinstance(first, OrderUnknown)
        assert isinstance(second, OrderUpdate)
        assert second.order_id == "o-1"

    play(story)


def test_full_queue_refuses_and_cancels_do_not_wait() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        release = asyncio.Event()

        async def slow(request: web.Request) -> web.StreamResponse:
            await release.wait()
            return web.json_response({"retCode": 0, "retMsg": "", "result": {"orderId": "o"}})

        server.answer(CREATE, slow)
        server.answer(CANCEL, {})
        gateway.send([place(f"c-{i}") for i in range(5)])
        refused = list(desk.events)
        assert refused == [
            OrderRejected(client_id=f"c-{i}", code=0, reason=QUEUE_FULL) for i in (3, 4)
        ]
        assert gateway.orders.refused == 2
        gateway.send([CANCEL_IT])
        await until(lambda: gateway.cancels.done)
        assert server.count(CANCEL) == 1
        assert gateway.orders.waiting == 1
        release.set()
        await desk.take(5)

    play(story, requests_in_flight_max=2, queue_max=1, batch_max=1)


def test_closing_leaves_no_order_without_a_verdict() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CREATE, hang)
        gateway.send([place("c-1"), place("c-2")])
        await until(lambda: server.asked)

    desk = play(story, requests_in_flight_max=1, batch_max=1)
    assert {e.client_id for e in desk.events if isinstance(e, OrderUnknown)} == {"c-1", "c-2"}


def test_closed_gateway_refuses() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        await gateway.close()
        gateway.send([place(), CANCEL_IT, QUERY_IT])
        kinds = [type(e) for e in desk.events]
        assert kinds == [OrderUnknown, CancelRejected, OrderRejected]

    play(story)


def test_cancel_and_amend_succeed_in_silence() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CANCEL, {"orderId": "o-1"})
        server.answer(AMEND, {"orderId": "o-1"})
        gateway.send([CANCEL_IT, AmendOrder(client_id="c-1", instrument=0, px=6_900_000)])
        await until(lambda: gateway.cancels.done and gateway.orders.done)
        assert {a.path: a.json.get("price") for a in server.asked} == {
            CANCEL: None,
            AMEND: "69000",
        }

    assert play(story).events == []


def test_unknown_cancel_is_repeated() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CANCEL, status(502), 10016, {"orderId": "o-1"})
        gateway.send([CANCEL_IT])
        await until(lambda: gateway.cancels.done)
        assert server.count(CANCEL) == 3
        assert gateway.repeater.repeats == 2

    assert play(story).events == []


@pytest.mark.parametrize("code", [110001, 110008, 110010, 170213, 10001])
def test_refused_cancel_says_nothing_about_the_order(code: int) -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CANCEL, code)
        gateway.send([CANCEL_IT])
        (event,) = await desk.take()
        assert isinstance(event, CancelRejected)
        assert event.code == code
        assert server.count(CANCEL) == 1

    play(story)


def test_cancel_that_stays_unknown_is_told() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CANCEL, status(502))
        gateway.send([CANCEL_IT])
        (event,) = await desk.take()
        assert isinstance(event, CancelRejected)
        assert event.code == 0
        assert server.count(CANCEL) == 3

    play(story)


def test_cancel_all_runs_once_until_nothing_is_open() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CANCEL_ALL, {"success": "1"})
        server.answer(OPEN, {"list": [ORDER]}, EMPTY)
        gateway.send([CancelAll(), CancelAll()])
        await until(lambda: gateway.cancels.done)
        assert server.count(CANCEL_ALL) == 4  # two kinds, two rounds
        gateway.send([CancelAll()])
        await until(lambda: gateway.cancels.done == 2)
        assert server.count(CANCEL_ALL) == 6

    play(story)


def test_cancel_all_that_fails_is_an_alarm() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CANCEL_ALL, 10001)
        gateway.send([CancelAll()])
        await desk.until(lambda: desk.fatal)
        assert gateway.stats.cancel_all_failed == 1

    play(story)


AMEND_IT = AmendOrder(client_id="c-1", instrument=0, px=6_900_000, qty=1)


def test_refused_amend_is_told() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(AMEND, 110064)
        gateway.send([AMEND_IT])
        (event,) = await desk.take()
        assert isinstance(event, AmendRejected)
        assert event.code == 110064

    play(story)


@pytest.mark.parametrize("reply", [10016, status(502), hang_up])
def test_unclear_amend_is_asked_about_and_not_repeated(reply: object) -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(AMEND, reply)
        quiet(server, realtime={"list": [ORDER]})
        gateway.send([AMEND_IT])
        (event,) = await desk.take()
        assert isinstance(event, OrderUpdate)
        assert server.count(AMEND) == 1

    play(story)


def quiet(server: ScriptedRest, **others: object) -> None:
    for path in (OPEN, HISTORY, EXECUTIONS):
        server.answer(path, others.get(path.rpartition("/")[2], EMPTY))


def test_query_finds_order_and_fills() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        older = {**ORDER, "orderStatus": "New", "cumExecQty": "0", "updatedTime": "1"}
        quiet(server, realtime={"list": [ORDER]}, history={"list": [ORDER, older]})
        server.script[EXECUTIONS].clear()
        server.answer(EXECUTIONS, {"list": [FILL]})
        gateway.send([QUERY_IT])
        events = await desk.take(3)
        assert [type(e) for e in events] == [Execution, OrderUpdate, OrderUpdate]
        assert [e.status for e in events if isinstance(e, OrderUpdate)] == ["New", "Filled"]
        assert sorted(a.path for a in server.asked) == sorted([OPEN, OPEN, HISTORY, EXECUTIONS])
        assert all("orderLinkId=c-1" in a.query for a in server.asked)

    play(story)


def test_query_that_finds_nothing_anywhere_is_absence() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        quiet(server)
        gateway.send([QUERY_IT])
        assert await desk.take() == [OrderAbsent(client_id="c-1", venue_time_ms=TIME_MS)]

    play(story)


@pytest.mark.parametrize("place_name", ["realtime", "history", "list"])
@pytest.mark.parametrize("reply", [10016, 10001, {"list": None}], ids=str)
def test_query_that_failed_anywhere_proves_nothing(place_name: str, reply: object) -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        quiet(server, **{place_name: reply})
        gateway.send([QUERY_IT])
        (event,) = await desk.take()
        assert isinstance(event, OrderUnknown)

    play(story)


def test_query_ignores_orders_of_others() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        quiet(server, realtime={"list": [{**ORDER, "orderLinkId": "c-2"}]})
        gateway.send([QUERY_IT])
        (event,) = await desk.take()
        assert isinstance(event, OrderAbsent)

    play(story)


def test_query_with_fills_but_no_order_goes_on_asking() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        quiet(server, list={"list": [FILL]})
        gateway.send([QUERY_IT])
        events = await desk.take(2)
        assert [type(e) for e in events] == [Execution, OrderUnknown]

    play(story)


def test_row_that_cannot_be_read_is_not_absence() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        quiet(server, realtime={"list": [{**ORDER, "cumExecQty": "?"}]})
        gateway.send([QUERY_IT])
        (event,) = await desk.take()
        assert isinstance(event, OrderUnknown)

    play(story)


POSITION = {
    "symbol": "BTCUSDT",
    "positionIdx": 0,
    "side": "Sell",
    "size": "0.001",
    "avgPrice": "69000",
    "cumRealisedPnl": "1",
    "seq": 5,
    "updatedTime": "1",
}
COINS = {"list": [{"coin": [{"coin": "USDT", "walletBalance": "10", "equity": "11"}]}]}


def test_reconcile_gives_the_whole_view() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(OPEN, {"list": [{**ORDER, "orderStatus": "New"}]})
        server.answer(EXECUTIONS, {"list": [FILL]})
        server.answer(POSITIONS, {"list": [POSITION]})
        server.answer(WALLET, COINS)
        fill, order, held, flat, coin = await gateway.reconcile(since_ms=TIME_MS)
        assert isinstance(fill, Execution)
        assert isinstance(order, OrderUpdate)
        assert isinstance(held, PositionSnapshot)
        assert isinstance(flat, PositionSnapshot)
        assert (held.instrument, held.qty) == (0, -1)
        assert (flat.instrument, flat.qty) == (1, 0)
        assert coin == WalletSnapshot(coin="USDT", balance=Decimal(10), equity=Decimal(11))
        assert all("settleCoin=USDT" in a.query for a in server.asked if a.path == OPEN)

    assert play(story).events == []


@pytest.mark.parametrize("path", [OPEN, EXECUTIONS, POSITIONS, WALLET])
def test_half_a_view_is_none(path: str) -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        for each in (OPEN, EXECUTIONS, POSITIONS, WALLET):
            server.answer(each, status(404) if each == path else EMPTY)
        with pytest.raises(TransportError):
            await gateway.reconcile()

    play(story)


def test_view_with_an_unreadable_row_is_none() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(OPEN, EMPTY)
        server.answer(EXECUTIONS, {"list": [{**FILL, "execPrice": "?"}]})
        server.answer(POSITIONS, EMPTY)
        server.answer(WALLET, COINS)
        with pytest.raises(WireError, match="execPrice"):
            await gateway.reconcile()

    play(story)


STOP = "/v5/position/trading-stop"
STOPS = SetStops(instrument=0, stop_loss_px=6_800_000)
DONE = StopsSet(instrument=0, stop_loss_px=6_800_000, take_profit_px=0)


@pytest.mark.parametrize("replies", [({},), (34040,), (status(502), 10016, {})])
def test_stops_are_set_once_the_venue_has_them(replies: tuple[object, ...]) -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(STOP, *replies)
        gateway.send([STOPS])
        assert await desk.take() == [DONE]
        assert server.asked[0].json["stopLoss"] == "68000"

    play(story)


def test_refused_stops_are_told() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(STOP, 10001)
        gateway.send([STOPS, SetStops(instrument=1, stop_loss_px=0, position_idx=7)])
        events = await desk.take(2)
        assert sorted((e.instrument, e.code) for e in events if isinstance(e, StopsRejected)) == [
            (0, 10001),
            (1, 0),
        ]

    play(story)


def test_last_word_on_stops_wins() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        release = asyncio.Event()

        async def slow(request: web.Request) -> web.StreamResponse:
            await release.wait()
            return web.json_response({"retCode": 0, "retMsg": "", "result": {}})

        server.answer(STOP, slow)
        gateway.send([STOPS])
        await until(lambda: server.asked)
        gateway.send([SetStops(instrument=0, stop_loss_px=px) for px in (6_700_000, 6_600_000)])
        release.set()
        assert await desk.take() == [
            StopsSet(instrument=0, stop_loss_px=6_600_000, take_profit_px=0)
        ]
        assert [a.json["stopLoss"] for a in server.asked] == ["68000", "66000"]

    play(story)


BATCH, CANCEL_BATCH = "/v5/order/create-batch", "/v5/order/cancel-batch"


def rows(*codes: int) -> tuple[dict[str, Any], dict[str, Any]]:  # Any: JSON
    """Answers of a batch to c-1, c-2 and so on."""
    named = [
        {"orderId": "" if code else f"o-{i}", "orderLinkId": f"c-{i}"}
        for i, code in enumerate(codes, 1)
    ]
    return {"list": named}, {"list": [{"code": c, "msg": f"said {c}"} for c in codes]}


def batch(*codes: int) -> Any:  # Any: a handler
    async def handler(request: web.Request) -> web.StreamResponse:
        named, said = rows(*codes)
        return web.json_response({"retCode": 0, "result": named, "retExtInfo": said})

    return handler


def test_creates_of_one_send_leave_together_and_end_each_by_itself() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(BATCH, batch(0, 110007, 10006))
        gateway.send([place("c-1"), place("c-2"), place("c-3"), place("c-4", px=1)])
        assert [type(e) for e in await desk.take(4)] == [
            OrderAccepted,
            OrderRejected,
            OrderUnknown,
            OrderRejected,  # off the grid: it never left
        ]
        assert [row["orderLinkId"] for row in server.asked[0].json["request"]] == [
            "c-1",
            "c-2",
            "c-3",
        ]
        assert (gateway.stats.placed, gateway.stats.batches) == (4, 1)

    play(story)


@pytest.mark.parametrize("reply", [10001, 10016, status(502), hang_up, batch(0)])
def test_batch_without_a_readable_answer_leaves_every_order_unknown(reply: object) -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(BATCH, reply)
        gateway.send([place("c-1"), place("c-2")])
        events = await desk.take(2)
        assert [(type(e), e.client_id) for e in events if isinstance(e, OrderUnknown)] == [
            (OrderUnknown, "c-1"),
            (OrderUnknown, "c-2"),
        ]
        assert server.count(BATCH) == 1

    play(story)


def test_duplicate_in_a_batch_is_asked_about() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(BATCH, batch(110072, 0))
        server.answer(OPEN, {"list": [ORDER]})
        server.answer(HISTORY, EMPTY)
        server.answer(EXECUTIONS, EMPTY)
        gateway.send([place("c-1"), place("c-2")])
        events = await desk.take(3)
        assert [type(e) for e in events] == [OrderUnknown, OrderAccepted, OrderUpdate]

    play(story)


def test_key_refused_in_a_batch_alarms() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(BATCH, batch(10005, 0))
        gateway.send([place("c-1"), place("c-2")])
        assert [type(e) for e in await desk.take(2)] == [OrderRejected, OrderAccepted]

    assert [type(e) for e in play(story).fatal] == [CredentialsError]


def test_batches_are_no_larger_than_the_venue_takes() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(BATCH, 10016)
        server.answer(CREATE, {"orderId": "o"})
        gateway.send([place(f"c-{i}") for i in range(21)])
        await desk.take(21)
        assert sorted(len(a.json.get("request", [0])) for a in server.asked) == [1, 10, 10]

    play(story)


def test_cancels_of_one_send_leave_together() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CANCEL_BATCH, batch(0, 110001, 10016))
        server.answer(CANCEL, {"orderId": "o-3"})
        gateway.send([CancelOrder(client_id=f"c-{i}", instrument=0) for i in (1, 2, 3)])
        (event,) = await desk.take()
        assert isinstance(event, CancelRejected)
        assert (event.client_id, event.code) == ("c-2", 110001)
        await until(lambda: gateway.cancels.done)
        assert server.asked[1].json["orderLinkId"] == "c-3"  # unclear: once more, alone now
        assert gateway.repeater.repeats == 1

    play(story)


def test_unclear_cancels_are_told_in_the_end() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CANCEL_BATCH, status(502))
        gateway.send([CancelOrder(client_id=f"c-{i}", instrument=0) for i in (1, 2)])
        assert [type(e) for e in await desk.take(2)] == [CancelRejected] * 2
        assert server.count(CANCEL_BATCH) == 3

    play(story)


def test_no_new_risk_while_rest_is_closed() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        server.answer(CREATE, status(403))
        gateway.send([place("c-1")])
        await desk.take()
        gateway.send([place("c-2"), place("c-3", reduce_only=True)])
        events = await desk.take(3)
        reasons = [e.reason for e in events[1:] if isinstance(e, OrderRejected)]
        assert NO_NEW_RISK in reasons[0]
        assert NO_NEW_RISK not in reasons[1]  # it may go out, but there is no way
        assert server.count(CREATE) == 1

    play(story)


def test_create_that_waited_too_long_is_not_sent() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        release = asyncio.Event()

        async def slow(request: web.Request) -> web.StreamResponse:
            await release.wait()
            return web.json_response({"retCode": 0, "retMsg": "", "result": {"orderId": "o"}})

        server.answer(CREATE, slow)
        gateway.send([place("c-1")])
        await until(lambda: server.asked)
        gateway.send([place("c-2")])
        await asyncio.sleep(ORDER_AGE_S_MAX)  # what the test is about
        release.set()
        first, second = await desk.take(2)
        assert isinstance(first, OrderAccepted)
        assert isinstance(second, OrderRejected)
        assert "no turn in time" in second.reason
        assert server.count(CREATE) == 1

    play(story, requests_in_flight_max=1)


def test_closed_gateway_refuses_stops() -> None:
    async def story(server: ScriptedRest, gateway: RestGateway, desk: Desk) -> None:
        await gateway.close()
        gateway.send([STOPS])
        (event,) = desk.events
        assert isinstance(event, StopsRejected)

    play(story)
