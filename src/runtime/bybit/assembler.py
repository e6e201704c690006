"""The rules of RFC 6455 that the WebSocket library leaves to its user; no socket inside.

Seen with picows 2.3.1: fragments are delivered as they come, and so are a new message inside
an open one, a continuation of nothing, reserved bits and invalid UTF-8.
"""

from __future__ import annotations

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

PROTOCOL_ERROR = 1002
MESSAGE_TOO_BIG = 1009


class ProtocolFault(Exception):
    """The peer broke the protocol; the connection must be closed with `close_code`."""

    def __init__(self, kind: str, close_code: int, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.close_code = close_code


class MessageAssembler:
    """Joins fragments of text up to a cap; refuses what the protocol forbids.

    Control frames do not pass through here: they may come between fragments.
    """

    def __init__(self, *, bytes_max: int, fragments_max: int) -> None:
        self._bytes_max = bytes_max
        self._fragments_max = fragments_max
        self._partial = bytearray()
        self._fragments = 0
        self._binary = False
        self.binary_ignored = 0

    @property
    def open(self) -> bool:
        """A message has begun and not ended."""
        return self._fragments > 0

    def feed(self, opcode: int, fin: bool, payload: bytes) -> bytes | None:
        """One data frame; the whole message when this frame ends a text, else None.

        Binary messages are counted and ignored: the venue has none on these streams.
        Raises `ProtocolFault`.
        """
        if opcode == CONTINUATION:
            if not self.open:
                raise ProtocolFault("fragment", PROTOCOL_ERROR, "continuation of no message")
        elif self.open:
            raise ProtocolFault("fragment", PROTOCOL_ERROR, "a message inside an open one")
        else:
            self._binary = opcode == BINARY
        self._add(payload)
        if not fin:
            return None
        message = bytes(self._partial)
        self._partial.clear()
        self._fragments = 0
        if self._binary:
            self.binary_ignored += 1
            return None
        return message

    def _add(self, payload: bytes) -> None:
        self._fragments += 1
        size = len(self._partial) + len(payload)
        if size > self._bytes_max or self._fragments > self._fragments_max:
            raise ProtocolFault(
                "fragment_size",
                MESSAGE_TOO_BIG,
                f"message of {size} bytes in {self._fragments} fragments and not at its end",
            )
        self._partial += payload


def check_reserved(rsv: int) -> None:
    """No extension was agreed, so a reserved bit has no meaning. Raises `ProtocolFault`."""
    if rsv:
        raise ProtocolFault("rsv", PROTOCOL_ERROR, f"reserved bits {rsv:03b} set")
