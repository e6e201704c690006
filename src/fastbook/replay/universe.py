"""The instruments of the simulated exchange: plausible, fixed, as many as are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from fastbook.types import Category, Instrument


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """An instrument, where its price starts, and what its book looks like."""

    instrument: Instrument
    start_px: int  # a multiple of the tick
    typical_qty: int  # of one level near the touch
    occupancy: float  # share of the ticks that hold a level, 0.05 to 1
    volatility: float  # scales every move of the fair price, above 0
    activity: float = 1.0  # how much happens in a second of real time, above 0


# Base coin, start price, tick as the venue writes it (trailing zeros count: they set the scale
# of prices on the wire), lot, leverage. Ticks and lots are of the size that the real perpetuals
# have; prices are of some day and mean nothing.
_TABLE = """
BTC    65114.20  0.10      0.001  100
ETH    2613.45   0.01      0.01   100
SOL    148.37    0.010     0.1    100
XRP    0.6105    0.0001    0.1    75
DOGE   0.16482   0.00001   1      75
BNB    574.30    0.10      0.01   50
ADA    0.4127    0.0001    1      75
AVAX   27.845    0.005     0.1    50
LINK   11.382    0.001     0.1    50
LTC    71.46     0.01      0.1    50
DOT    5.1730    0.0010    0.1    50
TRX    0.14872   0.00001   1      50
BCH    348.65    0.05      0.01   50
NEAR   4.6120    0.0010    0.1    50
ATOM   6.5480    0.0010    0.1    50
UNI    7.4210    0.0010    0.1    50
APT    8.3215    0.0005    0.01   50
ARB    0.5732    0.0001    0.1    50
OP     1.6184    0.0001    0.1    50
FIL    4.0270    0.0010    0.1    50
ETC    20.846    0.001     0.1    50
XLM    0.09847   0.00001   1      50
SUI    1.92140   0.00010   10     75
TON    5.4720    0.0001    0.1    50
INJ    21.352    0.001     0.1    50
SEI    0.4089    0.00005   1      50
TIA    5.8380    0.0005    0.1    50
AAVE   142.57    0.01      0.01   50
RUNE   4.8460    0.0005    0.1    25
STX    1.7532    0.0001    0.1    25
IMX    1.4873    0.0001    0.1    25
GRT    0.16523   0.00001   0.1    25
LDO    1.1074    0.0001    0.1    25
CRV    0.2846    0.00005   0.1    25
MKR    1583.4    0.1       0.001  25
SNX    1.4382    0.0001    0.1    25
ALGO   0.12876   0.00001   0.1    25
VET    0.023415  0.000001  1      25
ICP    8.4230    0.0010    0.1    50
HBAR   0.05468   0.00001   1      50
FTM    0.6718    0.0001    1      25
SAND   0.2593    0.00005   1      25
MANA   0.2914    0.00005   1      25
AXS    4.8370    0.0010    0.1    25
GALA   0.020483  0.000001  1      25
CHZ    0.06472   0.00001   1      25
EOS    0.48730   0.00010   0.1    25
XTZ    0.6784    0.0001    0.1    25
EGLD   26.480    0.005     0.1    25
DYDX   0.9284    0.0001    0.1    25
WLD    1.9325    0.0001    0.1    25
JUP    0.7836    0.0001    1      25
PYTH   0.3247    0.00005   1      25
ORDI   32.715    0.005     0.01   25
BLUR   0.22846   0.00001   1      25
COMP   45.72     0.01      0.01   25
ENS    17.426    0.001     0.1    25
GMX    22.385    0.005     0.01   25
KAVA   0.3327    0.00005   0.1    25
ZEC    48.64     0.01      0.01   25
"""

# Traded value of a typical level, in quote units, before it is thinned out down the list.
_DENSE_NOTIONAL = Decimal(60_000)
_SPARSE_NOTIONAL = Decimal(10_000)
_ACTIVITY = {"BTC": 0.45, "ETH": 0.25}
_ACTIVITY_OTHERS = 0.21
_INVERSE_QTY_MAX = 25_000_000  # dollars
_SPOT_LOT_DIGITS = 2  # spot quantities are this many decimals finer


def universe(count: int, category: Category = Category.LINEAR) -> list[Market]:
    """The first `count` markets, always the same ones.

    Past the named coins come made-up ones, SIM061USDT and so on. An inverse market is quoted in
    USD and settles in its base coin; its quantities are whole dollars.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, was {count}")
    rows = [line.split() for line in _TABLE.strip().splitlines()]
    rows += [_made_up(i) for i in range(len(rows), count)]
    return [_market(i, row, category) for i, row in enumerate(rows[:count])]


def _made_up(index: int) -> list[str]:
    cents = 1_000 + index * 7_919 % 9_000
    return [f"SIM{index + 1:03d}", f"{cents // 100}.{cents % 100:02d}0", "0.001", "0.1", "25"]


def _market(index: int, row: list[str], category: Category) -> Market:
    base, price, tick, lot, leverage = row
    spot, inverse = category is Category.SPOT, category is Category.INVERSE
    price_scale = _decimals(tick)
    qty_scale = 0 if inverse else _decimals(lot) + (_SPOT_LOT_DIGITS if spot else 0)
    lot_units = 1 if spot or inverse else _units(lot, qty_scale)
    ticks_per_bp = Decimal(price) / Decimal(tick) / 10_000
    dense = ticks_per_bp < 4
    level_value = (_DENSE_NOTIONAL if dense else _SPARSE_NOTIONAL) / (1 + index // 10)
    qty_max = (
        _INVERSE_QTY_MAX
        if inverse
        else _units(str(50_000_000 // int(Decimal(price) + 1) + 1_000), qty_scale)
    )
    instrument = Instrument(
        index=index,
        category=category,
        symbol=f"{base}USD" if inverse else f"{base}USDT",
        base=base,
        quote="USD" if inverse else "USDT",
        settle="" if spot else base if inverse else "USDT",
        price_scale=price_scale,
        qty_scale=qty_scale,
        tick=_units(tick, price_scale),
        lot=lot_units,
        qty_min=lot_units,
        qty_max=qty_max,
        qty_max_market=qty_max // 5 // lot_units * lot_units,
        notional_min=Decimal(0 if inverse else 5),
        leverage_max=Decimal(1) if spot else Decimal(leverage),
    )
    size = level_value if inverse else (level_value / Decimal(price)).scaleb(qty_scale)
    typical = int(size) // lot_units * lot_units
    return Market(
        instrument=instrument,
        start_px=_units(price, price_scale),
        typical_qty=max(2 * lot_units, typical),
        occupancy=1.0 if dense else 0.7 if ticks_per_bp < 50 else 0.4,
        volatility=1.0 if dense else 0.5,
        activity=_ACTIVITY.get(base, _ACTIVITY_OTHERS),
    )


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _units(text: str, scale: int) -> int:
    value = Decimal(text).scaleb(scale)
    if value != int(value):
        raise ValueError(f"{text} has more than {scale} decimals")
    return int(value)
