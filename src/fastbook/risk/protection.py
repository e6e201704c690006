"""How positions are protected at the venue; `engine.protection` does it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from fastbook.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectionParams:
    """How positions are protected at the venue."""

    enabled: bool = True
    slack: float = 1.5
    """How far behind the strategy's own stop the venue's lies, as a multiple of its distance."""
    stop_loss_pct: float = 2.0
    """Per cent of the entry price, for strategies without a stop of their own; 0 = none then."""
    repeat_ms: int = 1_000
    """Between two attempts to set stops."""
    attempts_max: int = 5
    """After so many in vain the position is left."""
    move_share: float = 0.1
    """Stops follow a changing entry price when they are off by this share of their distance."""

    def __post_init__(self) -> None:
        problems = []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "enabled":
                continue
            least = 0 if field.name in ("stop_loss_pct", "move_share") else 1
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least:
                problems.append(f"{field.name} must be at least {least}, was {value!r}")
        if not problems and not self.stop_loss_pct < 100:
            problems.append(f"stop_loss_pct must be below 100, was {self.stop_loss_pct}")
        if problems:
            raise ConfigError("protection: " + "; ".join(problems))


OFF = ProtectionParams(enabled=False)
