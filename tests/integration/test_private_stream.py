"""The private stream against a scripted server: key, subscription, events, and every bad end."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import orjson
import pytest
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server
from tests.support_bybit import KEY, LINEAR, SECRET
from tests.support_rest import CREDENTIALS, RealClock

from fastbook.bybit.private import PrivateDecoder
from fastbook.bybit.signing import sign_ws
from fastbook.errors import ConfigError, CredentialsError, VenueError
from fastbook.runtime.bybit.private import PrivateStream, PrivateStreamConfig
from fastbook.types import Category, Execution, OrderEvent, OrderUpdate

EXECUTION = {
    "category": "linear",
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
}
ORDER = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "orderId": "o-1",
    "orderLinkId": "c-1",
    "orderStatus": "New",
    "price": "69000.1",
    "qty": "0.001",
    "cumExecQty": "0",
    "updatedTime": "1",
}


def data(topic: str, *rows: object) -> bytes:
    return orjson.dumps({"id": "i", "topic": topic, "creationTime": 1, "data": rows})


class Peer(WSListener):
    """One accepted connection. Answers as the venue does unless the script says otherwise."""

    def __init__(self, venue: ScriptedVenue) -> None:
        self.venue = venue
        self.said: list[dict[str, Any]] = []  # Any: JSON
        self.closes: list[WSCloseCode] = []
        self.pongs: list[bytes] = []

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.venue.peers.append(self)
        self.venue.changed()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.venue.changed()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.closes.append(frame.get_close_code())
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.PONG:
            self.pongs.append(frame.get_payload_as_bytes())
        else:
            request = orjson.loads(frame.get_payload_as_bytes())
            self.said.append(request)
            self.venue.answer(self, request)
        self.venue.changed()

    def send(self, payload: bytes, opcode: WSMsgType = WSMsgType.TEXT, *, fin: bool = True) -> None:
        self.transport.send(opcode, payload, fin=fin)

    def ops(self) -> list[str]:
        return [r["op"] for r in self.said]


class ScriptedVenue:
    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.replies: dict[str, Callable[[Peer, dict[str, Any]], None]] = {}
        self.url = ""
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it holds; looks again after each thing that happened."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def answer(self, peer: Peer, request: dict[str, Any]) -> None:
        op = request["op"]
        if op in self.replies:
            self.replies[op](peer, request)
        elif op == "ping":
            peer.send(orjson.dumps({"op": "pong", "args": ["1"], "req_id": request["req_id"]}))
        else:
            peer.send(orjson.dumps({"success": True, "ret_msg": "", "op": op, "conn_id": "x"}))

    @property
    def last(self) -> Peer:
        return self.peers[-1]


class Heard:
    """What the stream told the application."""

    def __init__(self, venue: ScriptedVenue) -> None:
        self.venue = venue
        self.events: list[OrderEvent] = []
        self.links: list[bool] = []
        self.stamps: list[int] = []

    def on_events(self, events: list[OrderEvent], recv_ns: int) -> None:
        self.events += events
        self.stamps.append(recv_ns)
        self.venue.changed()

    def on_link(self, up: bool) -> None:
        self.links.append(up)
        self.venue.changed()


Story = Callable[[ScriptedVenue, Heard, PrivateStream], Coroutine[None, None, None]]


def play(story: Story, **settings: Any) -> None:  # Any: passed on to the configuration
    async def scenario() -> None:
        venue = ScriptedVenue()
        server = await ws_create_server(lambda _: Peer(venue), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(10), served(server, venue):
            heard = Heard(venue)
            config = PrivateStreamConfig(
                url=f"ws://127.0.0.1:{port}/v5/private",
                **{"backoff_cap_s": 0.01, "stable_after_s": 0.001} | settings,
            )
            stream = PrivateStream(
                config,
                CREDENTIALS,
                PrivateDecoder([LINEAR], Category.LINEAR),
                heard.on_events,
                heard.on_link,
                RealClock(),
                venue_now_ms=lambda: 1_699_999_999_000 + 1_000,
                rng=Random(7),
            )
            task = asyncio.create_task(stream.run())
            telling = asyncio.create_task(story(venue, heard, stream))
            done, _ = await asyncio.wait({task, telling}, return_when=asyncio.FIRST_COMPLETED)
            if telling not in done:
                await asyncio.wait({telling}, timeout=0.05)
                telling.cancel()
                with suppress(asyncio.CancelledError):
                    await telling
                await task  # raises why it ended
                pytest.fail("the stream ended before the story")
            await telling
            stream.stop()
            await task

    asyncio.run(scenario())


@asynccontextmanager
async def served(server: asyncio.Server, venue: ScriptedVenue) -> AsyncIterator[None]:
    """Closes the server's connections too: it would wait for them for ever."""
    try:
        yield
    finally:
        server.close()
        for peer in venue.peers:
            peer.transport.disconnect(graceful=False)


