"""The names of everything in the cache. docs/cache.md lists them for other programs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """Of one environment and category."""

    environment: str
    category: str

    def l1(self, symbol: str) -> str:
        return f"fb:{self.environment}:l1:{self.category}:{symbol}"

    def l2(self, symbol: str) -> str:
        return f"fb:{self.environment}:l2:{self.category}:{symbol}"

    @property
    def orders(self) -> str:
        """Hash: client id -> JSON of the newest row of an order that is open."""
        return f"fb:{self.environment}:orders:{self.category}"

    @property
    def positions(self) -> str:
        """Hash: symbol (and /leg in hedge mode) -> JSON of a position that is open."""
        return f"fb:{self.environment}:positions:{self.category}"

    def stream(self, name: str) -> str:
        """Capped stream: fills, risk or states. One JSON document an entry, field `row`."""
        return f"fb:{self.environment}:{name}:{self.category}"
