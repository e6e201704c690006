"""The ledger against the rule in fractions, to the last digit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.portfolio import SlowLedger
from tests.support_decide import INSTRUMENT, fill, instrument

from fastbook.execution import Portfolio
from fastbook.replay.accounts import Position
from fastbook.types import Category, Side

# Small numbers make exact closes and turns; large ones make long remainders.
PX = st.one_of(st.integers(1, 30), st.integers(1, 10**11))
QTY = st.one_of(st.integers(1, 7), st.integers(1, 10**10))
FEE = st.decimals(-10, 10, places=12)
FILL = st.tuples(st.sampled_from([1, -1]), PX, QTY, FEE)
FUNDING = st.tuples(st.just(0), PX, QTY, FEE)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(FILL, FILL, FILL, FUNDING), max_size=40), PX)
def test_ledger_equals_the_rule_after_every_execution(
    moves: list[tuple[int, int, int, Decimal]], mark: int
) -> None:
    portfolio = Portfolio([INSTRUMENT], balance=Decimal(1000))
    slow = SlowLedger(Fraction(1000))
    portfolio.set_mark(0, mark, mark + 1)
    slow_mark = Fraction(2 * mark + 1, 2 * 100)

    for n, (side, px, qty, fee) in enumerate(moves):
        if side == 0:
            portfolio.apply(fill(str(n), px=px, qty=qty, fee=fee, exec_type="Funding"))
            slow.fund(Fraction(fee))
        else:
            portfolio.apply(fill(str(n), side=Side(side), px=px, qty=qty, fee=fee), "s")
            slow.fill(side, Fraction(px, 100), Fraction(qty, 1000), Fraction(fee))

        assert portfolio.balance is not None
        assert portfolio.equity is not None
        assert Fraction(portfolio.qty(0), 1000) == slow.qty
        assert Fraction(portfolio.cost(0)) == slow.cost
        assert Fraction(portfolio.realized) == slow.realized
        assert Fraction(portfolio.fees) == slow.fees
        assert Fraction(portfolio.balance) == slow.balance
        assert Fraction(portfolio.equity) == slow.equity(slow_mark)

    record = portfolio.record("s")
    assert record.total == len(slow.trips)
    if slow.trips:
        assert record.win_rate == sum(t > 0 for t in slow.trips) / len(slow.trips)


@settings(max_examples=100, deadline=None)
@given(st.lists(FILL, min_size=1, max_size=30), PX)
def test_closing_everything_turns_equity_into_cash(
    moves: list[tuple[int, int, int, Decimal]], last_px: int
) -> None:
    portfolio = Portfolio([INSTRUMENT], balance=Decimal(0))
    paid = Fraction(0)
    for n, (side, px, qty, fee) in enumerate(moves):
        portfolio.apply(fill(str(n), side=Side(side), px=px, qty=qty, fee=fee))
        paid += side * Fraction(px * qty, 10**5) + Fraction(fee)
    held = portfolio.qty(0)
    if held:
        side = Side.SELL if held > 0 else Side.BUY
        portfolio.apply(fill("end", side=side, px=last_px, qty=abs(held), fee=Decimal(0)))
        paid += side * Fraction(last_px * abs(held), 10**5)

    # Whatever way the cost was split up, what came in less what went out is what is there.
    assert portfolio.cost(0) == 0
    assert portfolio.balance is not None
    assert Fraction(portfolio.balance) == -paid
    assert portfolio.equity == portfolio.balance


DOLLARS = st.integers(1, 10**6)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(1, 10**8), DOLLARS), max_size=40),
    st.integers(1, 10**8),
)
def test_inverse_ledger_equals_the_venues_after_every_fill(
    moves: list[tuple[int, int, int]], mark: int
) -> None:
    coin = instrument(category=Category.INVERSE, quote="USD", settle="BTC", qty_scale=0)
    portfolio, venue = Portfolio([coin], balance=Decimal(10)), Position(coin)
    portfolio.set_mark(0, mark, mark)
    for n, (side, px, qty) in enumerate(moves):
        portfolio.apply(fill(str(n), side=Side(side), px=px, qty=qty, fee=Decimal(0)), "s")
        venue.fill(Side(side), px, qty)
        assert portfolio.qty(0) == venue.qty
        assert portfolio.cost(0) == venue.cost
        assert portfolio.realized == venue.realized
        assert portfolio.unrealized == venue.unrealized(coin.px_decimal(mark))
