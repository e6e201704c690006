"""What the private stream may be told, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass

from .link_config import LinkConfig, LinkStats

TOPICS = ("order", "execution", "position", "wallet")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateStreamConfig(LinkConfig):
    """The topics of one account."""

    topics: tuple[str, ...] = TOPICS

    def problems(self) -> list[str]:
        found = LinkConfig.problems(self)  # no super(): slots make another class of this one
        return found if self.topics else [*found, "topics must name at least one topic"]


@dataclass(slots=True)
class PrivateStats(LinkStats):
    events: int = 0
