"""Whatever orders come: nothing is lost, nothing is made, and every row adds up."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.venue_ledger import LedgerTwin
from tests.unit.replay.venue_kit import LINEAR, NOW_MS, Desk

from fastbook.errors import VenueError
from fastbook.replay.accounts import Account, Position
from fastbook.replay.money import over, padded_text, pico, plus, wire_text
from fastbook.types import Side

BALANCE = "20000"
BTC = LINEAR[0]
UNIT = Fraction(1, 10 ** (BTC.price_scale + BTC.qty_scale))
MIDDLE = 6_000_000
EXPECTED_REFUSALS = {110007, 110017, 110094, 110118}

Step = tuple[str, int, Side, int, int, str, bool]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["place", "place", "place", "market", "crowd", "takes", "cancel", "all"]),
        st.integers(0, 1),  # which account
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(-6, 6),  # ticks from the middle
        st.integers(1, 400),  # quantity in lots
        st.sampled_from(["GTC", "GTC", "IOC", "FOK", "PostOnly"]),
        st.booleans(),  # reduce only
    ),
    max_size=60,
)


class Crowd:
    """The anonymous market's own books: what it placed, and what it took."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._placed: dict[int, tuple[Side, int, int]] = {}
        self._taken: list[tuple[Side, int, int]] = []

    def place(self, side: Side, px: int, qty: int) -> None:
        if not self._desk.books[0].crosses(side, px):
            self._placed[self._desk.crowd(side, px, qty)] = (side, px, qty)

    def take(self, side: Side, px: int, qty: int) -> None:
        fills = self._desk.books[0].match(side, px, qty)
        mine = [(number, owner, int(side), p, q) for number, owner, p, q in fills if owner]
        self._desk.venue.on_market_fills(0, mine, NOW_MS, self._desk.venue.next_seq())
        self._taken += [(side, p, q) for _, _, p, q in fills]

    def holdings(self) -> tuple[int, int]:
        """(quantity, cash) in integers of both scales."""
        deals = list(self._taken)
        for number, (side, px, qty) in self._placed.items():
            left = self._desk.books[0].order(number)
            deals.append((side, px, qty - (left[2] if left else 0)))
        return sum(s * q for s, _, q in deals), -sum(s * p * q for s, p, q in deals)


def play(desk: Desk, crowd: Crowd, step: Step) -> None:
    what, who, side, ticks, qty, tif, reduce_only = step
    account = (desk.maker, desk.taker)[who]
    px = MIDDLE + BTC.tick * ticks
    which = {"category": "linear", "symbol": "BTCUSDT"}
    if what == "crowd":
        crowd.place(side, px, qty)
    elif what == "takes":
        crowd.take(side, px, qty)
    elif what == "all":
        desk.venue.cancel_all(account, which, NOW_MS)
    elif what == "cancel":
        orders = list(desk.venue.account(account).open_orders.values())
        if orders:
            chosen = orders[qty % len(orders)].order_id
            desk.venue.cancel(account, which | {"orderId": chosen}, NOW_MS)
    else:
        limit = {} if what == "market" else {"px": f"{px / 100:.2f}", "timeInForce": tif}
        text = f"{qty / 1000:.3f}"
        try:
            desk.order(account, side.wire, text, reduceOnly=reduce_only, **limit)
        except VenueError as e:
            if e.code not in EXPECTED_REFUSALS:
                raise


def signed_cost(position: Position) -> Fraction:
    return Fraction(position.cost) * (1 if position.qty >= 0 else -1)


def check_orders(desk: Desk, account: Account) -> None:
    """The book and the account agree on every resting order and on the working sums."""
    book, orders = desk.books[0], list(account.open_orders.values())
    assert {o.number for o in orders} == set(book.owned_by(account.number))
    for order in orders:
        assert book.order(order.number) == (order.side, order.px, order.leaves, account.number)
        assert 0 < order.leaves <= order.qty
    working = account.working.get((0, 0))
    if working is not None:
        sums = {
            side: sum(o.px * o.leaves for o in orders if o.side is side and not o.reduce_only)
            for side in Side
        }
        assert (working.buy, working.sell) == (sums[Side.BUY], sums[Side.SELL])
        assert working.orders == len(orders)


def check_against_twin(desk: Desk, account: Account) -> None:
    """Every number of the account follows from the executions that it was told of."""
    twin = LedgerTwin(BALANCE)
    for topic, row in desk.told(account.number):
        if topic == "execution":
            assert Fraction(row["execPnl"]) == twin.execute(row)
            assert Fraction(row["execValue"]) == Fraction(row["execPrice"]) * Fraction(
                row["execQty"]
            )
        elif topic == "wallet":
            assert Decimal(row["totalAvailableBalance"]) >= 0
    position = account.position(BTC)
    assert Fraction(account.balances["USDT"]) == twin.balance
    assert Fraction(account.fees.get("USDT", Decimal(0))) == twin.fees
    assert BTC.qty_decimal(position.qty) == twin.qty.get("BTCUSDT", Fraction(0))
    assert Fraction(position.cost) == twin.cost.get("BTCUSDT", Fraction(0))
    assert position.cost >= 0
    assert (position.qty == 0) == (position.cost == 0)


@settings(max_examples=120, deadline=None)
@given(STEPS)
def test_money_and_quantity_are_conserved(steps: list[Step]) -> None:
    desk = Desk(balance=BALANCE)
    crowd = Crowd(desk)
    for step in steps:
        play(desk, crowd, step)
    desk.books[0].check()
    accounts = [desk.venue.account(number) for number in (desk.maker, desk.taker)]
    qty, cash = crowd.holdings()
    total_cash = cash * UNIT
    for account in accounts:
        check_orders(desk, account)
        check_against_twin(desk, account)
        position = account.position(BTC)
        qty += position.qty
        gained = Fraction(account.balances["USDT"]) - Fraction(BALANCE)
        paid = Fraction(account.fees.get("USDT", Decimal(0)))
        total_cash += gained + paid - signed_cost(position)
    assert qty == 0
    assert total_cash == 0


@given(st.integers(-(10**40), 10**40), st.integers(0, 18))
def test_wire_text_is_plain_exact_and_stripped(value: int, scale: int) -> None:
    with localcontext(prec=60):
        decimal = Decimal(value).scaleb(-scale)
        text = wire_text(decimal)
        assert Decimal(text) == decimal
    assert "e" not in text.lower()
    assert text != "-0"
    assert "." not in text or text[-1] not in "0."
    padded = padded_text(decimal, 4)
    assert Fraction(padded) == Fraction(text)
    assert len(padded.partition(".")[2]) >= 4


@given(st.integers(0, 10**30), st.integers(1, 10**18))
def test_division_rounds_half_to_even_at_the_twelfth_decimal(a: int, b: int) -> None:
    expected = round(Fraction(a, b) * 10**12)
    assert Fraction(over(Decimal(a), Decimal(b))) == Fraction(expected, 10**12)


@given(st.lists(st.integers(-(10**30), 10**30).map(lambda n: Decimal(n).scaleb(-15)), max_size=9))
def test_sums_are_exact_whatever_the_context(terms: list[Decimal]) -> None:
    with localcontext(prec=5, rounding=ROUND_HALF_EVEN):
        total = plus(*terms)
    assert Fraction(total) == sum(map(Fraction, terms), Fraction(0))


def test_ties_go_to_the_even_digit() -> None:
    assert pico(Decimal("0.0000000000005")) == 0
    assert pico(Decimal("0.0000000000015")) == Decimal("0.000000000002")
