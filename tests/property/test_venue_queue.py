"""Placing, amending and cancelling against a list that is searched in full."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.venue_queue import Queued, QueueTwin
from tests.unit.replay.venue_kit import LINEAR, NOW_MS, Desk

from fastbook.errors import VenueError
from fastbook.types import Side

BTC = LINEAR[0]
WHICH = {"category": "linear", "symbol": "BTCUSDT"}
PRICES = [6_000_000 + BTC.tick * n for n in range(-3, 4)]

Step = tuple[str, int, Side, int, int, str, str]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["place", "place", "place", "amend", "amend", "requeue", "cancel"]),
        st.integers(0, 1),
        st.sampled_from(list(Side)),
        st.sampled_from(PRICES),
        st.integers(1, 12),
        st.sampled_from(["GTC", "GTC", "GTC", "IOC", "FOK", "PostOnly"]),
        st.sampled_from(["None", "CancelMaker", "CancelTaker", "CancelBoth"]),
    ),
    max_size=50,
)


def text(px: int) -> str:
    return f"{px / 100:.2f}"


def play(desk: Desk, twin: QueueTwin, step: Step) -> None:
    what, who, side, px, qty, tif, smp = step
    account = (desk.maker, desk.taker)[who]
    if what == "place":
        order = desk.order(
            account, side.wire, f"{qty / 1000:.3f}", text(px), timeInForce=tif, smpType=smp
        )
        twin.place(Queued(order.number, account, side, px, qty, tif, smp))
        return
    mine = list(desk.venue.account(account).open_orders.values())
    if not mine:
        return
    order = mine[(px // BTC.tick + qty) % len(mine)]
    named = WHICH | {"orderId": order.order_id}
    if what == "cancel":
        desk.venue.cancel(account, named, NOW_MS)
        twin.cancel(order.number)
        return
    new_px = px if what == "requeue" else order.px
    changes = {"qty": f"{qty / 1000:.3f}", "price": text(new_px)}
    code = twin.amend(order.number, new_px, qty)
    try:
        desk.venue.amend(account, named | changes, NOW_MS)
        answer = 0
    except VenueError as e:
        answer = e.code
    assert answer == code


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_every_queue_is_the_twins(steps: list[Step]) -> None:
    desk, twin = Desk(), QueueTwin()
    book = desk.books[0]
    for step in steps:
        play(desk, twin, step)
        for side in Side:
            for px in PRICES:
                assert book.orders(side, px) == twin.at(side, px)
    book.check()
    for account in (desk.maker, desk.taker):
        for row in desk.venue.account(account).executions:
            assert row["execType"] == "Trade"
        filled = {
            o.number: o.cum_qty
            for o in [
                *desk.venue.account(account).open_orders.values(),
                *desk.venue.account(account).closed,
            ]
        }
        assert all(twin.traded.get(number, 0) == qty for number, qty in filled.items())
        working = desk.venue.account(account).working.get((0, 0))
        resting = [o for o in twin.queue if o.owner == account]
        if working is not None:
            assert working.orders == len(resting)
            assert working.buy == sum(o.px * o.left for o in resting if o.side == 1)
            assert working.sell == sum(o.px * o.left for o in resting if o.side == -1)
