"""The bytes of a cached book: fixed, little-endian, the same in memory, Redis and readers.

L1 is 88 bytes; L2 is a head of 56 bytes and 16 bytes a level, bids before asks, best first.
docs/cache.md has the table of fields. A change of any field is a new version byte.
"""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from itertools import chain

from fastbook import Book
from fastbook.core.states import BookState
from fastbook.errors import WireError

from . import _packing

VERSION = 1
L1_MAGIC = b"F1"
L2_MAGIC = b"F2"
# magic, version, state, price scale, quantity scale, bids, asks, zero; u, seq, ts, cts, written
HEAD = struct.Struct("<2sBBBBHHxxxxxx5q")
TOUCH = struct.Struct("<4q")  # bid px, bid qty, ask px, ask qty
LEVEL_BYTES = 16
LEVELS_MAX = 1_000
_NO_LEVEL = (0, 0)


@dataclass(frozen=True, slots=True)
class CachedBook:
    """A book as the cache has it; px and qty are fixed-point at the scales given.

    `written_ms` is the writer's wall clock: what is older than the reader can bear is not a
    price. `state` is the engine's; only SYNCED is a book to rely on.
    """

    state: BookState
    price_scale: int
    qty_scale: int
    u: int
    seq: int
    ts_ms: int
    cts_ms: int
    written_ms: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


def pack_l2(book: Book, levels: int, written_ms: int) -> bytes:
    """At most `levels` a side, of a book in whatever state. Under a microsecond for fifty."""
    if sys.byteorder == "little":
        return _packing.pack_l2(book, levels, written_ms)
    return pack_l2_py(book, levels, written_ms)


def pack_l2_py(book: Book, levels: int, written_ms: int) -> bytes:
    """The same in Python, on any machine; what the compiled form is held to."""
    bids, asks = (side[:levels] for side in book.levels())
    head = HEAD.pack(
        L2_MAGIC, VERSION, int(book.state), book.price_scale, book.qty_scale, len(bids), len(asks),
        book.u, book.seq, book.ts_ms, book.cts_ms, written_ms,
    )  # fmt: skip
    return head + struct.pack(
        f"<{2 * (len(bids) + len(asks))}q", *chain.from_iterable(chain(bids, asks))
    )


def l1_of(l2: bytes) -> bytes:
    """The L1 form of a packed L2: the same head, and the touch alone."""
    _, version, state, px, qty, n_bids, n_asks, *times = HEAD.unpack_from(l2)
    bid = _level(l2, 0) if n_bids else _NO_LEVEL
    ask = _level(l2, n_bids) if n_asks else _NO_LEVEL
    head = HEAD.pack(L1_MAGIC, version, state, px, qty, min(n_bids, 1), min(n_asks, 1), *times)
    return head + TOUCH.pack(*bid, *ask)


def unpack(data: bytes) -> CachedBook:
    """Either form. `WireError` for bytes that are not one of them, or of another version."""
    if len(data) < HEAD.size:
        raise WireError(f"a cached book has {HEAD.size} bytes or more, this has {len(data)}")
    magic, version, state, px_scale, qty_scale, n_bids, n_asks, *times = HEAD.unpack_from(data)
    if magic not in (L1_MAGIC, L2_MAGIC) or version != VERSION:
        raise WireError(f"not a cached book of version {VERSION}: {bytes(data[:3])!r}")
    l1 = magic == L1_MAGIC
    wanted = HEAD.size + (TOUCH.size if l1 else (n_bids + n_asks) * LEVEL_BYTES)
    if len(data) != wanted or state not in BookState.__members__.values():
        raise WireError(f"a damaged cached book: {len(data)} bytes of {wanted}, state {state}")
    flat = struct.unpack_from(f"<{(len(data) - HEAD.size) // 8}q", data, HEAD.size)
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    if l1:
        bids, asks = pairs[:1][:n_bids], pairs[1:][:n_asks]
    else:
        bids, asks = pairs[:n_bids], pairs[n_bids:]
    u, seq, ts_ms, cts_ms, written_ms = times
    return CachedBook(
        BookState(state), px_scale, qty_scale, u, seq, ts_ms, cts_ms, written_ms, bids, asks
    )


def _level(l2: bytes, at: int) -> tuple[int, int]:
    px, qty = struct.unpack_from("<2q", l2, HEAD.size + at * LEVEL_BYTES)
    return px, qty
