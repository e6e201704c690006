"""What to want: from books and signals to intents. Knows neither limits nor orders."""

from fastbook.strategy.bars import Bar, BarBuilder, BarSource
from fastbook.strategy.base import BookView, PositionView, Row, Strategy, touch
from fastbook.strategy.mean_reversion import MeanReversion, MeanReversionParams

__all__ = [
    "Bar",
    "BarBuilder",
    "BarSource",
    "BookView",
    "MeanReversion",
    "MeanReversionParams",
    "PositionView",
    "Row",
    "Strategy",
    "touch",
]
