"""How real order book feeds are distributed, as constants.

Measured on recordings of Bybit v5 and, where those are too short, on order flow of another
venue re-expressed as Bybit frames (`feed-statistics.json` beside the recorded data that the
tests use; the entry is named above each profile). Quantiles are those of that file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

QUANTILES = (0.0, 0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 1.0)
"""At which every tuple of eleven below is given."""

Ranks = tuple[tuple[int, int, float], ...]
"""(first rank, last rank, share) of the level that an operation hits, 0 = best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of order book topic."""

    category: Literal["linear", "spot"]
    bid_levels: tuple[float, ...]  # a delta, by quantile
    ask_levels: tuple[float, ...]
    modify_share: float  # of all levels sent; inserts and deletes share the rest
    modify_ranks: Ranks
    insert_ranks: Ranks
    delete_ranks: Ranks
    occupancy: float  # share of the ticks that hold a level
    sizes: tuple[float, ...]  # in lots, by quantile
    px_decimals: int
    qty_decimals: int
    tick: int  # in units of the last price decimal
    start_px: int  # likewise


_BTC_SIZES = (1, 1, 1, 1, 4, 65, 400, 1500, 2500, 4400, 20_000)

# derived, orderbook.50.BTCUSDT: 6,352 deltas of a busy market. The recorded topic of this depth
# has 8 deltas, too few for a shape.
DEPTH_50 = Profile(
    category="linear",
    bid_levels=(0, 0, 0, 1, 1, 4, 8, 17, 30, 57, 100),
    ask_levels=(0, 0, 0, 1, 2, 4, 9, 19, 32, 64, 100),
    modify_share=0.37,
    modify_ranks=(
        (0, 0, 0.2446),
        (1, 1, 0.0221),
        (2, 4, 0.0633),
        (5, 9, 0.0944),
        (10, 19, 0.1547),
        (20, 49, 0.4209),
    ),
    insert_ranks=(
        (0, 0, 0.1256),
        (1, 1, 0.0188),
        (2, 4, 0.05),
        (5, 9, 0.079),
        (10, 19, 0.1286),
        (20, 49, 0.2518),
    ),
    delete_ranks=(
        (0, 0, 0.0159),
        (1, 1, 0.0268),
        (2, 4, 0.0772),
        (5, 9, 0.1051),
        (10, 19, 0.1602),
        (20, 49, 0.4866),
    ),
    occupancy=0.35,
    sizes=_BTC_SIZES,
    px_decimals=2,
    qty_decimals=3,
    tick=10,
    start_px=6_511_420,
)

# bybit, orderbook.200.BTCUSDT, linear: 413 deltas. In those quiet 45 s the mid never moved, and a
# mid that never moves leaves half of the signals idle: rank 0 is derived's (orderbook.200).
DEPTH_200 = Profile(
    category="linear",
    bid_levels=(0, 0, 0, 0, 1, 4, 9, 15, 23, 50, 96),
    ask_levels=(0, 0, 1, 2, 3, 7, 12, 20, 27, 42, 149),
    modify_share=0.551,
    modify_ranks=(
        (0, 0, 0.0434),
        (1, 1, 0.008),
        (2, 4, 0.0163),
        (5, 9, 0.0209),
        (10, 19, 0.045),
        (20, 49, 0.1694),
        (50, 99, 0.2281),
        (100, 199, 0.469),
    ),
    insert_ranks=(
        (0, 0, 0.0758),
        (1, 1, 0.0092),
        (2, 4, 0.0138),
        (5, 9, 0.0263),
        (10, 19, 0.0585),
        (20, 49, 0.1643),
        (50, 99, 0.2057),
        (100, 199, 0.272),
    ),
    delete_ranks=(
        (0, 0, 0.0118),
        (1, 1, 0.0079),
        (2, 4, 0.0125),
        (5, 9, 0.0302),
        (10, 19, 0.0558),
        (20, 49, 0.1675),
        (50, 99, 0.2096),
        (100, 199, 0.352),
    ),
    occupancy=0.66,
    sizes=_BTC_SIZES,
    px_decimals=2,
    qty_decimals=3,
    tick=10,
    start_px=6_511_420,
)

# bybit, orderbook.200.SOLUSDT, linear: 382 deltas; every tick holds a level, nearly all modifies.
DENSE_200 = Profile(
    category="linear",
    bid_levels=(0, 0, 0, 1, 1, 3, 5, 8, 11, 21, 31),
    ask_levels=(0, 0, 0, 0, 1, 2, 4, 7, 10, 21, 30),
    modify_share=0.9942,
    modify_ranks=(
        (0, 0, 0.0649),
        (1, 1, 0.0646),
        (2, 4, 0.2106),
        (5, 9, 0.2594),
        (10, 19, 0.139),
        (20, 49, 0.1996),
        (50, 99, 0.0404),
        (100, 189, 0.0216),
    ),
    insert_ranks=((0, 0, 1.0),),
    delete_ranks=((0, 0, 1.0),),
    occupancy=1.0,
    sizes=(120, 183, 370, 680, 1924, 5226, 14_902, 34_570, 61_036, 344_154, 513_482),
    px_decimals=3,
    qty_decimals=1,
    tick=10,
    start_px=148_370,
)

# Operations: bybit, orderbook.1000.BTCUSDT (4 deltas); levels a delta: derived, the same depth
# (1,727 deltas), because 4 say nothing about a tail.
DEPTH_1000 = Profile(
    category="linear",
    bid_levels=(0, 1, 3, 4, 8, 15, 31, 65, 105, 225, 848),
    ask_levels=(0, 1, 3, 4, 7, 13, 28, 70, 137, 457, 764),
    modify_share=0.5858,
    modify_ranks=(
        (0, 0, 0.0095),
        (1, 1, 0.0038),
        (5, 9, 0.0132),
        (10, 19, 0.0246),
        (20, 49, 0.051),
        (50, 99, 0.1267),
        (100, 199, 0.4045),
        (200, 499, 0.3119),
        (500, 999, 0.0548),
    ),
    insert_ranks=(
        (0, 0, 0.0749),
        (1, 1, 0.0107),
        (2, 4, 0.0107),
        (5, 9, 0.0214),
        (10, 19, 0.0428),
        (20, 49, 0.0856),
        (50, 99, 0.0749),
        (100, 199, 0.2406),
        (200, 499, 0.2406),
        (500, 999, 0.1497),
    ),
    delete_ranks=(
        (0, 0, 0.0053),
        (1, 1, 0.016),
        (2, 4, 0.0267),
        (5, 9, 0.0214),
        (10, 19, 0.0214),
        (20, 49, 0.0642),
        (50, 99, 0.1176),
        (100, 199, 0.2567),
        (200, 499, 0.2834),
        (500, 999, 0.1872),
    ),
    occupancy=0.47,
    sizes=_BTC_SIZES,
    px_decimals=2,
    qty_decimals=3,
    tick=10,
    start_px=6_511_420,
)

# bybit, orderbook.200.BTCUSDT, spot: 299 deltas; zeros are stripped, decimals vary. Rank 0 as above.
SPOT = Profile(
    category="spot",
    bid_levels=(0, 0, 0, 0, 0, 1, 2, 5, 6, 20, 52),
    ask_levels=(0, 0, 0, 0, 0, 1, 3, 5, 7, 19, 61),
    modify_share=0.3467,
    modify_ranks=(
        (0, 0, 0.5161),
        (2, 4, 0.0064),
        (5, 9, 0.045),
        (10, 19, 0.0792),
        (20, 49, 0.242),
        (50, 99, 0.0664),
        (100, 199, 0.045),
    ),
    insert_ranks=(
        (0, 0, 0.0758),
        (1, 1, 0.0091),
        (2, 4, 0.0045),
        (5, 9, 0.0636),
        (10, 19, 0.0932),
        (20, 49, 0.2841),
        (50, 99, 0.15),
        (100, 199, 0.0977),
    ),
    delete_ranks=(
        (0, 0, 0.0118),
        (1, 1, 0.0091),
        (2, 4, 0.0045),
        (5, 9, 0.0727),
        (10, 19, 0.0818),
        (20, 49, 0.2795),
        (50, 99, 0.1614),
        (100, 199, 0.2068),
    ),
    occupancy=0.2,
    sizes=(23, 78, 116, 231, 267, 30_664, 165_903, 506_275, 805_950, 2_738_495, 9_857_060),
    px_decimals=1,
    qty_decimals=6,
    tick=1,
    start_px=787_168,
)

PROFILES: dict[tuple[str, int], Profile] = {
    ("linear", 1): DEPTH_50,  # only the best level of it is published, as snapshots
    ("linear", 50): DEPTH_50,
    ("linear", 200): DEPTH_200,
    ("linear", 1000): DEPTH_1000,
    ("spot", 1): SPOT,
    ("spot", 50): SPOT,
    ("spot", 200): SPOT,
    ("spot", 1000): SPOT,
}
