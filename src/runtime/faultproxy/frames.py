"""WebSocket messages in a byte stream (RFC 6455), however the stream was cut into reads."""

from __future__ import annotations

from dataclasses import dataclass

HEAD_BYTES_MAX = 64 * 1024  # of the HTTP exchange before the frames
MESSAGE_BYTES_MAX = 64 << 20
_FIN, _MASKED = 0x80, 0x80
_HTTP_STARTS = (b"HTTP/", b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ")


@dataclass(frozen=True, slots=True)
class Message:
    """One message, or bytes that are none. `raw` is what came, frame headers included."""

    raw: bytes
    payload: bytes  # unmasked; empty for control frames and for what is no frame
    is_data: bool  # text or binary, whole


class MessageSplitter:
    """Feed it reads, get whole messages. What cannot be frames passes as it came.

    An HTTP head is passed on first; frames follow it when it is the head of an upgrade
    (``Upgrade: websocket`` in a request, status 101 in an answer).
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._in_head = True
        self._opaque = False  # plain HTTP, or no HTTP at all
        self._fragments = bytearray()  # raw frames of an unfinished message
        self._payload = bytearray()  # what they carry

    def take_pending(self) -> bytes:
        """Hand out the bytes of an unfinished head, frame or message."""
        raw = bytes(self._fragments + self._buffer)
        self._fragments.clear()
        self._buffer.clear()
        return raw

    def feed(self, data: bytes) -> list[Message]:
        self._buffer += data
        out: list[Message] = []
        if self._in_head and not _may_be_http(self._buffer):
            self._in_head, self._opaque = False, True  # TLS says hello and waits for an answer
        if self._in_head:
            self._take_head(out)
        if self._opaque:
            if self._buffer:
                out.append(self._no_frame(len(self._buffer)))
        elif not self._in_head:
            while self._take_frame(out):
                pass
        return out

    def _no_frame(self, size: int) -> Message:
        raw = bytes(self._buffer[:size])
        del self._buffer[:size]
        return Message(raw, b"", False)

    def _take_head(self, out: list[Message]) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            self._opaque = len(self._buffer) > HEAD_BYTES_MAX
            self._in_head = not self._opaque
            return
        head = bytes(self._buffer[:end]).lower()
        first = head.partition(b"\r\n")[0]
        upgrade = b" 101" in first or b"\r\nupgrade: websocket" in head
        out.append(self._no_frame(end + 4))
        self._in_head = False
        self._opaque = not upgrade

    def _take_frame(self, out: list[Message]) -> bool:
        """Move one frame out of the buffer; False when there is no whole one."""
        header = parse_header(self._buffer)
        if header is None:
            return False
        start, size, mask = header
        if size + len(self._fragments) > MESSAGE_BYTES_MAX:
            self._opaque = True
            self._buffer[:0] = self._fragments
            self._fragments.clear()
            out.append(self._no_frame(len(self._buffer)))
            return False
        if len(self._buffer) < start + size:
            return False
        first = self._buffer[0]
        raw = bytes(self._buffer[: start + size])
        del self._buffer[: start + size]
        if first & 0x08:  # close, ping, pong: may stand between fragments
            out.append(Message(raw, b"", False))
            return True
        self._fragments += raw
        self._payload += unmasked(raw[start:], mask)
        if first & _FIN:
            out.append(Message(bytes(self._fragments), bytes(self._payload), True))
            self._fragments.clear()
            self._payload.clear()
        return True


def _may_be_http(data: bytearray) -> bool:
    return any(data.startswith(start) or start.startswith(data) for start in _HTTP_STARTS)


def parse_header(data: bytes | bytearray) -> tuple[int, int, bytes] | None:
    """(where the payload starts, its size, mask or b"") of the first frame; None: too short."""
    if len(data) < 2:
        return None
    masked, size = data[1] & _MASKED, data[1] & 0x7F
    start = 2
    if size > 125:
        wide = 2 if size == 126 else 8
        if len(data) < 2 + wide:
            return None
        size = int.from_bytes(data[2 : 2 + wide], "big")
        start += wide
    if not masked:
        return start, size, b""
    if len(data) < start + 4:
        return None
    return start + 4, size, bytes(data[start : start + 4])


def unmasked(payload: bytes, mask: bytes) -> bytes:
    if not mask or not payload:
        return payload
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    value = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return value.to_bytes(len(payload), "big")


def cut_short(message: Message, keep: int) -> bytes:
    """One well-formed frame with the first `keep` bytes of the payload."""
    raw = message.raw
    header = parse_header(raw)
    assert header is not None
    mask = header[2]
    flag = _MASKED if mask else 0
    if keep < 126:
        length = bytes((flag | keep,))
    elif keep < 1 << 16:
        length = bytes((flag | 126,)) + keep.to_bytes(2, "big")
    else:
        length = bytes((flag | 127,)) + keep.to_bytes(8, "big")
    return bytes((raw[0] | _FIN,)) + length + mask + unmasked(message.payload[:keep], mask)
