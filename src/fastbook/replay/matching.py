"""The market that a simulated exchange plays: matching book, published depth, order flow."""

from fastbook.replay._depth import DepthPublisher
from fastbook.replay._matching import MatchingBook

__all__ = ["DepthPublisher", "MatchingBook"]
