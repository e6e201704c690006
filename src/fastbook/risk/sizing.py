"""How much: fractional Kelly from the strategy's own record, held down on every side."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from fastbook.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """Closed round trips of one strategy, net of fees.

    `payoff` is the mean win divided by the mean loss, both positive; nan without a loss.
    """

    trades: int = 0
    win_rate: float = math.nan
    payoff: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class SizingParams:
    """All fractions are of equity, as notional; 0.01 is one per cent."""

    kelly_fraction: float = 0.25
    """Share of the full Kelly stake that is used."""
    trades_min: int = 30
    """Closed trades before the record is believed at all."""
    probe: float = 0.01
    """The stake until then."""
    probe_without_edge: float = 0.0
    """The stake when the record says that there is no edge; 0 stops the strategy's entries."""
    stake_max: float = 0.05
    """Cap of any stake, before confidence and volatility shrink it."""
    volatility_bps_target: float = 20.0
    """Above this volatility (of one sampled bar) the stake shrinks in proportion."""
    volatility_unknown_scale: float = 0.5
    """Instead of that proportion, as long as there is no measured volatility."""

    def __post_init__(self) -> None:
        problems = []
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                problems.append(f"{field.name} must be a number, was {value!r}")
            elif not math.isfinite(value) or value < 0:
                problems.append(f"{field.name} must be finite and not negative, was {value!r}")
            elif field.name not in _UNBOUNDED and value > 1:
                problems.append(f"{field.name} is a fraction of 1, was {value!r}")
        if not problems and not (isinstance(self.trades_min, int) and self.trades_min >= 1):
            problems.append(f"trades_min must be a whole number above 0, was {self.trades_min!r}")
        if not problems and self.volatility_bps_target <= 0:
            problems.append("volatility_bps_target must be above 0")
        if problems:
            raise ConfigError("sizing: " + "; ".join(problems))


_UNBOUNDED = {"trades_min", "volatility_bps_target"}


def kelly(win_rate: float, payoff: float) -> float:
    """The stake that maximises expected log wealth of a bet with two outcomes.

    f* = p - (1 - p) / b, with p the win rate and b the payoff ratio. At most 1; negative when
    there is no edge; nan when the inputs do not say. Source: Kelly, "A New Interpretation of
    Information Rate", Bell System Technical Journal 35 (1956), pages 917-926, in the form for
    unequal payoff (bp - q) / b of Thorp, "The Kelly Criterion in Blackjack, Sports Betting, and
    the Stock Market" (1997). It assumes that a loss costs the whole stake; used here as a
    fraction of notional, where a loss costs a part of it, it is on the careful side.
    """
    if math.isnan(win_rate) or math.isnan(payoff) or payoff <= 0:
        return math.nan
    return win_rate - (1.0 - win_rate) / payoff


class Sizer:
    """Stakes as a fraction of equity."""

    def __init__(self, params: SizingParams | None = None) -> None:
        self.params = params or SizingParams()

    def stake(self, record: TrackRecord, *, confidence: float, volatility_bps: float) -> float:
        """Fraction of equity to hold as notional, in [0, `stake_max`].

        `confidence` is clamped to [0, 1], nan counts as 0. `volatility_bps` may be nan.
        """
        if not confidence > 0.0:
            return 0.0
        stake = self._stake_of_record(record) * min(confidence, 1.0)
        return stake * self._volatility_scale(volatility_bps)

    def _stake_of_record(self, record: TrackRecord) -> float:
        p = self.params
        if record.trades < p.trades_min:
            return min(p.probe, p.stake_max)
        if record.win_rate >= 1.0:
            # Not one loss: no payoff ratio, and no proof that there is none to come.
            return min(p.probe, p.stake_max)
        full = kelly(record.win_rate, record.payoff)
        if not full > 0.0:
            return min(p.probe_without_edge, p.stake_max)
        return min(full * p.kelly_fraction, p.stake_max)

    def _volatility_scale(self, volatility_bps: float) -> float:
        p = self.params
        if math.isnan(volatility_bps) or volatility_bps < 0.0:
            return p.volatility_unknown_scale
        if volatility_bps <= p.volatility_bps_target:
            return 1.0
        return p.volatility_bps_target / volatility_bps
