"""Shards never use more than the whole together: random needs, deaths, and a forgetful server."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from fastbook.runtime.stores.shares import ONE, floor, plan

SHARDS = 4
STEPS = st.lists(
    st.tuples(
        st.integers(0, SHARDS - 1),
        st.sampled_from(["exchange", "exchange", "exchange", "lost answer", "lost request",
                         "wipe", "restart"]),
        st.decimals(0, 1, places=3),
    ),
    max_size=80,
)  # fmt: skip


class Shard:
    """What `ShareKeeper` holds, without its wires."""

    def __init__(self) -> None:
        self.held = floor(ONE / SHARDS)
        self.connected = False

    @property
    def usable(self) -> Decimal:
        return self.held if self.connected else min(self.held, floor(ONE / SHARDS))


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_the_sum_in_use_is_never_above_the_whole(steps: list[tuple[int, str, Decimal]]) -> None:
    shards = [Shard() for _ in range(SHARDS)]
    server: dict[int, Decimal] = {}
    for number, what, need in steps:
        shard = shards[number]
        used = min(need, shard.usable)
        if what == "wipe":
            server = {}
            continue
        if what == "restart":
            shard.connected = False
            continue
        if what == "lost request":
            shard.connected = False
            continue
        if number in server and server[number] < shard.held:
            shard.held = server[number]
        wish = plan(number, SHARDS, shard.held, used, server)
        shard.held = min(shard.held, wish.usable_meanwhile)
        server[number] = wish.share
        shard.connected = what == "exchange"
        if what == "exchange":
            shard.held = wish.share
        assert sum(s.usable for s in shards) <= ONE
        # Cut off, it may open nothing beyond an equal part; what it has open stays its own.
        assert shard.held >= used


def test_what_one_does_not_need_another_takes() -> None:
    equal = Decimal("0.5")
    idle = plan(1, 2, equal, Decimal(0), {0: equal, 1: equal})
    assert idle.share == Decimal("0.125")
    busy = plan(0, 2, equal, Decimal("0.45"), {0: equal, 1: idle.share})
    assert busy.share == Decimal("0.5625")
    assert busy.usable_meanwhile == equal


def test_what_is_used_is_never_given_back() -> None:
    said = {0: Decimal("0.9"), 1: Decimal("0.5")}  # somebody claimed his part anew
    assert plan(0, 2, Decimal("0.9"), Decimal("0.8"), said).share == Decimal("0.8")
    assert plan(0, 2, Decimal("0.9"), Decimal("0.1"), said).share == Decimal("0.5")


def test_nothing_is_taken_while_somebody_has_not_spoken() -> None:
    assert plan(0, 3, Decimal("0.3"), Decimal("0.3"), {0: Decimal("0.3")}).share == Decimal("0.3")
