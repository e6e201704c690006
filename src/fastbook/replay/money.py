"""Decimal arithmetic that is exact or says so, and decimals as the venue writes them."""

from __future__ import annotations

from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)

from fastbook.types import Category, Instrument

ZERO = Decimal(0)
PICO = Decimal("1e-12")
"""The last digit that fees, released cost and averages keep."""

_SERIOUS = [InvalidOperation, DivisionByZero, Overflow]
# Adding, subtracting and multiplying money must not round; if it ever did, this raises Inexact.
EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN, traps=[*_SERIOUS, Inexact])
_add = EXACT.add
_ROUNDING = Context(prec=80, rounding=ROUND_HALF_EVEN, traps=_SERIOUS)


def plus(*terms: Decimal) -> Decimal:
    """Exact sum, 0 of nothing."""
    if not terms:
        return ZERO
    total = terms[0]
    for term in terms[1:]:
        total = _add(total, term)
    return total


def minus(a: Decimal, b: Decimal) -> Decimal:
    """Exact difference."""
    return EXACT.subtract(a, b)


def times(a: Decimal, b: Decimal) -> Decimal:
    """Exact product."""
    return EXACT.multiply(a, b)


def pico(value: Decimal) -> Decimal:
    """`value` rounded half to even at the twelfth decimal."""
    return _ROUNDING.quantize(value, PICO)


def over(a: Decimal, b: Decimal) -> Decimal:
    """a / b rounded half to even at the twelfth decimal; `b` must not be 0."""
    return pico(_ROUNDING.divide(a, b))


def notional(instrument: Instrument, px: int, qty: int) -> Decimal:
    """Exact quote value of `qty` at `px`, both fixed-point."""
    return EXACT.scaleb(Decimal(px * qty), -instrument.price_scale - instrument.qty_scale)


def contract_value(instrument: Instrument, px: int, qty: int) -> Decimal:
    """What `qty` at `px` is worth in the coin it settles in.

    Exact for linear and spot. An inverse contract is 1 USD, worth 1 / px of the base coin:
    rounded half to even at 1e-12, once a fill, the same for both of its sides.
    """
    if instrument.category is Category.INVERSE:
        return over(instrument.qty_decimal(qty), instrument.px_decimal(px))
    return notional(instrument, px, qty)


def wire_text(value: Decimal) -> str:
    """Plain decimal text: no exponent, no trailing zeros, never "-0"."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def padded_text(value: Decimal, decimals: int) -> str:
    """Plain decimal text with at least `decimals` digits after the point, as spot rows have it."""
    text = wire_text(value)
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<{decimals}}" if decimals > 0 else text
