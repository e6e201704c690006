from enum import IntEnum
from typing import Self, SupportsFloat, SupportsIndex, final

import numpy as np
from numpy.typing import NDArray

from fastbook.core.book import Book

class Signal(IntEnum):
    MID = 0
    SPREAD_BPS = 1
    MICROPRICE = 2
    IMBALANCE = 3
    ZSCORE = 4
    MEAN = 5
    STD = 6
    OFI = 7
    EWMA = 8
    VOLATILITY = 9
    ATR = 10
    SAMPLES = 11

@final
class SignalSet:
    @property
    def books(self) -> int: ...
    @property
    def lookback(self) -> int: ...
    @property
    def imbalance_levels(self) -> int: ...
    @property
    def sample_ms(self) -> int: ...
    @property
    def ofi_window(self) -> int: ...
    @property
    def ewma_halflife(self) -> float: ...
    @property
    def volatility_window(self) -> int: ...
    @property
    def atr_window(self) -> int: ...
    @property
    def bar_ms(self) -> int: ...
    @property
    def rows(self) -> NDArray[np.float64]: ...
    def __new__(
        cls,
        books: SupportsIndex,
        *,
        lookback: SupportsIndex = 20,
        imbalance_levels: SupportsIndex = 10,
        sample_ms: SupportsIndex = 100,
        ofi_window: SupportsIndex = 100,
        ewma_halflife: SupportsFloat = 20.0,
        volatility_window: SupportsIndex = 100,
        atr_window: SupportsIndex = 14,
        bar_ms: SupportsIndex = 1000,
    ) -> Self: ...
    def update(self, book: Book) -> None: ...
    def reset(self, index: int) -> None: ...
    def row(self, index: int) -> memoryview[float]: ...