async def live(venue: ScriptedVenue, heard: Heard, times: int = 1) -> Peer:
    await venue.until(lambda: heard.links.count(True) == times)
    return venue.last


def test_authenticates_then_subscribes_then_says_that_it_is_up() -> None:
    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        peer = await live(venue, heard)
        await venue.until(lambda: "ping" in peer.ops())
        auth, subscribe = (r for r in peer.said if r["op"] != "ping")
        assert auth["args"] == [KEY, 1700000010000, sign_ws(SECRET.encode(), 1700000010000)]
        assert subscribe["args"] == ["order", "execution", "position", "wallet"]
        assert heard.links == [True]
        assert stream.up

    play(story)


def test_nothing_is_subscribed_before_the_venue_took_the_key() -> None:
    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        waiting: list[Peer] = []
        venue.replies["auth"] = lambda peer, _: waiting.append(peer)
        await venue.until(lambda: waiting and "ping" in waiting[0].ops())
        assert "subscribe" not in waiting[0].ops()
        assert not stream.up
        waiting[0].send(b'{"success":true,"ret_msg":"","op":"auth"}')
        await live(venue, heard)

    play(story)


def test_events_arrive_in_order_with_a_stamp() -> None:
    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        peer = await live(venue, heard)
        peer.send(data("order", ORDER))
        peer.send(data("execution", EXECUTION, {**EXECUTION, "execId": "e-2"}))
        await venue.until(lambda: len(heard.events) == 3)
        assert [type(e) for e in heard.events] == [OrderUpdate, Execution, Execution]
        assert min(heard.stamps) > 1_600_000_000 * 10**9

    play(story)


def test_data_before_the_ack_is_not_lost() -> None:
    def early(peer: Peer, request: dict[str, Any]) -> None:
        peer.send(data("order", ORDER))
        peer.send(b'{"success":true,"ret_msg":"","op":"subscribe"}')

    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        venue.replies["subscribe"] = early
        await live(venue, heard)
        assert len(heard.events) == 1

    play(story)


def test_fragments_with_a_ping_between_are_joined() -> None:
    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        peer = await live(venue, heard)
        message = data("order", ORDER)
        peer.send(message[:7], fin=False)
        peer.send(b"are you there", WSMsgType.PING)
        peer.send(message[7:20], WSMsgType.CONTINUATION, fin=False)
        peer.send(message[20:], WSMsgType.CONTINUATION)
        await venue.until(lambda: heard.events and peer.pongs)
        assert peer.pongs == [b"are you there"]

    play(story)


@pytest.mark.parametrize(
    "reply",
    [
        b'{"success":false,"ret_msg":"Params Error","op":"auth","conn_id":"x"}',
        b'{"op":"auth","success":false,"retCode":10003,"retMsg":"Invalid apikey"}',
        b'{"reqId":"a","retCode":10004,"retMsg":"error sign!","op":"auth","connId":"x"}',
    ],
)
def test_refused_key_is_fatal_and_not_tried_again(reply: bytes) -> None:
    peers = Counter[str]()

    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        def refuse(peer: Peer, request: dict[str, Any]) -> None:
            peers["asked"] += 1
            peer.send(reply)

        venue.replies["auth"] = refuse
        await venue.until(lambda: False)

    with pytest.raises(CredentialsError, match="refused") as caught:
        play(story)
    assert peers["asked"] == 1
    assert KEY not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_trouble_of_the_venue_with_auth_is_tried_again() -> None:
    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        def busy(peer: Peer, request: dict[str, Any]) -> None:
            del venue.replies["auth"]
            peer.send(b'{"op":"auth","success":false,"retCode":10016,"retMsg":"restarting"}')

        venue.replies["auth"] = busy
        await live(venue, heard)
        assert len(venue.peers) == 2

    play(story)


def test_lost_auth_answer_is_not_waited_for_for_ever() -> None:
    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        def silent(peer: Peer, request: dict[str, Any]) -> None:
            del venue.replies["auth"]

        venue.replies["auth"] = silent
        await live(venue, heard)
        assert stream.stats.ends["unanswered"] == 1

    play(story, answer_timeout_s=0.05)


def test_subscription_refused_again_and_again_is_told() -> None:
    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        venue.replies["subscribe"] = lambda peer, _: peer.send(
            b'{"success":false,"ret_msg":"error:handler not found","op":"subscribe"}'
        )
        await venue.until(lambda: False)

    with pytest.raises(VenueError, match="handler not found"):
        play(story)


def cut(peer: Peer) -> None:
    peer.transport.disconnect(graceful=False)


def close_frame(peer: Peer) -> None:
    peer.transport.send_close(WSCloseCode.SERVICE_RESTART)


def continuation_of_nothing(peer: Peer) -> None:
    peer.send(b"x", WSMsgType.CONTINUATION)


