"""The article's book: the standard library's JSON and a SortedDict a side.

Corrected to the wire as it is: size "0" deletes, a snapshot replaces at any time, sides are
lists of string pairs. Its z-score is left out, which is in its favour.
"""

from __future__ import annotations

import json

from fastbook.runtime.benchmark.peers import Peer

from .sorted_dict import SortedDictPeer

NAME = "json + SortedDict"


def make() -> Peer:
    return SortedDictPeer(json.loads)
