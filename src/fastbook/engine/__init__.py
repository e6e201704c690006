"""The engine: the one place where strategy, risk and execution meet."""

from fastbook.engine.desk import OPERATOR
from fastbook.engine.engine import PRIVATE_LINK, REST_LINK, Engine
from fastbook.engine.stats import Stats

__all__ = ["OPERATOR", "PRIVATE_LINK", "REST_LINK", "Engine", "Stats"]
