"""Compiled against Python listener: from bytes on a loopback socket to the updated book.

Run: python bench/bench_listener.py [frames]. A sender process writes prebuilt deltas of 8 + 8
levels as fast as the socket takes them; CPU time is the feed's own process alone, so that a
sender or a neighbour on the other core does not count. The books are checked at the end.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import multiprocessing
import random
import socket
import sys
import time
from multiprocessing.synchronize import Event
from typing import Any

import orjson
import uvloop

from fastbook.bybit.frames import BookDecoder
from fastbook.core.states import BookState
from fastbook.runtime.bybit.listener import Listener, MakeListener
from fastbook.runtime.bybit.listener_py import PythonListener
from fastbook.runtime.bybit.public import PublicFeed, PublicFeedConfig

TOPIC = "orderbook.50.BTCUSDT"
CHUNK_BYTES = 64 * 1024


class WallClock:
    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


def frame(kind: str, u: int, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> bytes:
    body = {
        "topic": TOPIC,
        "type": kind,
        "ts": 1_700_000_000_000 + u,
        "data": {"s": "BTCUSDT", "b": bids, "a": asks, "u": u, "seq": 10 * u},
        "cts": 1_700_000_000_000 + u,
    }
    payload = orjson.dumps(body)
    return b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload


def stream(count: int) -> bytes:
    """A snapshot of 50 + 50 levels and `count` deltas of 8 + 8, as WebSocket frames."""
    rng = random.Random(20_240_101)

    def level(side: int) -> tuple[str, str]:
        ticks = min(int(rng.expovariate(1 / 8)), 49)
        return f"{69_000 + side * (ticks + 1) / 10:.2f}", f"{rng.randrange(1, 5000) / 1000:.3f}"

    whole = [[(f"{69_000 + s * (i + 1) / 10:.2f}", "1.000") for i in range(50)] for s in (-1, 1)]
    frames = [frame("snapshot", 1, *whole)]
    for u in range(2, count + 2):
        bids = [level(-1) for _ in range(8)]
        asks = [level(1) for _ in range(8)]
        frames.append(frame("delta", u, bids, asks))
    return b"".join(frames)


def serve(listening: socket.socket, count: int, ready: Event) -> None:
    """For each connection: shake hands, wait for the subscription, write everything."""
    data = stream(count)
    ready.set()
    while True:
        connection, _ = listening.accept()
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(4096)
        key = request.lower().split(b"sec-websocket-key:")[1].split(b"\r\n")[0].strip()
        at = request.lower().index(key)
        key = request[at : at + len(key)]
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        connection.recv(4096)  # ping and subscription, masked: not read
        for at in range(0, len(data), CHUNK_BYTES):
            connection.sendall(data[at : at + CHUNK_BYTES])


async def receive(port: int, count: int, make_listener: MakeListener) -> dict[str, Any]:
    decoder, done = BookDecoder(), asyncio.Event()
    reads = 0
    config = PublicFeedConfig(url=f"ws://127.0.0.1:{port}/", topics=(TOPIC,))
    book = decoder.add_book(TOPIC)
    started = [0.0, 0.0]

    def on_books(touched: list[int], recv_ns: int) -> None:
        nonlocal reads
        reads += 1
        if book.u and not started[0]:
            started[:] = time.perf_counter(), time.process_time()
        if book.u == count + 1:
            done.set()

    feed = PublicFeed(
        config, decoder, on_books, lambda m, t: None, WallClock(), make_listener=make_listener
    )
    task = asyncio.create_task(feed.run())
    async with asyncio.timeout(60):
        await done.wait()
    wall_s, cpu_s = time.perf_counter() - started[0], time.process_time() - started[1]
    assert book.state is BookState.SYNCED
    book.check()
    result = {"wall_s": wall_s, "cpu_s": cpu_s, "reads": reads, "levels": book.levels()}
    feed.stop()
    await task
    return result


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    ready = multiprocessing.Event()
    sender = multiprocessing.Process(target=serve, args=(listening, count, ready), daemon=True)
    sender.start()
    if not ready.wait(60):
        raise SystemExit("the sender did not come up")
    answers: list[Any] = []  # Any: levels, only compared
    best: dict[str, dict[str, Any]] = {}
    try:
        for _ in range(5):
            for name, make in (("compiled", Listener), ("python", PythonListener)):
                result = uvloop.run(receive(port, count, make))
                answers.append(result["levels"])
                if name not in best or result["cpu_s"] < best[name]["cpu_s"]:
                    best[name] = result
    finally:
        sender.kill()
    assert all(levels == answers[0] for levels in answers)  # a fast wrong answer is not a result
    for name, r in best.items():
        print(
            f"{name:9} {count / r['wall_s']:>10,.0f} frames/s  {r['cpu_s'] / count * 1e6:6.2f} us"
            f" CPU a frame  {count / r['reads']:.1f} frames a read"
        )
    print(f"CPU ratio python / compiled: {best['python']['cpu_s'] / best['compiled']['cpu_s']:.2f}")


if __name__ == "__main__":
    main()
