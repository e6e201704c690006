"""The public feed against a scripted exchange on loopback: every fault, both listeners, both loops."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from picows import WSMsgType
from tests.integration.feed_harness import BTC, ETH, SOL, TRADES, Setup, running
from tests.integration.scripted_exchange import (
    Peer,
    delta,
    exchange,
    snapshot,
    wire,
)

from fastbook.core.states import BookState
from fastbook.runtime.bybit.listener import NOT_COMPILED, Listener
from fastbook.runtime.bybit.listener_py import PythonListener
from fastbook.runtime.bybit.subscriptions import TopicState

TRADE = orjson.dumps(
    {
        "topic": TRADES,
        "type": "snapshot",
        "ts": 1,
        "data": [{"T": 1, "s": "BTCUSDT", "S": "Buy", "v": "1", "p": "100.5", "i": "a"}],
    }
)


@pytest.fixture(params=["compiled", "python"])
def setup(request: pytest.FixtureRequest, loop: bool) -> Setup:
    return Setup(Listener if request.param == "compiled" else PythonListener, loop)


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_the_compiled_listener_is_the_one_in_use() -> None:
    assert NOT_COMPILED == ""
    assert Listener is not PythonListener


# Coming up.


def test_subscribes_applies_and_hands_on(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC, ETH, TRADES) as seen:
            await seen.until(lambda: seen.synced(BTC, ETH))
            (peer,) = venue.peers
            await venue.until(lambda: len(peer.requests) == 2)
            assert peer.requests[0]["op"] == "ping"  # at once
            assert peer.ops("subscribe") == [[BTC, ETH, TRADES]]

            before_ns = time.time_ns()
            peer.send(delta(BTC, 101, bids=[("100.5", "2")], asks=[]), TRADE)
            await seen.until(lambda: bool(seen.messages))
            assert seen.book(BTC).best_bid == 100.5
            assert seen.messages[0]["topic"] == TRADES
            assert seen.reads[-1] == [0]
            assert before_ns <= seen.recv_ns[-1] <= time.time_ns()
            assert seen.count("pongs") == seen.count("pings") == 1
            assert seen.count("acks") == 1
            assert [t.state for t in seen.feed.topics()] == [TopicState.LIVE] * 3
            assert seen.links == [("public-0", True)]

    setup.run(scenario)


def test_one_read_is_one_callback(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC, ETH) as seen:
            await seen.until(lambda: seen.synced(BTC, ETH))
            reads = len(seen.reads)
            frames = [delta(topic, u) for u in range(101, 111) for topic in (ETH, BTC)]
            venue.peers[0].raw(b"".join(map(wire, frames)))
            await seen.until(lambda: seen.book(BTC).u == 110)
            assert seen.book(ETH).u == 110
            assert seen.reads[reads:] == [[1, 0]]

    setup.run(scenario)


def test_a_ping_at_the_end_of_a_read_does_not_hold_the_books_back(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC) as seen:
            await seen.until(lambda: seen.synced(BTC))
            reads = len(seen.reads)
            (peer,) = venue.peers
            peer.raw(wire(delta(BTC, 101)) + wire(b"hello", 0x9))
            await seen.until(lambda: len(seen.reads) > reads)
            await venue.until(lambda: bool(peer.control_frames))
            assert peer.control_frames == [(WSMsgType.PONG, b"hello")]
            assert seen.count("peer_pings") == 1

    setup.run(scenario)


def test_bytes_one_at_a_time_make_the_same_book(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC) as seen:
            await seen.until(lambda: seen.synced(BTC))
            frames = [snapshot(BTC, 7, bids=[("99.5", "3")]), delta(BTC, 8, asks=[("102.0", "4")])]
            for byte in b"".join(map(wire, frames)):
                venue.peers[0].raw(bytes([byte]))
                await asyncio.sleep(0)
            await seen.until(lambda: seen.book(BTC).u == 8)
            bids, asks = seen.book(BTC).bids().tolist(), seen.book(BTC).asks().tolist()
            assert bids == [[100.0, 1.0], [99.5, 3.0]]
            assert asks == [[101.0, 1.0], [102.0, 4.0]]

    setup.run(scenario)


def test_topics_are_spread_and_a_cut_touches_its_own_only(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with (
            exchange() as venue,
            running(setup, venue.url, BTC, ETH, SOL, topics_per_connection=1) as seen,
        ):
            await seen.until(lambda: seen.synced(BTC, ETH, SOL))
            of = {peer.ops("subscribe")[0][0]: peer for peer in venue.peers}
            assert set(of) == {BTC, ETH, SOL}
            of[ETH].reset()
            await seen.until(lambda: ("public-1", False) in seen.links)
            assert seen.states_at_down == [{BookState.SYNCED, BookState.UNSYNCED}]
            assert seen.synced(BTC, SOL)
            await seen.until(lambda: seen.synced(ETH))
            assert len(venue.peers) == 4
            assert seen.count("reconnects") == 1

    setup.run(scenario)


# Answers.


def test_a_rejected_topic_fails_alone(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue:
            venue.refuse[ETH] = f"error:handler not found,topic:{ETH}"
            async with running(setup, venue.url, BTC, ETH, SOL, TRADES) as seen:
                await seen.until(lambda: seen.synced(BTC, SOL))
                venue.peers[0].send(TRADE)
                await seen.until(lambda: bool(seen.messages))
                assert seen.feed.stats()["failed"] == {ETH: venue.refuse[ETH]}
                assert venue.peers[0].ops("subscribe") == [
                    [BTC, ETH, SOL, TRADES],
                    [BTC],
                    [SOL],
                    [TRADES],
                ]
                assert seen.count("reconnects") == 0

                # The next connection asks for it once more, where it spoils nothing.
                del venue.refuse[ETH]
                venue.peers[0].end()
                await seen.until(lambda: seen.synced(BTC, ETH, SOL))
                assert venue.peers[1].ops("subscribe") == [[BTC, SOL, TRADES], [ETH]]

    setup.run(scenario)


@pytest.mark.parametrize("how", ["snapshot first", "no answer"])
def test_a_late_or_lost_answer_does_not_matter(setup: Setup, how: str) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue:
            venue.snapshot_first = how == "snapshot first"
            venue.acks = how == "snapshot first"
            async with running(setup, venue.url, BTC, ETH) as seen:
                await seen.until(lambda: seen.synced(BTC, ETH))
                venue.peers[0].send(delta(BTC, 101), TRADE)
                await seen.until(lambda: bool(seen.messages))
                assert seen.book(BTC).u == 101
                assert {t.state for t in seen.feed.topics()} == {TopicState.LIVE}
                assert venue.peers[0].ops("subscribe") == [[BTC, ETH]]

    setup.run(scenario)


def test_no_snapshot_is_asked_for_again_and_then_costs_the_connection(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue:
            venue.snapshots = False
            async with running(setup, venue.url, BTC, snapshot_timeout_s=0.05) as seen:
                await venue.until(lambda: len(venue.peers) == 2)
                assert venue.peers[0].ops("subscribe") == [[BTC], [BTC]]
                assert venue.peers[0].ops("unsubscribe") == [[BTC]]
                venue.snapshots = True
                await seen.until(lambda: seen.synced(BTC))

    setup.run(scenario)


# Books that lose their place.


def test_a_gap_resyncs_its_topic_alone_on_the_same_connection(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC, ETH) as seen:
            await seen.until(lambda: seen.synced(BTC, ETH))
            (peer,) = venue.peers
            held: list[dict[str, Any]] = []

            def hold(peer: Peer, request: dict[str, Any]) -> bool:
                if request["op"] == "subscribe":
                    held.append(request)
                return bool(request["op"] == "subscribe")

            venue.handle = hold
            peer.send(delta(BTC, 102))  # 101 is missing
            await venue.until(lambda: bool(held))
            assert seen.book(BTC).state is BookState.SYNCING
            # More of the old stream, while the snapshot is on its way: nothing further is asked.
            peer.send(delta(BTC, 103), delta(BTC, 105), delta(ETH, 101), TRADE)
            await seen.until(lambda: bool(seen.messages))
            assert seen.synced(ETH)
            assert seen.book(ETH).u == 101
            assert seen.book(BTC).state is BookState.SYNCING
            peer.ack(held[0])
            peer.send(snapshot(BTC, 500))
            await seen.until(lambda: seen.synced(BTC))
            assert peer.ops("unsubscribe") == [[BTC]]
            assert peer.ops("subscribe") == [[BTC, ETH], [BTC]]
            assert seen.count("gaps") == seen.count("resyncs") == 1
            assert len(venue.peers) == 1

    setup.run(scenario)


def test_a_service_restart_replaces_the_book_without_a_resync(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC) as seen:
            await seen.until(lambda: seen.synced(BTC))
            venue.peers[0].send(snapshot(BTC, 1, bids=[("50.0", "1")]), delta(BTC, 2))
            await seen.until(lambda: seen.book(BTC).u == 2)
            assert seen.synced(BTC)
            assert seen.count("resyncs") == 0

    setup.run(scenario)


def test_a_restart_that_comes_as_a_delta_is_not_believed(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC) as seen:
            await seen.until(lambda: seen.synced(BTC))
            venue.peers[0].send(delta(BTC, 1))
            await seen.until(lambda: seen.count("resyncs") == 1 and seen.synced(BTC))
            assert seen.book(BTC).u == 200  # of the second snapshot

    setup.run(scenario)


def test_empty_sides_are_books(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC) as seen:
            await seen.until(lambda: seen.synced(BTC))
            (peer,) = venue.peers
            peer.send(snapshot(BTC, 300, bids=[]))
            await seen.until(lambda: seen.book(BTC).u == 300)
            assert seen.book(BTC).bids().shape == (0, 2)
            assert seen.book(BTC).best_ask == 101.0
            peer.send(delta(BTC, 301, bids=[("99.0", "1")], asks=[("101.0", "0")]))
            await seen.until(lambda: seen.book(BTC).u == 301)
            assert seen.book(BTC).asks().shape == (0, 2)
            assert seen.count("resyncs") == 0

    setup.run(scenario)


MALFORMED = {
    "truncated": snapshot(BTC, 101)[:-9],
    "bad level": delta(BTC, 101, bids=[("x", "1")]),
    "not utf-8": delta(BTC, 101)[:-1] + b',"x":"\xff\xfe"}',
}


@pytest.mark.parametrize("frame", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_frame_costs_its_topic_a_resync_and_stops_nothing(
    setup: Setup, frame: bytes
) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC, ETH) as seen:
            await seen.until(lambda: seen.synced(BTC, ETH))
            venue.peers[0].send(frame, delta(ETH, 101))
            await seen.until(lambda: seen.book(BTC).u == 200 and seen.synced(BTC))
            assert seen.book(ETH).u == 101
            assert seen.synced(ETH)
            assert seen.count("malformed") == 1
            assert seen.count("resyncs") == 1
            assert len(venue.peers) == 1

    setup.run(scenario)


def test_noise_that_names_no_topic_changes_nothing(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC) as seen:
            await seen.until(lambda: seen.synced(BTC))
            noise = [b"", b"\xff\xff", b"[]", b"7", b'{"topic":5}', b'{"op":[]}', b'{"op":"new"}']
            noise += [b'{"topic":null}', b'{"type":"COMMAND_RESP"}', b'{"op":"subscribe"}']
            venue.peers[0].send(*noise, delta(BTC, 101))
            venue.peers[0].frame(WSMsgType.BINARY, b"\x00\x01")
            venue.peers[0].send(TRADE)
            await seen.until(lambda: any(m["topic"] == TRADES for m in seen.messages))
            assert seen.book(BTC).u == 101
            assert seen.synced(BTC)
            assert seen.count("malformed") >= 4
            assert len(venue.peers) == 1

    setup.run(scenario)


def test_a_book_that_is_lost_again_and_again_costs_the_connection(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC) as seen:
            for resyncs in range(1, 5):
                await seen.until(lambda: seen.synced(BTC))
                venue.peers[0].send(delta(BTC, 9999))
                await seen.until(lambda n=resyncs: seen.count("resyncs") == n)  # type: ignore[misc]
            await venue.until(lambda: len(venue.peers) == 2)
            await seen.until(lambda: seen.synced(BTC))
            assert seen.feed.stats()["ends"] == {"resync": 1}
            assert len(venue.peers[0].ops("unsubscribe")) == 3

    setup.run(scenario)


def test_a_silent_topic_is_stale_until_it_speaks(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with (
            exchange() as venue,
            running(setup, venue.url, BTC, ETH, stale_after_s=0.2) as seen,
        ):
            await seen.until(lambda: seen.synced(BTC, ETH))
            (peer,) = venue.peers
            u = 100
            async with asyncio.timeout(10):
                while seen.book(BTC).state is not BookState.STALE:
                    u += 1
                    peer.send(delta(ETH, u))
                    await asyncio.sleep(0.02)
            assert seen.synced(ETH)
            stats = seen.feed.stats()
            assert (stats["stale_topics"], stats["stale_marks"]) == (1, 1)
            peer.send(delta(BTC, 101))
            await seen.until(lambda: seen.synced(BTC))
            assert len(venue.peers) == 1

    setup.run(scenario)


# Connections that end.


def end_inside_a_frame(peer: Peer) -> None:
    peer.raw(wire(delta(BTC, 101))[:40])
    peer.end()


ENDS: dict[str, Callable[[Peer], None]] = {
    "reset": Peer.reset,
    "clean end": Peer.end,
    "end inside a frame": end_inside_a_frame,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_any_end_unsyncs_all_and_reconnects_at_once(
    setup: Setup, end: Callable[[Peer], None]
) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC, ETH) as seen:
            await seen.until(lambda: seen.synced(BTC, ETH))
            cut_s = time.monotonic()
            end(venue.peers[0])
            await venue.until(lambda: len(venue.peers) == 2)
            assert time.monotonic() - cut_s < 0.4  # at once: the first backoff would be up to 0.5
            assert seen.states_at_down == [{BookState.UNSYNCED}]
            assert sorted(seen.told_at_down[0]) == [0, 1]
            await seen.until(lambda: seen.synced(BTC, ETH))
            assert venue.peers[1].ops("subscribe") == [[BTC, ETH]]
            assert seen.links == [("public-0", up) for up in (True, False, True)]
            assert seen.count("reconnects") == 1
            assert seen.book(BTC).u == 200

    setup.run(scenario)


@pytest.mark.parametrize("code", [1000, 1001, 1012, 4001])
def test_a_close_frame_is_answered_and_the_connection_replaced(setup: Setup, code: int) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC) as seen:
            await seen.until(lambda: seen.synced(BTC))
            (peer,) = venue.peers
            peer.frame(WSMsgType.CLOSE, code.to_bytes(2, "big") + b"bye")
            await venue.until(lambda: len(venue.peers) == 2)
            assert [kind for kind, _ in peer.control_frames] == [WSMsgType.CLOSE]
            assert peer.control_frames[0][1][:2] == code.to_bytes(2, "big")
            await seen.until(lambda: seen.synced(BTC))
            assert seen.feed.stats()["ends"] == {"closed": 1}

    setup.run(scenario)


FAULTS = {
    "reserved bit": (wire(b"{}", rsv=4), "rsv", 1002),
    "reserved bit on a ping": (wire(b"", 0x9, rsv=1), "rsv", 1002),
    "continuation of nothing": (wire(b"{}", 0), "fragment", 1002),
    "text inside a fragment": (wire(b"{", fin=False) + wire(b"{}"), "fragment", 1002),
    "binary inside a fragment": (wire(b"{", fin=False) + wire(b"{}", 2), "fragment", 1002),
    "too many fragments": (
        wire(b"{", fin=False) + wire(b"", 0, fin=False) * 4,
        "fragment_size",
        1009,
    ),
    "too long a message": (
        wire(b"{", fin=False) + wire(b"x" * 3000, 0, fin=False) * 2,
        "fragment_size",
        1009,
    ),
    "too long a frame": (wire(b"x" * 5000), "frame_1009", 1009),
    "unknown opcode": (wire(b"", 3), "frame_1002", 1002),
    "masked": (bytes([0x81, 0x82, 0, 0, 0, 0]) + b"{}", "frame_1002", 1002),
    "huge": (bytes([0x81, 127]) + (1 << 62).to_bytes(8, "big"), "frame_1009", 1009),
}


@pytest.mark.parametrize(("data", "kind", "code"), FAULTS.values(), ids=FAULTS)
def test_a_broken_protocol_is_closed_with_its_code_and_replaced(
    setup: Setup, data: bytes, kind: str, code: int
) -> None:
    async def scenario(setup: Setup) -> None:
        limits = {"frame_bytes_max": 4096, "message_bytes_max": 4096, "fragments_max": 4}
        async with exchange() as venue, running(setup, venue.url, BTC, **limits) as seen:
            await seen.until(lambda: seen.synced(BTC))
            (peer,) = venue.peers
            # What stands behind the fault in the same read must not reach the book.
            peer.raw(data + wire(delta(BTC, 101)))
            await venue.until(lambda: len(venue.peers) == 2)
            await venue.until(lambda: bool(peer.control_frames))
            assert peer.control_frames[0][0] is WSMsgType.CLOSE
            assert peer.control_frames[0][1][:2] == code.to_bytes(2, "big")
            await seen.until(lambda: seen.synced(BTC))
            assert seen.book(BTC).u == 200
            assert seen.feed.stats()["protocol_errors"] == {kind: 1}
            assert seen.count("late_frames") == (0 if kind.startswith("frame_") else 1)

    setup.run(scenario)


def test_fragments_are_joined_around_a_ping(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC) as seen:
            await seen.until(lambda: seen.synced(BTC))
            (peer,) = venue.peers
            frame = delta(BTC, 101, bids=[("100.25", "7")])
            peer.frame(WSMsgType.TEXT, frame[:10], fin=False)
            peer.frame(WSMsgType.PING, b"between")
            peer.frame(WSMsgType.CONTINUATION, frame[10:50], fin=False)
            peer.frame(WSMsgType.CONTINUATION, frame[50:])
            peer.send(delta(BTC, 102))
            await seen.until(lambda: seen.book(BTC).u == 102)
            assert seen.book(BTC).best_bid == 100.25
            await venue.until(lambda: (WSMsgType.PONG, b"between") in peer.control_frames)
            assert seen.count("reconnects") == 0

    setup.run(scenario)


def test_a_dead_peer_is_found_by_its_missing_pong(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue:
            times = {"ping_interval_s": 60.0, "pong_timeout_s": 0.1, "stale_after_s": 0.2}
            async with running(setup, venue.url, BTC, **times) as seen:
                await seen.until(lambda: seen.synced(BTC))
                venue.pongs = False
                venue.handle = lambda peer, request: peer is venue.peers[0]  # says nothing more
                await venue.until(lambda: len(venue.peers) == 2)
                assert seen.feed.stats()["ends"] == {"silent": 1}
                venue.pongs = True
                await seen.until(lambda: seen.synced(BTC))

    setup.run(scenario)


def test_a_missing_pong_is_forgiven_while_data_flows(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue:
            venue.pongs = False
            times = {"ping_interval_s": 0.1, "pong_timeout_s": 0.1}
            async with running(setup, venue.url, BTC, **times) as seen:
                await seen.until(lambda: seen.synced(BTC))
                u = 100
                async with asyncio.timeout(10):
                    while seen.count("pings") < 4:
                        u += 1
                        venue.peers[0].send(delta(BTC, u))
                        await asyncio.sleep(0.01)
                assert seen.synced(BTC)
                assert len(venue.peers) == 1

    setup.run(scenario)


def test_attempts_stay_within_the_budget(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue:
            venue.on_accept = Peer.reset
            limits = {"attempts_per_5min": 7, "backoff_cap_s": 0.01, "topics_per_connection": 1}
            async with running(setup, venue.url, BTC, ETH, **limits) as seen:
                await seen.until(lambda: seen.count("budget_waits") == 2)  # both connections
                assert seen.count("attempts") == 7
                assert len(venue.peers) <= 7

    setup.run(scenario)


def test_a_venue_that_is_not_there_yet_is_tried_until_it_is(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as gone:
            url = gone.url
        async with running(setup, url, BTC, backoff_cap_s=0.02) as seen:
            await seen.until(lambda: seen.count("attempts") >= 3)
            assert seen.count("connects") == 0
            assert seen.links == []
            assert "Refused" in seen.feed.stats()["connections"][0]["last_end"]

    setup.run(scenario)


def test_a_peer_that_hangs_up_in_the_handshake_is_a_failed_attempt(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with (
            server,
            running(setup, f"ws://127.0.0.1:{port}/", BTC, backoff_cap_s=0.02) as seen,
        ):
            await seen.until(lambda: seen.count("attempts") >= 3)
            assert seen.count("connects") == 0
            assert seen.feed.stats()["ends"]["connect"] >= 2

    setup.run(scenario)


def test_a_redirect_is_not_followed(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as other:

            async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 302 Found\r\nLocation: " + other.url.encode())
                writer.write(b"\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                writer.close()

            server = await asyncio.start_server(redirect, "127.0.0.1", 0)
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            async with server, running(setup, url, BTC, backoff_cap_s=0.02) as seen:
                await seen.until(lambda: seen.count("attempts") >= 3)
                assert seen.count("connects") == 0
            assert other.peers == []

    setup.run(scenario)


def test_tls_that_fails_is_never_replaced_by_plain(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        heard: list[bytes] = []

        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.read(16))
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # not TLS
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        url = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with server, running(setup, url, BTC, backoff_cap_s=0.02) as seen:
            await seen.until(lambda: seen.count("attempts") >= 4)
            assert seen.count("connects") == 0
            assert seen.feed.stats()["protocol_errors"]["tls"] >= 3
        assert all(first[:1] == b"\x16" for first in heard)  # a TLS handshake, each time

    setup.run(scenario)


def test_answered_pings_are_not_missed(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        times = {"ping_interval_s": 0.1, "pong_timeout_s": 0.09}
        async with exchange() as venue, running(setup, venue.url, BTC, **times) as seen:
            await seen.until(lambda: seen.count("pings") == 4)
            assert seen.count("pongs") >= 3
            assert seen.count("pongs_missed") == 0

    setup.run(scenario)


# Ending it ourselves.


def test_stop_does_not_wait_for_a_handshake(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        asked, stopped, dropped = asyncio.Event(), asyncio.Event(), asyncio.Event()
        after: list[bytes] = []

        async def answer_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await stopped.wait()
            key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
            assert key is not None
            digest = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
                + base64.b64encode(digest)
                + b"\r\n\r\n"
                + wire(snapshot(BTC, 7))
            )
            try:
                after.append(await reader.read())
            except ConnectionResetError:
                after.append(b"")
            finally:
                writer.close()
                dropped.set()

        server = await asyncio.start_server(answer_late, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with server:
            asked_to_stop_s = 0.0
            async with running(setup, url, BTC, connect_timeout_s=8.0) as seen:
                await asked.wait()
                asked_to_stop_s = time.monotonic()
            assert time.monotonic() - asked_to_stop_s < 2.0
            stopped.set()
            # The late connection is dropped without a word, and its frames reach no book.
            async with asyncio.timeout(4):
                await dropped.wait()
            assert after == [b""]
            assert seen.book(BTC).u == 0
            assert seen.links == []

    setup.run(scenario)


def test_stop_says_goodbye_and_leaves_no_book_synced(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue:
            async with running(setup, venue.url, BTC, ETH) as seen:
                await seen.until(lambda: seen.synced(BTC, ETH))
            await venue.until(lambda: bool(venue.peers[0].control_frames))
            assert venue.peers[0].control_frames == [(WSMsgType.CLOSE, (1001).to_bytes(2, "big"))]
            assert seen.states_at_down == [{BookState.UNSYNCED}]
            assert len(venue.peers) == 1

    setup.run(scenario)


def test_cancelling_closes_the_socket(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC) as seen:
            await seen.until(lambda: seen.synced(BTC))
            assert seen.task is not None
            seen.task.cancel()
            async with asyncio.timeout(10):
                await venue.peers[0].gone.wait()
            assert seen.states_at_down == [{BookState.UNSYNCED}]

    with pytest.raises(asyncio.CancelledError):
        setup.run(scenario)


def test_an_error_of_the_application_ends_the_feed_loudly(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC) as seen:
            await seen.until(lambda: seen.synced(BTC))
            seen.fail_on_books = RuntimeError("strategy bug")
            venue.peers[0].raw(wire(delta(BTC, 101)) + wire(delta(BTC, 102)))
            async with asyncio.timeout(10):
                await venue.peers[0].gone.wait()
            assert seen.states_at_down == [{BookState.UNSYNCED}]
            assert venue.peers[0].control_frames[0][1][:2] == (1011).to_bytes(2, "big")
            assert len(venue.peers) == 1

    with pytest.raises(RuntimeError, match="strategy bug"):
        setup.run(scenario)


def test_frames_of_an_old_connection_reach_no_book(setup: Setup) -> None:
    """Two connections carry one topic for a moment: the old one still talks."""

    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC) as seen:
            await seen.until(lambda: seen.synced(BTC))
            old = venue.peers[0]
            flood = wire(b"{", 0) + wire(snapshot(BTC, 7777)) + wire(delta(BTC, 7778)) * 50
            old.raw(flood)
            await venue.until(lambda: len(venue.peers) == 2)
            await seen.until(lambda: seen.synced(BTC))
            assert seen.book(BTC).u == 200
            assert seen.count("late_frames") == 51

    setup.run(scenario)


def test_a_resync_can_be_asked_for(setup: Setup) -> None:
    async def scenario(setup: Setup) -> None:
        async with exchange() as venue, running(setup, venue.url, BTC) as seen:
            await seen.until(lambda: seen.synced(BTC))
            asked_s = time.monotonic()
            assert seen.feed.resync(BTC)
            assert not seen.feed.resync("orderbook.50.UNKNOWN")
            await seen.until(lambda: seen.book(BTC).u == 200)
            assert time.monotonic() - asked_s < 0.5  # now, not when the driver looks again
            assert venue.peers[0].ops("unsubscribe") == [[BTC]]

    setup.run(scenario)
