"""The engine: the one place where strategy, risk and execution meet."""

from fastbook.engine.desk import OPERATOR, Stats
from fastbook.engine.engine import PRIVATE_LINK, Engine

__all__ = ["OPERATOR", "PRIVATE_LINK", "Engine", "Stats"]
