"""What one seed draws: which faults exist in its run, how often, and how the world is made."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from random import Random

RATES = {
    # fault: (least, most) a virtual minute, where a seed has it at all
    "cut public": (0.2, 6),
    "cut private": (0.2, 6),
    "half-open public": (0.1, 1.5),
    "half-open private": (0.1, 1.5),
    "stall public": (0.2, 6),
    "stall private": (0.2, 6),
    "cut trade": (0.2, 6),
    "half-open trade": (0.1, 1.5),
    "stall trade": (0.2, 6),
    "bad trade link": (0.2, 3),
    "trade unreachable": (0.1, 1),
    "trade gateway error": (0.2, 4),
    "trade answer astray": (0.2, 4),
    "bad public link": (0.2, 4),
    "bad private link": (0.2, 3),
    "bad rest": (0.2, 4),
    "rest down": (0.1, 2),
    "public unreachable": (0.1, 1),
    "private unreachable": (0.1, 1),
    "book restart": (0.2, 6),
    "book snapshot": (0.2, 6),
    "book gap": (0.5, 20),
    "book repeated": (0.5, 20),
    "book garbled": (0.2, 6),
    "book stall": (0.2, 4),
    "book side empty": (0.2, 3),
    "subscription refused": (0.1, 1),
    "order refused": (0.5, 10),
    "order answer lost": (0.5, 10),
    "orders slow": (0.2, 3),
    "order request lost": (0.2, 6),
    "answer lost": (0.2, 6),
    "order carried out late": (0.2, 4),
    "order refused by stream": (0.2, 4),
    "rate limited": (0.2, 3),
    "private rows replayed": (0.2, 4),
    "closed orders forgotten": (0.2, 2),
    "position liquidated": (0.05, 0.5),
    "position deleveraged": (0.1, 1),
    "symbol reduce-only": (0.1, 1),
    "cancel races": (0.2, 3),
    "private rows out of order": (0.2, 3),
    "private rows doubled": (0.5, 10),
    "private rows late": (0.2, 3),
    "http 5xx": (0.2, 4),
    "auth refused": (0.1, 1),
    "upgrade refused": (0.1, 2),
    "pongs muted": (0.1, 1),
    "server closes": (0.1, 2),
    "venue clock skew": (0.1, 2),
    "traded outside": (0.1, 2),
    "process killed": (0.2, 3),
    "killed at a point": (0.2, 3),
    "power lost": (0.1, 1),
    "process stopped": (0.1, 1),
    "loop stalls": (0.2, 4),
    "wall clock jumps": (0.1, 2),
    "operator": (0.1, 2),
}
RARE = {"rest banned": 0.04, "strategy raises": 0.15}
"""At most once a run, with this probability."""

SHARE = 0.3
"""Of the faults, those that a seed has on average; some seeds have none, some nearly all."""


@dataclass(slots=True, kw_only=True)
class Options:
    """Drawn by `draw`; printed before a run."""

    seed: int
    minutes: float = 2.0
    symbols: int = 2
    depth: int = 50
    frames_per_s: float = 8.0
    tick_s: float = 0.05
    timer_s: float = 0.1
    latency_ms: tuple[float, float] = (1.0, 5.0)
    clock_off_ms: int = 0
    start_of_day_s: float = 3600.0
    stale_after_ms: int = 2_000
    daily_loss_pct: float = 5.0
    rejections_max: int | None = 20
    entries_per_minute_max: int | None = 120
    orders_per_day_max: int | None = None
    price_collar_bps: int = 100
    leverage_max: float = 10.0
    position_pct_max: float = 10.0
    recv_window_ms: int = 5_000
    entry: str = "ws"
    eager: float = 0.1
    resting: float = 0.5
    silly: float = 0.05
    notional: float = 500.0
    raises: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)
    rare: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """As printed before a run."""
        values = asdict(self)
        rates = values.pop("rates")
        said = [", ".join(f"{k}={v}" for k, v in values.items())]
        said += [f"  {name}: {rate:.2f} a minute" for name, rate in rates.items()]
        return said


def _log_uniform(dice: Random, low: float, high: float) -> float:
    return math.exp(dice.uniform(math.log(low), math.log(high)))


def draw(seed: int, *, minutes: float = 2.0) -> Options:
    """The options of one seed."""
    dice = Random(f"options-{seed}")
    low = _log_uniform(dice, 0.2, 40)
    options = Options(
        seed=seed,
        minutes=minutes,
        symbols=dice.choice([1, 2, 2, 3]),
        depth=dice.choice([1, 50, 50, 200]),
        frames_per_s=_log_uniform(dice, 4, 16),
        tick_s=dice.choice([0.05, 0.1, 0.2]),
        timer_s=dice.choice([0.05, 0.1, 0.2, 0.3]),
        latency_ms=(low, low * dice.uniform(1.0, 4.0)),
        clock_off_ms=dice.choice([0, 0, 0, dice.randint(-2_000, 2_000), 3_600_000, -3_600_000]),
        # a quarter of the runs cross midnight, or an hour of funding
        start_of_day_s=dice.choice([3_600.0, 50_000.0, 86_400.0 - 60, 8 * 3_600.0 - 60]),
        stale_after_ms=dice.choice([500, 1_000, 2_000, 5_000]),
        daily_loss_pct=dice.choice([0.02, 0.1, 0.5, 5.0, 5.0, 5.0]),
        rejections_max=dice.choice([3, 20, 20, None]),
        entries_per_minute_max=dice.choice([5, 60, 120, None]),
        orders_per_day_max=dice.choice([None, None, None, 20]),
        price_collar_bps=dice.choice([20, 100, 500]),
        leverage_max=dice.choice([0.05, 1.0, 10.0]),
        position_pct_max=dice.choice([0.6, 2.0, 10.0]),
        recv_window_ms=dice.choice([1_000, 5_000]),
        entry=dice.choice(["ws", "ws", "rest"]),
        eager=_log_uniform(dice, 0.05, 0.5),
        resting=dice.choice([0.1, 0.5, 0.9]),
        silly=dice.choice([0.0, 0.05, 0.3]),
        notional=_log_uniform(dice, 50, 5_000),
    )
    share = dice.choice([0.0, 0.1, SHARE, SHARE, SHARE, 0.6, 0.9])
    for name, (least, most) in RATES.items():
        rate = _log_uniform(dice, least, most)
        if dice.random() < share:
            options.rates[name] = rate
    for name, probability in RARE.items():
        if dice.random() < probability * (share > 0):
            options.rare.append(name)
    if "strategy raises" in options.rare:
        options.raises = 0.02
    return options
