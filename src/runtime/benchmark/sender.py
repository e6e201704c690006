"""The other end: a process of its own that writes ready-made frames to a loopback socket.

A blocking socket and one big buffer, so that whoever reads is what is measured. One connection
at a time: WebSocket handshake, wait for the client's first bytes, play one job, say goodbye.
"""

from __future__ import annotations

import base64
import hashlib
import multiprocessing
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fastbook.errors import FastbookError

CHUNK_BYTES = 64 * 1024
PEER_TIMEOUT_S = 60.0
_GOODBYE = b"\x88\x02\x03\xe8"  # close, 1000
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


class SenderError(FastbookError):
    """The sending process could not be started or did not do its part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the next connection is sent: all frames `cycles` times over.

    `rate` in frames/s, each at its own due time; 0 for as fast as the socket takes them.
    """

    cycles: int
    rate: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """`start_ns` (monotonic) is when frame 0 was due; frame k is due k / rate later."""

    start_ns: int
    late_p50_us: float = 0.0  # how far the sender was behind its own schedule
    late_p99_us: float = 0.0


def encode(payload: bytes) -> bytes:
    """One unmasked text frame, as servers send them."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


class Sender:
    """Owns the process. Use as a context manager."""

    def __init__(self, frames: list[bytes], tls: tuple[Path, Path] | None = None) -> None:
        """`tls` is (certificate, key), as PEM files."""
        self.frames = len(frames)
        self.bytes = sum(map(len, frames))
        self._tls = tls
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        wire = [encode(frame) for frame in frames]
        self._process: SpawnProcess = context.Process(
            target=_main, args=(theirs, wire, tls), daemon=True
        )
        self._process.start()
        theirs.close()
        self.port: int = self._receive()

    @property
    def url(self) -> str:
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{self.port}/v5/public/linear"

    def give(self, job: Job) -> None:
        """What the next connection gets. Before connecting."""
        self._pipe.send(job)

    def played(self) -> Played:
        """Blocks until the job is over. After the client has hung up."""
        answer: Played = self._receive()
        return answer

    def _receive(self) -> Any:  # Any: a pipe has no type
        if not self._pipe.poll(PEER_TIMEOUT_S):
            raise SenderError("the sending process does not answer")
        try:
            return self._pipe.recv()
        except EOFError:
            raise SenderError("the sending process has ended") from None

    def close(self) -> None:
        self._pipe.close()
        self._process.join(2)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _main(pipe: Connection, wire: list[bytes], tls: tuple[Path, Path] | None) -> None:
    blast = memoryview(b"".join(wire))
    context = None
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*tls)
    listening = socket.create_server(("127.0.0.1", 0))
    pipe.send(listening.getsockname()[1])
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        connection, _ = listening.accept()
        connection.settimeout(PEER_TIMEOUT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        with connection:
            _shake_hands(connection)
            connection.recv(4096)  # the subscription: what it asks for is on its way anyhow
            played = _paced(connection, wire, job) if job.rate else _blast(connection, blast, job)
            connection.sendall(_GOODBYE)
            _until_answered(connection)
        pipe.send(played)


def _shake_hands(connection: socket.socket) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(4096)
    at = request.lower().index(b"sec-websocket-key:") + len(b"sec-websocket-key:")
    key = request[at : request.index(b"\r\n", at)].strip()
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # as the RFC wants it
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def _blast(connection: socket.socket, wire: memoryview, job: Job) -> Played:
    start_ns = time.monotonic_ns()
    for _ in range(job.cycles):
        for at in range(0, len(wire), CHUNK_BYTES):
            connection.sendall(wire[at : at + CHUNK_BYTES])
    return Played(start_ns=start_ns)


def _paced(connection: socket.socket, wire: list[bytes], job: Job) -> Played:
    """Each frame when it is due, never early; all that are overdue at once, as they would queue.

    Spins: no sleep is shorter than the 20 µs between two frames.
    """
    interval_ns = 1e9 / job.rate
    total, size = job.cycles * len(wire), len(wire)
    start_ns = time.monotonic_ns() + 1_000_000
    late: list[float] = []
    sent = 0
    while sent < total:
        now_ns = time.monotonic_ns()
        due = min(total, int((now_ns - start_ns) / interval_ns) + 1) if now_ns >= start_ns else 0
        if due > sent:
            late.append((now_ns - start_ns - sent * interval_ns) / 1000)
            if due == sent + 1:
                connection.sendall(wire[sent % size])
            else:
                connection.sendall(b"".join(wire[k % size] for k in range(sent, due)))
            sent = due
    late.sort()
    return Played(
        start_ns=start_ns,
        late_p50_us=late[len(late) // 2],
        late_p99_us=late[len(late) * 99 // 100],
    )


def _until_answered(connection: socket.socket) -> None:
    """The client's goodbye, or its end; it is the server that closes first."""
    try:
        connection.recv(4096)
    except OSError:
        return  # it hung up first, and hard


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, with the `openssl` program.

    Raises SenderError when that is missing or fails.
    """
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"),
        *("-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(certificate)),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise SenderError(f"no certificate: {e}") from e
    if done.returncode:
        raise SenderError(f"no certificate: {done.stderr.strip()[-200:]}")
    return certificate, key
