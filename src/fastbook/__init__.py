"""Order books you can trust and a trading engine for Bybit v5."""

from fastbook._version import __version__

__all__ = ["__version__"]
