"""Bytes that no WebSocket server should send (RFC 6455), by the name of the fault's field `how`.

They go out as they are, between two well-formed frames. `half` is the beginning of a frame, after
which the connection ends in order; so does `bare_end`, without any frame.
"""

from __future__ import annotations

_PONG = b'{"success":true,"ret_msg":"pong","conn_id":"raw","op":"ping"}'
FRAGMENTS = 2_000  # of the message that never ends
PINGS = 1_000


def _frame(first: int, payload: bytes, *, masked: bool = False) -> bytes:
    size = len(payload)
    bit = 0x80 if masked else 0
    if size < 126:
        head = bytes((first, bit | size))
    else:
        head = bytes((first, bit | 126)) + size.to_bytes(2, "big")
    return head + (b"\0\0\0\0" if masked else b"") + payload


RAW: dict[str, bytes] = {
    # Legal, if unusual.
    "fragmented": (
        _frame(0x01, _PONG[:9]) + _frame(0x89, b"between") + _frame(0x00, _PONG[9:20])
        + _frame(0x80, _PONG[20:])
    ),
    "ping": _frame(0x89, b"are you there"),
    "unasked_pong": _frame(0x8A, b"nobody asked"),
    "pong_flood": _frame(0x8A, b"") * PINGS,
    "ping_flood": _frame(0x89, b"") * PINGS,
    # Broken.
    "text_in_fragment": _frame(0x01, b'{"op"') + _frame(0x81, _PONG),
    "lone_continuation": _frame(0x80, _PONG),
    "endless_fragments": _frame(0x01, b"x" * 1024) + _frame(0x00, b"x" * 1024) * FRAGMENTS,
    "huge_header": b"\x81\x7f" + (11 << 20).to_bytes(8, "big"),
    "huge_header_63": b"\x81\x7f" + (1 << 63).to_bytes(8, "big"),
    "huge_header_64": b"\x81\x7f" + ((1 << 64) - 1).to_bytes(8, "big"),
    "bad_utf8": _frame(0x81, b'{"op":"\xff\xfe"}'),
    "rsv1": _frame(0xC1, _PONG),
    "rsv2": _frame(0xA1, _PONG),
    "rsv3": _frame(0x91, _PONG),
    "unknown_opcode": _frame(0x83, _PONG),
    "masked": _frame(0x81, _PONG, masked=True),
    "long_ping": b"\x89\x7e" + (126).to_bytes(2, "big") + b"x" * 126,
    "fragmented_ping": _frame(0x09, b"x"),
    "bad_close": _frame(0x88, (999).to_bytes(2, "big")),
    "short_close": _frame(0x88, b"\x03"),
    "long_length": b"\x81\x7e" + len(_PONG).to_bytes(2, "big") + _PONG,
    "half": b"\x81\x7e\x10\x00" + b"x" * 100,
    "bare_end": b"",
}  # fmt: skip
ENDING = frozenset({"half", "bare_end"})
"""After these the connection is closed in order, without a close frame."""
