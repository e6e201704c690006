"""The ledger where it meets the venue: fees in other coins, funding, mismatch, adoption."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support_decide import INSTRUMENT, SECOND, fill, instrument

from fastbook.errors import ConfigError
from fastbook.execution import Portfolio, TradeRecord
from fastbook.types import Category, PositionSnapshot, Side, WalletSnapshot


def snapshot(qty: int, seq: int = 1, entry_px: str = "500.1") -> PositionSnapshot:
    return PositionSnapshot(
        instrument=0,
        qty=qty,
        entry_px=Decimal(entry_px),
        realized_pnl=Decimal(0),
        seq=seq,
        updated_ms=seq,
    )


def wallet(balance: str, coin: str = "USDT") -> WalletSnapshot:
    return WalletSnapshot(coin=coin, balance=Decimal(balance), equity=Decimal(balance))


def linear(balance: str | None = "1000") -> Portfolio:
    return Portfolio([INSTRUMENT], balance=None if balance is None else Decimal(balance))


def test_a_round_trip_by_hand() -> None:
    book = linear()
    book.apply(fill("1", px=50_000, qty=300, fee=Decimal("0.08")), "s")
    book.apply(fill("2", px=51_000, qty=100, fee=Decimal("0.02")), "s")
    # 0.3 at 500 and 0.1 at 510: 201 for 0.4.
    assert book.entry_px(0) == pytest.approx(502.5)
    assert book.cost(0) == Decimal(201)

    book.apply(fill("3", side=Side.SELL, px=52_000, qty=600, fee=Decimal("0.1")), "s")

    # Closed 0.4 for 208, opened a short of 0.2 for 104.
    assert book.qty(0) == -200
    assert book.realized == Decimal(7)
    assert book.fees == Decimal("0.2")
    assert book.balance == Decimal("1006.8")
    book.set_mark(0, 51_990, 52_010)
    assert book.unrealized == 0
    book.set_mark(0, 53_000, 53_001)
    assert book.unrealized == Decimal("-2.0010")
    assert book.equity == Decimal("1004.799")
    assert book.record("s").total == 1


def test_equity_is_unknown_rather_than_wrong() -> None:
    book = linear()
    assert book.equity == 1000
    book.apply(fill("1"))
    assert book.unrealized is None
    assert book.equity is None
    book.set_mark(0, 50_010, 50_010)
    assert book.equity == Decimal("999.99")
    assert linear(None).balance is None


def test_funding_moves_cash_only() -> None:
    book = linear()
    book.apply(fill("1", fee=Decimal(0)))
    assert book.apply(fill("2", qty=100, fee=Decimal("0.5"), exec_type="Funding"))
    assert book.qty(0) == 100
    assert book.funding == Decimal("-0.5")
    assert book.balance == Decimal("999.5")
    assert book.fees == 0


def test_an_execution_of_unknown_kind_is_not_guessed() -> None:
    book = linear()
    assert not book.apply(fill("1", exec_type="Teleport"))
    assert book.qty(0) == 0
    assert book.counters["strange_executions"] == 1


def test_spot_buy_paid_in_the_base_coin_holds_less() -> None:
    spot = instrument(category=Category.SPOT)
    book = Portfolio([spot], balance=Decimal(1000))
    book.apply(fill("1", px=50_000, qty=1_000, fee=Decimal("0.0011"), fee_coin="BTC"))

    # 0.9989 arrived, of which 0.998 can be sold; the rest is counted as fee at 500.
    assert book.qty(0) == 998
    assert book.fees == Decimal(1)
    assert book.cost(0) == Decimal(499)
    book.set_mark(0, 50_000, 50_000)
    assert book.equity == Decimal(999)


def test_a_fee_in_a_third_coin_is_said() -> None:
    book = linear()
    book.apply(fill("1", fee=Decimal(3), fee_coin="MNT"))
    assert book.fees == 0
    assert book.counters["foreign_fees"] == 1


def test_start_comes_from_the_first_wallet() -> None:
    book = linear(None)
    book.on_wallet(wallet("5", coin="BTC"))
    assert book.balance is None
    book.apply(fill("1", fee=Decimal(1)))
    book.on_wallet(wallet("99"))
    assert book.start == Decimal(100)
    assert book.balance == Decimal(99)


def test_a_difference_has_time_to_resolve() -> None:
    book = linear()
    book.on_position(snapshot(100))
    assert not book.compare(0)
    assert not book.compare(SECOND)
    book.apply(fill("1"))
    assert not book.compare(5 * SECOND)
    assert book.counters["mismatches"] == 0


def test_agreeing_for_an_instant_is_agreeing() -> None:
    book = linear()
    for n in range(1, 6):
        # At every comparison the venue is one fill ahead.
        book.on_position(snapshot(100 * n, seq=n))
        assert not book.compare(n * SECOND)
        book.apply(fill(str(n)))
    assert book.counters["mismatches"] == 0


def test_a_lasting_difference_is_reported_once_and_adopted() -> None:
    book = linear()
    book.on_position(snapshot(-40))
    book.on_wallet(wallet("950"))
    assert not book.compare(0)
    assert book.compare(2 * SECOND)
    assert not book.compare(3 * SECOND)
    assert book.counters["mismatches"] == 2
    assert len(book.differences()) == 2

    said, agreed = book.adopt(3 * SECOND)

    assert agreed
    assert len(said) == 2
    assert book.qty(0) == -40
    assert book.entry_px(0) == pytest.approx(500.1)
    assert book.balance == Decimal(950)
    assert book.adjustments == Decimal(-50)
    assert book.adopt(4 * SECOND) == ([], True)
    assert not book.compare(9 * SECOND)


def test_cash_may_differ_by_the_dust_of_a_rounded_entry_price() -> None:
    book = linear()
    book.on_wallet(wallet("1000.000000000000004"))
    assert not book.compare(0)
    assert not book.compare(9 * SECOND)
    assert book.adopt(9 * SECOND) == ([], True)
    assert book.adjustments == 0
    book.on_wallet(wallet("1000.00000002"))
    assert not book.compare(10 * SECOND)
    assert book.compare(12 * SECOND)


def test_old_snapshots_are_ignored_and_a_gap_forgets() -> None:
    book = linear()
    book.on_position(snapshot(7, seq=5))
    book.on_position(snapshot(3, seq=4))
    assert book.differences() == ["BTCUSDT: position 0, venue 7"]
    book.forget_venue()
    assert book.differences() == []
    book.on_position(snapshot(3, seq=4))
    assert book.differences() == ["BTCUSDT: position 0, venue 3"]


def test_what_the_venue_does_not_mention() -> None:
    book = linear()
    book.apply(fill("1"))
    assert book.adopt(0) == ([], True)
    assert book.qty(0) == 100
    said, agreed = book.adopt(0, missing_is_flat=True, at_once=True)
    assert agreed
    assert said == ["BTCUSDT: position 100, venue 0: adopted"]
    assert book.qty(0) == 0
    assert book.cost(0) == 0
    assert not book.open_instruments


def test_one_settle_coin() -> None:
    with pytest.raises(ConfigError, match="settle coin"):
        Portfolio([INSTRUMENT, instrument(index=1, settle="USDC")])


def test_trade_record_forgets_the_oldest() -> None:
    record = TradeRecord(trades_max=3)
    assert math.isnan(record.win_rate)
    for result in (100, 1, -2, 3):
        record.add(Decimal(result))
    assert (record.total, record.trades) == (4, 3)
    assert record.win_rate == pytest.approx(2 / 3)
    assert record.payoff == pytest.approx(1.0)
    for _ in range(3):
        record.add(Decimal(-1))
    assert record.payoff == 0.0


def test_an_answer_older_than_a_fill_is_not_adopted() -> None:
    book = linear()
    book.apply(fill("1", fee=Decimal(1)))
    # Asked for before the fill, read after it.
    book.on_wallet(wallet("1000"))
    book.on_position(snapshot(0, seq=1))

    assert book.adopt(0) == ([], False)
    assert book.adopt(2 * SECOND - 1) == ([], False)
    assert book.qty(0) == 100
    book.on_wallet(wallet("999"))
    book.on_position(snapshot(100, seq=2))

    assert book.adopt(3 * SECOND) == ([], True)
    assert book.adjustments == 0


INVERSE = instrument(
    category=Category.INVERSE, symbol="BTCUSD", quote="USD", settle="BTC", qty_scale=0
)


def test_inverse_position_is_worth_coins_and_gains_when_they_buy_less() -> None:
    book = Portfolio([INVERSE], balance=Decimal(1))
    assert book.coin == "BTC"
    book.apply(fill("1", px=5_000_000, qty=100, fee=Decimal("0.000001"), fee_coin="BTC"), "s")
    assert book.cost(0) == Decimal("0.002")  # 100 dollars at 50,000
    assert book.entry_px(0) == 50_000.0
    book.set_mark(0, 6_250_000, 6_250_000)
    assert book.unrealized == Decimal("0.0004")  # the dollars are 0.0016 now: long gains
    book.apply(fill("2", side=Side.SELL, px=6_250_000, qty=150, fee=Decimal(0)), "s")
    assert book.realized == Decimal("0.0004")
    assert book.qty(0) == -50
    assert book.cost(0) == Decimal("0.0008")
    book.set_mark(0, 5_000_000, 5_000_000)
    assert book.unrealized == Decimal("0.0002")  # and a short gains when they are worth more
    assert book.equity == Decimal("1.000599")


def told(qty: int, seq: int = 9, **more: Any) -> PositionSnapshot:  # Any: fields of the snapshot
    return replace(snapshot(qty, seq), **more)


def test_inverse_position_is_adopted_with_its_value_in_coins() -> None:
    book = Portfolio([INVERSE], balance=Decimal(1))
    book.on_position(told(qty=-100, entry_px=Decimal(50_000)))
    book.adopt(0, at_once=True)
    assert (book.qty(0), book.cost(0)) == (-100, Decimal("0.002"))
    book.on_position(told(qty=100, entry_px=Decimal(0), seq=10))
    book.adopt(0, at_once=True)
    assert (book.qty(0), book.cost(0)) == (100, Decimal(0))
    assert math.isnan(book.entry_px(0))


def test_both_legs_of_a_hedged_symbol_are_one_position() -> None:
    book = Portfolio([INSTRUMENT], balance=Decimal(1000))
    book.on_position(told(qty=100, entry_px=Decimal(500), seq=5, position_idx=1))
    book.on_position(
        told(qty=-30, entry_px=Decimal(510), seq=6, position_idx=2, stop_loss_px=52_000)
    )
    book.on_position(told(qty=-99, seq=4, position_idx=2))  # older than what is known
    book.adopt(0, at_once=True)
    assert book.qty(0) == 70
    assert book.stops(0) == (0, 0)  # of the larger leg
    # Back in one-way mode, what was said of the legs is over.
    book.on_position(told(qty=0, seq=7))
    book.adopt(0, at_once=True)
    assert book.qty(0) == 0


SPOT = instrument(category=Category.SPOT, settle="")


def coins(balance: str, coin: str = "BTC") -> WalletSnapshot:
    return WalletSnapshot(coin=coin, balance=Decimal(balance), equity=Decimal(balance))


def test_spot_holdings_are_positions_that_count_from_the_first_price() -> None:
    book = Portfolio([SPOT])
    book.on_wallet(coins("1000", "USDT"))
    book.on_wallet(coins("0.1234567"))
    book.on_wallet(coins("5", "ETH"))  # no instrument of ours
    book.adopt(0, missing_is_flat=True, at_once=True)
    assert book.qty(0) == 123
    assert book.equity is None  # no price yet
    book.set_mark(0, 50_000, 50_000)
    assert book.equity == Decimal(1000)
    book.set_mark(0, 50_100, 50_100)
    assert book.equity == Decimal(1000) + Decimal("0.123")


def test_spot_holdings_sold_before_any_price_was_known_gain_nothing() -> None:
    book = Portfolio([SPOT], balance=Decimal(1000))
    book.on_wallet(coins("0.1"))
    book.adopt(0, at_once=True)
    book.apply(fill("1", side=Side.SELL, px=50_000, qty=100, fee=Decimal(0)))
    assert (book.qty(0), book.realized) == (0, Decimal(0))


def test_spot_fees_in_coins_leave_dust_and_the_wallet_agrees() -> None:
    book = Portfolio([SPOT], balance=Decimal(1000))
    for n in range(4):  # each pays 0.4 units of the coin
        book.apply(fill(str(n), px=50_000, qty=10, fee=Decimal("0.0004"), fee_coin="BTC"))
    assert book.qty(0) == 38  # 40 - 1.6, whole units
    book.on_wallet(coins("0.0384"))
    assert not book.compare(10**10)
    book.on_wallet(coins("0.05"))
    book.compare(10**10)
    assert book.compare(2 * 10**10)
    assert "position 38, venue 50" in book.differences()[0]
    book.adopt(3 * 10**10)
    assert book.qty(0) == 50
    assert book.entry_px(0) == pytest.approx(book.cost(0) / Decimal("0.05"))
