"""What survives kill -9: the store, the instance lock, the kill mark, heartbeats."""

from __future__ import annotations

from .heartbeat import Beat, Heart, read_beat
from .lock import Holder, InstanceLock, holder_of
from .marks import KILL, RESUME, Mark
from .place import place_of, prepare
from .rows import StoredFill, StoredOrder
from .store import Store, read_open_orders

__all__ = [
    "KILL",
    "RESUME",
    "Beat",
    "Heart",
    "Holder",
    "InstanceLock",
    "Mark",
    "Store",
    "StoredFill",
    "StoredOrder",
    "holder_of",
    "place_of",
    "prepare",
    "read_beat",
    "read_open_orders",
]
