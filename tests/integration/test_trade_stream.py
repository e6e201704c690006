"""Orders by socket against a scripted venue: every answer, none, the wrong one, and every end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson
import pytest
from tests.integration.scripted_exchange import Peer, ScriptedExchange, exchange
from tests.support_bybit import KEY, SECRET
from tests.support_rest import CREDENTIALS, RealClock

from fastbook.bybit.limits import Ask, RateLimits, Way
from fastbook.bybit.signing import sign_ws
from fastbook.errors import ConfigError, CredentialsError, TransportError, VenueError
from fastbook.runtime.bybit.pacer import Pacer
from fastbook.runtime.bybit.trade_stream import TradeStream, TradeStreamConfig

Json = dict[str, Any]  # Any: JSON
BODY = b'{"category":"linear","symbol":"BTCUSDT","orderLinkId":"c-1"}'
NOW_MS = 1_700_000_000_000


@dataclass
class TradeVenue:
    """Takes every key and accepts every order, until a test says otherwise."""

    scripted: ScriptedExchange
    auth_codes: list[int] = field(default_factory=list)
    """Codes of the coming answers to `auth`; then 0."""
    answer: Callable[[Peer, Json], object] = lambda peer, request: accept(peer, request)
    orders: list[Json] = field(default_factory=list)
    pings: int = 0
    pongs: bool = True

    def handle(self, peer: Peer, request: Json) -> bool:
        op = request["op"]
        if op == "ping":
            self.pings += 1
            if self.pongs:
                say(peer, reqId=request["reqId"], retCode=0, op="pong", data=["1"])
        elif op == "auth":
            code = self.auth_codes.pop(0) if self.auth_codes else 0
            if code is not None:
                say(peer, reqId=request["reqId"], retCode=code, retMsg="said", op="auth")
        else:
            self.orders.append(request)
            self.answer(peer, request)
        return True


def say(peer: Peer, **message: object) -> None:
    peer.send(orjson.dumps(message))


def accept(peer: Peer, request: Json, code: int = 0, **more: object) -> None:
    data = {"orderId": "o-1", "orderLinkId": "c-1"} if code == 0 else {}
    header = {"X-Bapi-Limit": "20", "X-Bapi-Limit-Status": "19", "Timenow": str(NOW_MS)}
    reply = {
        "reqId": request["reqId"],
        "retCode": code,
        "retMsg": f"said {code}",
        "op": request["op"],
        "data": data,
        "retExtInfo": {},
        "header": header,
    }
    say(peer, **(reply | more))


def refuse(code: int) -> Callable[[Peer, Json], object]:
    return lambda peer, request: accept(peer, request, code)


def silence(peer: Peer, request: Json) -> None:
    pass


Story = Callable[[TradeVenue, TradeStream], Awaitable[None]]


class Links:
    def __init__(self) -> None:
        self.seen: list[bool] = []
        self._changed = asyncio.Event()

    def __call__(self, up: bool) -> None:
        self.seen.append(up)
        self._changed.set()

    async def until(self, *wanted: bool) -> None:
        while self.seen[: len(wanted)] != list(wanted):
            self._changed.clear()
            await self._changed.wait()


@dataclass
class Ended:
    links: list[bool]
    error: BaseException | None
    stream: TradeStream
    resyncs: int


def play(
    story: Story,
    *,
    wait_for_link: bool = True,
    auth_codes: tuple[int, ...] = (),
    now_ms: Callable[[], int] = lambda: NOW_MS,
    **settings: Any,
) -> Ended:
    """Settings (Any) are those of the stream."""

    async def run() -> Ended:
        links, resyncs = Links(), 0

        async def resync() -> None:
            nonlocal resyncs
            resyncs += 1

        async with asyncio.timeout(15), exchange() as scripted:
            venue = TradeVenue(scripted, list(auth_codes))
            scripted.handle = venue.handle
            config = TradeStreamConfig(
                url=scripted.url.replace("/v5/public/linear", "/v5/trade"),
                **{"backoff_cap_s": 0.02, "close_timeout_s": 0.5} | settings,
            )
            clock = RealClock()
            stream = TradeStream(
                config,
                CREDENTIALS,
                clock,
                Pacer(RateLimits(), clock, Random(1)),
                venue_now_ms=now_ms,
                resync=resync,
                on_link=links,
                rng=Random(1),
            )
            task = asyncio.create_task(stream.run())
            error: BaseException | None = None
            try:
                if wait_for_link:
                    await links.until(True)
                await story(venue, stream)
                if not wait_for_link:
                    await task
            finally:
                stream.stop()
                with suppress(asyncio.CancelledError):
                    try:
                        await task
                    except (CredentialsError, VenueError) as e:
                        error = e
            return Ended(links.seen, error, stream, resyncs)

    return asyncio.run(run())


def test_order_is_stamped_and_answered() -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        assert stream.ready
        answer = await stream.order("order.create", BODY)
        assert answer.result == {"orderId": "o-1", "orderLinkId": "c-1"}
        assert answer.time_ms == NOW_MS
        (sent,) = venue.orders
        assert sent["header"] == {
            "X-BAPI-TIMESTAMP": str(NOW_MS),
            "X-BAPI-RECV-WINDOW": "5000",
        }
        assert sent["args"] == [orjson.loads(BODY)]
        assert len(sent["reqId"]) <= 36
        auth = venue.scripted.peers[0].requests[0]
        expires_ms = NOW_MS + 10_000
        assert auth["args"] == [KEY, expires_ms, sign_ws(SECRET.encode(), expires_ms)]
        assert "reqId" in auth

    ended = play(story)
    assert ended.links == [True, False]
    assert ended.error is None
    assert ended.stream.stats.ends == {"stopped": 1}


def test_answers_find_their_requests_in_any_order() -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        def both(peer: Peer, request: Json) -> None:
            if len(venue.orders) == 2:
                for each in reversed(venue.orders):
                    accept(peer, each, data={"orderId": each["args"][0]["orderLinkId"]})

        venue.answer = both
        first, second = await asyncio.gather(
            stream.order("order.create", b'{"orderLinkId":"a"}'),
            stream.order("order.cancel", b'{"orderLinkId":"b"}'),
        )
        assert (first.result["orderId"], second.result["orderId"]) == ("a", "b")
        assert len({request["reqId"] for request in venue.orders}) == 2

    play(story)


@pytest.mark.parametrize("code", [10001, 110007, 10006, 20006, 10403, 10404, 10429, 20003])
def test_refusal_is_an_error_with_its_code(code: int) -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        venue.answer = refuse(code)
        with pytest.raises(VenueError) as caught:
            await stream.order("order.create", BODY)
        assert caught.value.code == code
        assert len(venue.orders) == 1
        assert stream.up

    play(story)


def test_refused_permission_is_said_as_such() -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        venue.answer = refuse(10005)
        with pytest.raises(CredentialsError):
            await stream.order("order.create", BODY)

    play(story)


def test_lost_answer_is_unknown_and_the_connection_stays() -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        def late(peer: Peer, request: Json) -> None:
            say(peer, op="order.create", retCode=10006, retMsg="whose?")  # without a reqId

        venue.answer = late
        with pytest.raises(TransportError, match="no answer within") as caught:
            await stream.order("order.create", BODY)
        assert caught.value.sent
        assert stream.up
        assert (stream.stats.unanswered, stream.stats.strays) == (1, 1)
        # It comes after all, when nobody waits any more: no harm.
        accept(venue.scripted.peers[0], venue.orders[0])
        venue.answer = accept
        await stream.order("order.create", BODY)
        assert stream.stats.strays == 2

    play(story, reply_timeout_s=0.2)


def test_dead_silence_after_a_request_ends_the_connection() -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        while not stream.stats.pongs:  # noqa: ASYNC110  # of the first ping: not silence yet
            await asyncio.sleep(0.005)
        venue.answer = silence
        with pytest.raises(TransportError) as caught:
            await stream.order("order.create", BODY)
        assert caught.value.sent
        await venue.scripted.until(lambda: len(venue.scripted.peers) == 2)

    assert play(story, reply_timeout_s=0.2).stream.stats.ends["silent"] == 1


@pytest.mark.parametrize("end", ["reset", "end"])
def test_what_is_under_way_when_it_is_cut_is_unknown(end: str) -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        def cut(peer: Peer, request: Json) -> None:
            if len(venue.orders) == 3:
                getattr(peer, end)()

        venue.answer = cut
        ended = await asyncio.gather(
            *(stream.order("order.create", BODY) for _ in range(3)), return_exceptions=True
        )
        assert [(type(e), getattr(e, "sent", None)) for e in ended] == [(TransportError, True)] * 3
        await venue.scripted.until(lambda: len(venue.scripted.peers) == 2)

    ended = play(story)
    assert ended.links[:2] == [True, False]


def test_nothing_is_sent_before_the_key_is_taken() -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        await venue.scripted.until(lambda: bool(venue.scripted.peers))
        with pytest.raises(TransportError, match="not up") as caught:
            await stream.order("order.create", BODY)
        assert not caught.value.sent
        assert venue.orders == []
        stream.stop()

    ended = play(story, wait_for_link=False, auth_codes=(None,))  # type: ignore[arg-type]  # none
    assert ended.links == []


@pytest.mark.parametrize("code", [10016, 10019])
def test_restarting_service_is_left_for_a_new_connection(code: int) -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        venue.answer = refuse(code)
        if code == 10016:
            with pytest.raises(VenueError, match="10016"):
                await stream.order("order.create", BODY)
        else:  # this one was not executed: it may go another way
            with pytest.raises(TransportError, match="restarts") as caught:
                await stream.order("order.create", BODY)
            assert not caught.value.sent
        await venue.scripted.until(lambda: len(venue.scripted.peers) == 2)
        venue.answer = accept
        while not stream.ready:  # noqa: ASYNC110  # the link is told, readiness is not
            await asyncio.sleep(0.005)
        await stream.order("order.create", BODY)

    ended = play(story)
    assert ended.stream.stats.retired == 1
    assert ended.stream.stats.ends["retired"] == 1


def test_retiring_connection_waits_for_the_answers_under_way() -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        def answer(peer: Peer, request: Json) -> None:
            if len(venue.orders) == 2:
                accept(peer, venue.orders[1], 10019)
                asyncio.get_running_loop().call_later(0.05, accept, peer, venue.orders[0])

        venue.answer = answer
        first, second = await asyncio.gather(
            stream.order("order.create", BODY),
            stream.order("order.cancel", BODY),
            return_exceptions=True,
        )
        assert not isinstance(first, BaseException)
        assert isinstance(second, TransportError)
        with pytest.raises(TransportError, match="not up"):
            await stream.order("order.create", BODY)

    assert play(story).stream.stats.ends["retired"] == 1


def test_stamp_outside_the_window_is_measured_and_sent_again_once() -> None:
    stamps = iter([NOW_MS, NOW_MS + 1, NOW_MS + 2, *range(NOW_MS + 10, NOW_MS + 99)])

    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        def once(peer: Peer, request: Json) -> None:
            accept(peer, request, 10002 if len(venue.orders) == 1 else 0)

        venue.answer = once
        await stream.order("order.create", BODY)
        first, second = venue.orders
        assert first["args"] == second["args"]
        assert first["reqId"] != second["reqId"]
        assert first["header"] != second["header"]

    ended = play(story, now_ms=lambda: next(stamps))
    assert (ended.resyncs, ended.stream.stats.resigned) == (1, 1)


def test_stamp_refused_twice_is_a_refusal() -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        venue.answer = refuse(10002)
        with pytest.raises(VenueError) as caught:
            await stream.order("order.create", BODY)
        assert caught.value.code == 10002
        assert len(venue.orders) == 2

    play(story)


def test_limits_are_learnt_from_the_header() -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        await stream.order("order.create", BODY)
        limits = stream._pacer.limits
        assert limits.limit("/v5/order/create") == 20
        venue.answer = refuse(20003)
        with pytest.raises(VenueError):
            await stream.order("order.create", BODY)
        now_ns = RealClock().monotonic_ns()
        assert limits.wait_ns(now_ns, Ask("/v5/order/create", Way.SOCKET)) > 0

    play(story)


def test_full_house_sends_no_more() -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        venue.answer = silence
        waits = asyncio.create_task(stream.order("order.create", BODY))
        await venue.scripted.until(lambda: len(venue.orders) == 1)
        with pytest.raises(TransportError, match="not up") as caught:
            await stream.order("order.create", BODY)
        assert not caught.value.sent
        accept(venue.scripted.peers[0], venue.orders[0])
        await waits
        assert stream.ready

    play(story, in_flight_max=1)


def test_refused_key_ends_the_stream() -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        pass

    with pytest.raises(CredentialsError, match="10004"):
        play(story, wait_for_link=False, auth_codes=(10004,))


def test_key_that_was_taken_before_is_tried_again_a_few_times() -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        venue.auth_codes = [10003, 10003, 10003]
        venue.scripted.peers[0].reset()
        await venue.scripted.until(lambda: len(venue.scripted.peers) == 4)
        while stream.stats.refusals < 3:  # noqa: ASYNC110  # a counter has no event
            await asyncio.sleep(0.005)

    ended = play(story)
    assert isinstance(ended.error, CredentialsError)


def test_repeated_auth_is_no_refusal() -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        await stream.order("order.create", BODY)

    play(story, auth_codes=(20001,))


def test_restart_while_authenticating_is_the_venues_trouble() -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        assert len(venue.scripted.peers) == 2

    assert play(story, auth_codes=(10016,)).stream.stats.ends["auth"] == 1


def test_pings_keep_it_up_and_their_loss_ends_it() -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        await venue.scripted.until(lambda: venue.pings >= 2)
        assert stream.stats.pongs >= 1
        venue.pongs = False
        await venue.scripted.until(lambda: len(venue.scripted.peers) == 2)

    ended = play(story, ping_interval_s=0.05, pong_timeout_s=0.1)
    assert ended.stream.stats.ends["silent"] == 1


@pytest.mark.parametrize("junk", [b"[]", b"{", b'{"op":"order.create"}', b'{"retCode":"0"}'])
def test_junk_is_counted(junk: bytes) -> None:
    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        venue.scripted.peers[0].send(junk)
        while not (stream.stats.strays or stream.stats.malformed):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.005)

    play(story)


def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def story(venue: TradeVenue, stream: TradeStream) -> None:
        await stream.order("order.create", BODY)
        venue.scripted.peers[0].reset()
        await venue.scripted.until(lambda: len(venue.scripted.peers) == 2)

    play(story)
    for secret in (SECRET, KEY, sign_ws(SECRET.encode(), NOW_MS + 10_000)):
        assert secret not in caplog.text


def test_configuration_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"url must start.*; reply_timeout_s must"):
        TradeStreamConfig(url="http://x", reply_timeout_s=0)
