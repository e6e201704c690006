"""The REST client against a scripted server: what it sends, and what it makes of bad answers."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from tests.support_bybit import KEY, SECRET
from tests.support_rest import ScriptedRest, client, raw, scripted_rest, status

from fastbook.bybit.limits import Ask
from fastbook.bybit.signing import sign_rest
from fastbook.clock import ManualClock
from fastbook.errors import CredentialsError, FastbookError, TransportError, VenueError
from fastbook.runtime.bybit.http import BODY_BYTES_MAX
from fastbook.runtime.bybit.rest import RestClient
from fastbook.runtime.bybit.rest_call import READ_ATTEMPTS
from fastbook.types import Category

CREATE = "/v5/order/create"
WALLET, TIME, OPEN = "/v5/account/wallet-balance", "/v5/market/time", "/v5/order/realtime"
EXECUTIONS = "/v5/execution/list"
Story = Callable[[ScriptedRest, RestClient], Awaitable[None]]


def play(story: Story, **options: Any) -> None:  # Any: passed on to the client
    async def run() -> None:
        async with (
            asyncio.timeout(15),
            scripted_rest() as server,
            client(server.url, **options) as rest,
        ):
            await story(server, rest)

    asyncio.run(run())


def test_get_is_signed_over_the_query_as_sent() -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(OPEN, {"list": [], "nextPageCursor": ""})
        await rest.open_orders(Category.LINEAR, symbol="BTCUSDT", client_id="a b")
        (asked,) = server.asked
        assert asked.query == (
            "category=linear&symbol=BTCUSDT&orderLinkId=a%20b&openOnly=0&limit=50"
        )
        assert asked.body == b""
        ts_ms = int(asked.headers["x-bapi-timestamp"])
        assert abs(ts_ms - time.time_ns() // 1_000_000) < 10_000
        assert asked.headers["x-bapi-api-key"] == KEY
        assert asked.headers["x-bapi-recv-window"] == "5000"
        assert asked.headers["x-bapi-sign"] == sign_rest(
            SECRET.encode(), ts_ms, KEY, 5000, asked.query.encode()
        )

    play(story)


def test_post_is_signed_over_the_body_as_sent() -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(CREATE, {"orderId": "o-1", "orderLinkId": "c-1"})
        body = b'{"category":"linear"}'
        answer = await rest.order("order.create", body)
        assert answer.result["orderId"] == "o-1"
        assert answer.time_ms == 1_700_000_000_000
        (asked,) = server.asked
        assert asked.body == body
        assert asked.headers["content-type"] == "application/json"
        ts_ms = int(asked.headers["x-bapi-timestamp"])
        assert asked.headers["x-bapi-sign"] == sign_rest(SECRET.encode(), ts_ms, KEY, 5000, body)

    play(story)


def test_public_calls_carry_no_key() -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(TIME, {"timeNano": "1700000000000000000"})
        assert await rest.server_time() == 1_700_000_000_000_000_000
        assert not [h for h in server.asked[0].headers if h.startswith("x-bapi")]

    play(story)


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_redirect_is_not_followed_and_the_key_stays_here(code: int) -> None:
    async def run() -> None:
        async with asyncio.timeout(15), scripted_rest() as thief, scripted_rest() as server:
            thief.answer(WALLET, {"list": []})
            thief.answer(CREATE, {})
            for path in (WALLET, CREATE):
                server.answer(path, status(code, Location=thief.url + path))
            async with client(server.url) as rest:
                with pytest.raises(TransportError, match=f"HTTP {code}"):
                    await rest.order("order.create", b"{}")
                with pytest.raises(TransportError, match=f"HTTP {code}"):
                    await rest.wallet()
            assert server.count(CREATE) == 1
            assert thief.asked == []

    asyncio.run(run())


def test_proxy_of_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(WALLET, {"list": []})
        assert await rest.wallet() == []

    play(story)


def test_cookies_are_not_kept() -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(WALLET, status(502, **{"Set-Cookie": "a=b"}), {"list": []})
        await rest.wallet()
        assert "cookie" not in server.asked[1].headers

    play(story)


def too_long() -> Any:  # Any: a handler
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(BODY_BYTES_MAX // 65536 + 16):
                await response.write(b"x" * 65536)
        except ConnectionError:
            pass  # it had enough
        return response

    return handler


def truncated() -> Any:  # Any: a handler
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"retCode":0,')
        assert request.transport is not None
        request.transport.close()
        return response

    return handler


DEEP = b'{"retCode":0,"result":' + b"[" * 70 + b"]" * 70 + b"}"


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (status(502), "HTTP 502"),
        (status(429), "HTTP 429"),
        (status(200), "not an envelope"),
        (raw(b'{"retCode":"0"}'), "not an envelope"),
        (raw(b'{"retCode":true}'), "not an envelope"),
        (raw(b"[]"), "not an envelope"),
        (raw(b""), "not an envelope"),
        (raw(b'{"retCode":0,"retMsg":"\xff"}'), "not an envelope"),
        (raw(DEEP), "not an envelope"),
        (raw(b"x", **{"Content-Encoding": "gzip"}), "compressed"),
        (too_long(), "more than"),
        (truncated(), "POST /v5/order/create"),
    ],
    ids=range(12),
)
def test_bad_answer_to_a_post_is_no_verdict_and_it_is_not_repeated(
    reply: object, complaint: str
) -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(CREATE, reply)
        with pytest.raises(TransportError, match=complaint) as caught:
            await rest.order("order.create", b"{}")
        assert caught.value.sent
        assert server.count(CREATE) == 1

    play(story)


def test_slow_answer_times_out() -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:  # a byte now and then keeps the socket busy, not the deadline
            await response.write(b" ")
            await asyncio.sleep(0.05)

    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(CREATE, hang)
        with pytest.raises(TransportError, match=r"(?i)time") as caught:
            await rest.order("order.create", b"{}")
        assert caught.value.sent

    play(story, timeout_s=0.4)


def test_nobody_there_is_proof_that_nothing_was_sent() -> None:
    async def run() -> None:
        async with scripted_rest() as server:
            url = server.url
        async with asyncio.timeout(10), client(url) as rest:
            with pytest.raises(TransportError) as caught:
                await rest.order("order.create", b"{}")
            assert not caught.value.sent

    asyncio.run(run())


def test_tls_is_not_given_up() -> None:
    async def run() -> None:
        async with asyncio.timeout(10), scripted_rest() as server:
            async with client(server.url.replace("http:", "https:")) as rest:
                with pytest.raises(TransportError) as caught:
                    await rest.order("order.create", b"{}")
            assert not caught.value.sent
            assert server.asked == []

    asyncio.run(run())


def test_reads_are_repeated_and_bounded() -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(WALLET, status(502), 10016, {"list": [{"coin": []}]})
        assert await rest.wallet() == [{"coin": []}]
        assert rest.counters()["retries"] == 2
        server.answer(OPEN, status(503))
        with pytest.raises(TransportError, match="HTTP 503"):
            await rest.open_orders(Category.LINEAR, settle="USDT")
        assert server.count(OPEN) == READ_ATTEMPTS

    play(story)


def test_definite_refusal_of_a_read_is_not_repeated() -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(WALLET, 10001)
        with pytest.raises(VenueError, match="10001 said 10001"):
            await rest.wallet()
        assert server.count(WALLET) == 1

    play(story)


@pytest.mark.parametrize("reply", [10003, 10004, 10005, 10010, 33004, status(401)])
def test_refused_key_is_fatal(reply: object) -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(WALLET, reply)
        with pytest.raises(CredentialsError) as caught:
            await rest.wallet()
        assert caught.value.code in (reply, 401)
        assert KEY not in str(caught.value)
        assert server.count(WALLET) == 1

    play(story)


def test_no_key_no_signed_call() -> None:
    async def run() -> None:
        async with asyncio.timeout(10), scripted_rest() as server:
            async with RestClient(server.url, None, ManualClock()) as rest:
                with pytest.raises(CredentialsError, match="FASTBOOK_API_KEY"):
                    await rest.wallet()
            assert server.asked == []

    asyncio.run(run())


def test_http_403_silences_everything_for_ten_minutes() -> None:
    clock = ManualClock()

    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(WALLET, status(403), {"list": []})
        with pytest.raises(TransportError, match="HTTP 403"):
            await rest.wallet()
        for _ in range(3):
            with pytest.raises(TransportError, match="silent") as caught:
                await rest.order("order.create", b"{}")
            assert not caught.value.sent
        assert len(server.asked) == 1
        assert rest.blocked_s == 600
        clock.advance(600 * 10**9)
        assert await rest.wallet() == []

    play(story, clock=clock)


def test_clock_of_the_venue_is_followed_not_ours() -> None:
    clock = ManualClock()
    venue_ns = clock.now_ns() + 3_600 * 10**9

    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(TIME, {"timeNano": str(venue_ns)})
        server.answer(WALLET, {"list": []})
        await rest.sync_time()
        assert rest.venue_time.ahead_ms == 3_600_000
        clock.jump(1)  # somebody sets this machine's clock: no matter
        clock.advance(5_000_000)
        await rest.wallet()
        assert server.asked[-1].headers["x-bapi-timestamp"] == str(venue_ns // 10**6 + 5)

    play(story, clock=clock)


def test_timestamp_outside_the_window_is_measured_and_signed_again_once() -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(TIME, {"timeNano": str(time.time_ns() + 9 * 10**9)})
        server.answer(CREATE, 10002, {"orderId": "o-1"})
        body = b'{"orderLinkId":"c-1"}'
        answer = await rest.order("order.create", body)
        assert answer.result == {"orderId": "o-1"}
        first, second = (a for a in server.asked if a.path == CREATE)
        assert first.body == second.body == body
        moved_ms = int(second.headers["x-bapi-timestamp"]) - int(first.headers["x-bapi-timestamp"])
        assert moved_ms > 8_000
        assert first.headers["x-bapi-sign"] != second.headers["x-bapi-sign"]
        assert rest.counters()["resigned"] == 1

    play(story)


def test_timestamp_refused_twice_is_a_refusal() -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(TIME, {"timeNano": str(time.time_ns())})
        server.answer(CREATE, 10002)
        with pytest.raises(VenueError) as caught:
            await rest.order("order.create", b"{}")
        assert caught.value.code == 10002
        assert server.count(CREATE) == 2

    play(story)


def test_clock_that_cannot_be_measured_leaves_a_refusal_a_refusal() -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(TIME, status(502))
        server.answer(CREATE, 10002)
        with pytest.raises(TransportError) as caught:
            await rest.order("order.create", b"{}")
        assert not caught.value.sent
        assert server.count(CREATE) == 1

    play(story)


def test_pages_are_followed_with_the_cursor_as_it_came() -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        path = "/v5/market/instruments-info"
        first = {"list": [{"symbol": "A"}], "nextPageCursor": "first%3D1%26x"}
        server.answer(path, first, {"list": [{"symbol": "B"}], "nextPageCursor": ""})
        assert await rest.instruments(Category.LINEAR) == [{"symbol": "A"}, {"symbol": "B"}]
        assert server.asked[0].query == "category=linear&limit=1000"
        assert server.asked[1].query == "category=linear&limit=1000&cursor=first%3D1%26x"

    play(story)


@pytest.mark.parametrize("cursor", ["same", "a&category=spot", "a b", 5])
def test_list_that_never_ends_is_no_list(cursor: object) -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(OPEN, {"list": [{}], "nextPageCursor": cursor})
        with pytest.raises(TransportError, match=r"page|Cursor"):
            await rest.open_orders(Category.LINEAR, settle="USDT")
        assert server.count(OPEN) <= 2

    play(story)


@pytest.mark.parametrize("result", [{}, {"list": None}, {"list": [1]}, []])
def test_answer_without_a_list_is_no_empty_list(result: object) -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(OPEN, result)
        with pytest.raises(TransportError, match="no list"):
            await rest.open_orders(Category.LINEAR, settle="USDT")

    play(story)


def test_executions_overlap_come_once_and_oldest_first() -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(
            EXECUTIONS,
            {"list": [{"execId": "3"}, {"execId": "2"}], "nextPageCursor": "c"},
            {"list": [{"execId": "2"}, {"execId": "1"}], "nextPageCursor": ""},
        )
        page = await rest.executions(Category.LINEAR, since_ms=1_700_000_050_000)
        assert [row["execId"] for row in page.rows] == ["1", "2", "3"]
        assert "startTime=1700000040000" in server.asked[0].query

    play(story)


CANCEL_ALL = "/v5/order/cancel-all"
STOP = {"orderId": "s", "stopOrderType": "StopLoss"}


def test_cancel_all_goes_on_until_nothing_is_open() -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(CANCEL_ALL, {"list": [], "success": "1"})
        left = [{"orderId": "o"}, {"orderId": "p", "stopOrderType": "Stop"}]
        server.answer(OPEN, {"list": left}, {"list": [*left[1:], STOP]}, {"list": [STOP]})
        await rest.cancel_all(Category.LINEAR, ["USDT"])
        assert server.count(CANCEL_ALL) == 4
        # A stop that protects a position is neither asked to end nor waited for.
        assert [a.json for a in server.asked[:2]] == [
            {"category": "linear", "settleCoin": "USDT", "orderFilter": "Order"},
            {
                "category": "linear",
                "settleCoin": "USDT",
                "orderFilter": "StopOrder",
                "stopOrderType": "Stop",
            },
        ]

    play(story)


def test_cancel_all_of_spot_means_every_kind() -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(CANCEL_ALL, {"list": [], "success": "1"})
        server.answer(OPEN, {"list": []})
        await rest.cancel_all(Category.SPOT, ["USDT"])
        kinds = ["Order", "StopOrder", "tpslOrder", "OcoOrder", "BidirectionalTpslOrder"]
        assert [a.json.get("orderFilter") for a in server.asked if a.path == CANCEL_ALL] == kinds
        assert all("settleCoin" not in a.json for a in server.asked if a.path == CANCEL_ALL)
        asked = [a.query for a in server.asked if a.path == OPEN]
        assert [kind for kind in kinds if any(f"={kind}" in query for query in asked)] == kinds

    play(story)


def test_cancel_all_of_thousands_goes_on_as_long_as_it_gets_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fastbook.runtime.bybit.rest.CANCEL_WAIT_S", 0)

    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(CANCEL_ALL, {"list": [], "success": "1"})
        counts = [*range(30, 0, -1), 0]
        pages = [{"list": [{"orderId": str(i)} for i in range(n)]} for n in counts]
        server.answer(OPEN, *(page for page in pages for _ in range(2)))
        await rest.cancel_all(Category.LINEAR, ["USDT"])
        assert server.count(OPEN) == 62

    play(story)


def test_cancel_all_that_gets_nowhere_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastbook.runtime.bybit.rest.CANCEL_WAIT_S", 0)
    monkeypatch.setattr("fastbook.runtime.bybit.rest.CANCEL_ROUNDS_MAX", 3)

    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(CANCEL_ALL, {"list": [], "success": "1"})
        server.answer(OPEN, {"list": [{"orderId": "o"}]})
        with pytest.raises(VenueError, match="1 orders are still open"):
            await rest.cancel_all(Category.LINEAR, ["USDT"])
        assert server.count(CANCEL_ALL) == 8

    play(story)


def test_open_orders_of_every_kind_come_once_each() -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(OPEN, {"list": [{"orderId": "a"}, STOP]}, {"list": [STOP, {"orderId": "b"}]})
        rows = await rest.all_open_orders(Category.LINEAR, ["USDT"])
        assert [row["orderId"] for row in rows] == ["a", "s", "b"]
        assert [a.query.count("orderFilter=StopOrder") for a in server.asked] == [0, 1]

    play(story)


def test_rate_limit_is_remembered_and_pauses_that_path() -> None:
    async def limited(request: web.Request) -> web.StreamResponse:
        reset_ms = time.time_ns() // 1_000_000 + 400
        headers = {
            "X-Bapi-Limit": "10",
            "X-Bapi-Limit-Status": "0",
            "X-Bapi-Limit-Reset-Timestamp": str(reset_ms),
        }
        return web.json_response({"retCode": 10006, "retMsg": "slow down"}, headers=headers)

    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(CREATE, limited)
        with pytest.raises(VenueError):
            await rest.order("order.create", b"{}")
        limits, now_ns = rest.pacer.limits, time.monotonic_ns()
        assert limits.limit(CREATE) == 10
        assert 0.1e9 < limits.wait_ns(now_ns, Ask(CREATE)) <= 1.1e9
        assert limits.wait_ns(now_ns, Ask(OPEN)) == 0
        sent_by_ns = now_ns + 50_000_000
        with pytest.raises(TransportError, match="no turn in time") as caught:
            await rest.order("order.create", b"{}", not_after_ns=sent_by_ns)
        assert caught.value.sent is False
        assert server.count(CREATE) == 1

    play(story)


def test_nothing_secret_is_logged_or_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []

    async def story(server: ScriptedRest, rest: RestClient) -> None:
        server.answer(CREATE, 10004, status(502), status(401), truncated())
        for _ in range(4):
            with pytest.raises(FastbookError) as caught:
                await rest.order("order.create", b"{}")
            said.append("".join(traceback.format_exception(caught.value)))
        signatures = [a.headers["x-bapi-sign"] for a in server.asked]
        for secret in (SECRET, KEY, *signatures):
            assert secret not in caplog.text
            assert not [text for text in said if secret in text]

    play(story)
    assert len(said) == 4


def test_words_of_the_venue_are_made_harmless() -> None:
    async def story(server: ScriptedRest, rest: RestClient) -> None:

        server.answer(
            WALLET, raw(b'{"retCode":10001,"retMsg":"no\\r\\n\\u001b[2J' + b"x" * 999 + b'"}')
        )
        with pytest.raises(VenueError) as caught:
            await rest.wallet()
        assert caught.value.message.startswith("no???[2Jx")
        assert len(caught.value.message) == 200

    play(story)
