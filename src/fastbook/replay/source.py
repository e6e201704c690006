"""Lines of a recording to frames, whatever recorded them. No files here: iterables of bytes.

Formats, told apart line by line:

- ``local_ns raw-JSON``: our own recordings and the hftbacktest collector's;
- ``2026-08-09T21:27:00.1234567Z raw-JSON``: Tardis;
- one raw frame a line: Bybit's own downloads;
- the envelope ``{"t": "connect" | "send" | "recv", "conn", "ts", "data"}``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from fastbook.errors import DataFileError


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """One received frame."""

    line: int  # 1-based
    recv_ns: int  # the recorder's clock, 0 when it wrote none
    data: bytes


OnDamage = Callable[[DataFileError], None]


def read_frames(
    lines: Iterable[bytes], name: str, on_damage: OnDamage | None = None
) -> Iterator[RecordedFrame]:
    """Yield every received frame.

    A line that cannot be read raises a DataFileError that names file and line; with `on_damage`
    the error goes there instead, and the line is left out.
    """
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line:
            continue
        try:
            frame = _read_line(line)
        except (ValueError, OverflowError) as e:
            error = DataFileError(name, f"not a recorded frame ({e})", line=number)
            if on_damage is None:
                raise error from None
            on_damage(error)
            continue
        if frame is not None:
            yield RecordedFrame(number, *frame)


def _read_line(line: bytes) -> tuple[int, bytes] | None:
    if line.startswith(b"{"):
        return _read_envelope(line) if line.startswith(b'{"t":') else (0, line)
    stamp, space, data = line.partition(b" ")
    if not space or not data.startswith((b"{", b"[")):
        raise ValueError(f"it starts with {line[:24]!r}")
    if stamp.isdigit() and len(stamp) <= 19:
        return int(stamp), data
    return _iso_ns(stamp.decode("ascii")), data


def _read_envelope(line: bytes) -> tuple[int, bytes] | None:
    envelope = orjson.loads(line)
    kind, data, ts = envelope.get("t"), envelope.get("data"), envelope.get("ts")
    if kind in ("connect", "send", "disconnect"):
        return None
    if kind != "recv" or not isinstance(data, str) or not isinstance(ts, (int, float)):
        raise ValueError("an envelope without t, ts or data")
    return int(ts * 1e9), data.encode()


def _iso_ns(text: str) -> int:
    """Nanoseconds of an ISO 8601 UTC stamp, to the 100 ns that Tardis writes."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    if not fraction.isdigit() or len(fraction) > 9:
        raise ValueError(f"{text!r} is not a time stamp")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0"))
