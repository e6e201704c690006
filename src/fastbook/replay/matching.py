"""The market that a simulated exchange plays: matching book, published depth, order flow."""

from fastbook.replay._depth import DepthPublisher
from fastbook.replay._flow import MarketFlow
from fastbook.replay._matching import MatchingBook
from fastbook.replay.universe import Market, universe

__all__ = ["DepthPublisher", "Market", "MarketFlow", "MatchingBook", "universe"]