def message_inside_message(peer: Peer) -> None:
    peer.send(b"{", fin=False)
    peer.send(b"{}")


def endless(peer: Peer) -> None:
    peer.send(b"[", fin=False)
    for _ in range(1100):
        peer.send(b" ", WSMsgType.CONTINUATION, fin=False)


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (cut, "cut"),
        (close_frame, "closed"),
        (continuation_of_nothing, "protocol"),
        (message_inside_message, "protocol"),
        (endless, "protocol"),
        (lambda peer: peer.send(b"\xff\xfe"), "malformed"),
        (lambda peer: peer.send(b"{"), "malformed"),
        (lambda peer: peer.send(b'{"topic":"order","data":1}'), "malformed"),
        (lambda peer: peer.send(b"x" * (1 << 20) + b"yz"), "protocol"),
    ],
    ids=range(9),
)
def test_every_end_leads_to_a_new_link(end: Callable[[Peer], None], kind: str) -> None:
    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        end(await live(venue, heard))
        peer = await live(venue, heard, times=2)
        assert heard.links == [True, False, True]
        assert stream.stats.ends[kind] == 1, stream.stats.ends
        peer.send(data("order", ORDER))
        await venue.until(lambda: heard.events)

    play(story)


def test_close_is_answered() -> None:
    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        first = await live(venue, heard)
        close_frame(first)
        await live(venue, heard, times=2)
        await venue.until(lambda: first.closes)
        assert first.closes == [WSCloseCode.SERVICE_RESTART]

    play(story)


def test_silent_peer_is_given_up() -> None:
    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        venue.replies["ping"] = lambda peer, _: None
        await live(venue, heard, times=2)
        assert stream.stats.ends["silent"] == 1

    play(story, ping_interval_s=0.05, pong_timeout_s=0.05)


def test_pings_go_on() -> None:
    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        peer = await live(venue, heard)
        await venue.until(lambda: peer.ops().count("ping") >= 3)
        assert heard.links == [True]
        assert stream.stats.pongs >= 1

    play(story, ping_interval_s=0.05, pong_timeout_s=5.0)


def test_error_of_the_application_is_not_swallowed() -> None:
    class Boom(Exception):
        pass

    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        def explode(events: list[OrderEvent], recv_ns: int) -> None:
            raise Boom

        stream._context.on_events = explode
        peer = await live(venue, heard)
        peer.send(data("order", ORDER))
        await venue.until(lambda: False)

    with pytest.raises(Boom):
        play(story)


def test_attempts_have_a_budget() -> None:
    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        def hang_up(peer: Peer, request: dict[str, Any]) -> None:
            cut(peer)

        venue.replies["auth"] = hang_up
        await venue.until(lambda: len(venue.peers) == 5)
        await asyncio.sleep(0.2)  # long enough for dozens at this backoff
        assert len(venue.peers) == 5
        assert stream.stats.attempts == 5

    play(story, attempts_per_5min=5)


def test_redirect_is_not_followed() -> None:
    async def scenario() -> None:
        thief, asked = ScriptedVenue(), asyncio.Event()
        elsewhere = await ws_create_server(lambda _: Peer(thief), "127.0.0.1", 0)
        port = elsewhere.sockets[0].getsockname()[1]

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            location = f"Location: ws://127.0.0.1:{port}/v5/private\r\n"
            head = f"HTTP/1.1 307 Temporary Redirect\r\n{location}Content-Length: 0\r\n\r\n"
            writer.write(head.encode())
            await writer.drain()
            writer.close()
            asked.set()

        server = await asyncio.start_server(redirect, "127.0.0.1", 0)
        heard = Heard(thief)
        stream = PrivateStream(
            PrivateStreamConfig(
                url=f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", attempts_per_5min=1
            ),
            CREDENTIALS,
            PrivateDecoder([LINEAR], Category.LINEAR),
            heard.on_events,
            heard.on_link,
            RealClock(),
        )
        async with asyncio.timeout(10), served(elsewhere, thief), server:
            running = asyncio.create_task(stream.run())
            await asked.wait()
            while not stream.stats.ends:  # noqa: ASYNC110  # a counter has no event
                await asyncio.sleep(0.005)
            stream.stop()
            await running
        assert stream.stats.ends["connect"] == 1
        assert thief.peers == []

    asyncio.run(scenario())


def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    signature = sign_ws(SECRET.encode(), 1700000010000)

    async def story(venue: ScriptedVenue, heard: Heard, stream: PrivateStream) -> None:
        cut(await live(venue, heard))
        await live(venue, heard, times=2)

    play(story)
    assert caplog.text
    for secret in (SECRET, KEY, signature):
        assert secret not in caplog.text


def test_configuration_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"url must start.*; ping_interval_s.*; topics must"):
        PrivateStreamConfig(url="http://x", topics=(), ping_interval_s=float("nan"))
