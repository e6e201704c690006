"""Hundreds of agents, a hundred thousand orders: nothing is lost, made, or shown wrongly.

`make conserve` runs a million. The checks are in tests/reference/agents.py; here they are also
shown to notice what they are for.
"""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from tests.reference.agents import TradingDay

ROOT = Path(__file__).resolve().parents[2]
ORDERS = 100_000


def test_a_day_of_two_hundred_agents_balances_to_the_last_digit() -> None:
    day = TradingDay(seed=7, agents=200)
    for _ in range(5):
        day.run(ORDERS // 5)
        day.check()
    # It was a day on which everything happened.
    for what in ("place", "amend", "cancel", "cancel_all", "protect", "liquidations"):
        assert day.did[what] > 20, (what, day.did)
    assert day.did["frames"] > ORDERS // 4
    assert day.venue.triggered > 100
    assert day.venue.funding.payments > 500
    assert sum(day.did[what] for what in ("place", "amend", "cancel")) > ORDERS // 2
    unexpected = set(day.refused) - {
        *(10001, 110001, 110003, 110007, 110009, 110017, 110020, 110061, 110064, 110092, 110093),
        *(110094, 110118, 34040, 170131, 170136, 170140, 170193, 170194, 170213, 170313),
    }
    assert not unexpected


def test_a_day_on_which_winners_pay_for_losers_balances_too() -> None:
    day = TradingDay(seed=12, agents=100)
    for _ in range(4):
        day.run(4000)
        for index in range(len(day.fair)):
            day.fair[index] *= 0.97 if index % 2 else 1.03
        day.check()
    assert day.venue.deleveraged > 5


@pytest.fixture
def short_day() -> TradingDay:
    day = TradingDay(seed=3, agents=30)
    day.run(1500)
    day.check()
    return day


def test_a_coin_too_many_is_noticed(short_day: TradingDay) -> None:
    short_day.agents[4].balances["BTC"] += Decimal("1e-12")
    with pytest.raises(AssertionError, match="BTC: off by"):
        short_day.check()


def test_a_contract_too_many_is_noticed(short_day: TradingDay) -> None:
    position = next(p for a in short_day.agents for p in a.positions.values() if p.qty)
    position.qty += 1
    with pytest.raises(AssertionError, match="hold 1 among them"):
        short_day.check()


def test_funding_that_goes_astray_is_noticed(short_day: TradingDay) -> None:
    short_day.agents[0].pay_funding("USDT", Decimal("0.01"))
    with pytest.raises(AssertionError, match="funding is not what"):
        short_day.check()


def test_an_order_that_only_the_book_knows_is_noticed(short_day: TradingDay) -> None:
    short_day.books[0].rest(10**9, 1, 10, 1, 3)
    with pytest.raises(AssertionError, match="account 3"):
        short_day.check()


def test_a_frame_that_the_client_missed_is_noticed(short_day: TradingDay) -> None:
    publisher, book = short_day.publishers[0], short_day.books[0]
    book.rest(10**9, 1, 10, 1)
    assert publisher.delta(1, 1, 1) is not None
    book.rest(10**9 + 1, 1, 20, 1)
    with pytest.raises(AssertionError, match="BTCUSDT"):
        short_day._publish(0)


def trace_of_another_process(seed: int, hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.reference.agents", "--orders", "1500", "--agents", "30",
         "--seed", str(seed)],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )  # fmt: skip
    return done.stdout.split()[-1]


def test_same_seed_same_trace_in_every_process(short_day: TradingDay) -> None:
    traces = {trace_of_another_process(3, hash_seed) for hash_seed in ("0", "1", "4242")}
    assert len(traces) == 1
    again = TradingDay(seed=3, agents=30)
    for _ in range(20):  # as the program does
        again.run(1500 // 20)
    assert traces == {again.trace}
    other = TradingDay(seed=4, agents=30)
    other.run(1500)
    assert other.trace != short_day.trace
