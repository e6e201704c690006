"""What to want: from books and signals to intents. Knows neither limits nor orders."""

from fastbook.strategy.bars import Bar, BarBuilder, BarSource
from fastbook.strategy.base import BookView, PositionView, Row, Strategy, touch
from fastbook.strategy.market_maker import MarketMaker, MarketMakerParams
from fastbook.strategy.mean_reversion import MeanReversion, MeanReversionParams

__all__ = [
    "Bar",
    "BarBuilder",
    "BarSource",
    "BookView",
    "MarketMaker",
    "MarketMakerParams",
    "MeanReversion",
    "MeanReversionParams",
    "PositionView",
    "Row",
    "Strategy",
    "touch",
]
