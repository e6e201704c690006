"""What people use today, each in a module of its own, behind `fastbook.runtime.benchmark.peers.Peer`.

A module names the peer in NAME and makes one with `make()`. One whose package is missing is left
out, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from fastbook.runtime.benchmark.peers import Peer, json_lists, orjson_lists

MODULES = ("article", "sorted_dict", "order_book_c", "pybit_book", "ccxt_book")
ARTICLE = "json + SortedDict"

Make = Callable[[], Peer]


def available() -> tuple[dict[str, Make], dict[str, str]]:
    """Peers by name, and of those that are left out, by module, why."""
    peers: dict[str, Make] = {}
    reasons: dict[str, str] = {}
    for module_name in MODULES:
        try:
            module = import_module(f"{__name__}.{module_name}")
        except ImportError as e:
            reasons[module_name] = f"{e}; pip install -r bench/requirements.txt"
        else:
            peers[module.NAME] = module.make
    peers["orjson + sorted lists"] = orjson_lists
    peers["json + sorted lists"] = json_lists
    return peers, reasons
