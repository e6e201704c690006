"""What the store keeps, as plain values, and the seal that shows when one was changed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields

import orjson

from fastbook.errors import StateError


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOrder:
    """Enough of one order to know it again, to find it at the venue and to count it.

    `symbol` and the scales instead of the engine's index: the next start may have others.
    """

    client_id: str
    strategy: str
    symbol: str
    side: int
    px: int
    qty: int
    price_scale: int
    qty_scale: int
    order_type: str
    tif: str
    reduce_only: bool
    sent_ms: int
    position_idx: int = 0
    state: str = "sent"
    order_id: str = ""
    acked: bool = False
    seen: bool = False
    cum_qty: int = 0
    booked_qty: int = 0
    updated_ms: int = 0


@dataclass(frozen=True, slots=True)
class StoredFill:
    """An execution that an order which is not over yet has had."""

    exec_id: str
    client_id: str


_TYPES = {f.name: f.type for f in fields(StoredOrder)}
_CHECKS = {"str": str, "int": int, "bool": bool}


def pack(order: StoredOrder) -> bytes:
    return orjson.dumps(order)


def unpack(body: bytes, where: str) -> StoredOrder:
    """StateError for anything that is not a whole order."""
    said = json_object(body, where)
    for name, kind in _TYPES.items():
        if name not in said or type(said[name]) is not _CHECKS[str(kind)]:
            raise StateError(f"{where}: {name} is missing or no {kind}")
    if len(said) != len(_TYPES):
        raise StateError(f"{where}: holds what this version does not know")
    return StoredOrder(**said)  # type: ignore[arg-type]  # each was just checked


def json_object(body: bytes, where: str) -> dict[str, object]:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as e:
        raise StateError(f"{where}: cannot be read: {e}") from e
    if not isinstance(said, dict):
        raise StateError(f"{where}: is no object")
    return said


def seal(*parts: str | bytes) -> int:
    """CRC-32 over the parts of a row."""
    crc = 0
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        crc = zlib.crc32(data, zlib.crc32(len(data).to_bytes(4, "little"), crc))
    return crc
