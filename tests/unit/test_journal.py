"""The journal drops market records first, order records at the very end, and counts both."""

from __future__ import annotations

import pytest

from fastbook.errors import ConfigError
from fastbook.journal import Journal


def test_records_come_out_in_order_and_numbered() -> None:
    journal = Journal()
    for n in range(6):
        journal.append("trade" if n % 2 else "intent", n, n)
    assert [r.seq for r in journal.drain(2)] == [1, 2]
    assert [(r.seq, r.kind, r.value) for r in journal.drain()] == [
        (3, "intent", 2),
        (4, "trade", 3),
        (5, "intent", 4),
        (6, "trade", 5),
    ]
    assert len(journal) == 0
    assert journal.drain() == []


def test_market_records_give_way() -> None:
    journal = Journal(capacity=3, reserve=2)
    for n in range(4):
        journal.append("trade", n, n)
    assert journal.market_dropped == 1
    journal.append("command", "a", 4)
    journal.append("command", "b", 5)
    assert not journal.full
    assert [r.value for r in journal.drain()] == [2, "a", "b"]
    assert journal.market_dropped == 3
    assert journal.seq == 6


def test_the_very_limit() -> None:
    journal = Journal(capacity=2, reserve=1)
    for n in range(2):
        journal.append("command", n, n)
    assert journal.full
    assert not journal.broken
    journal.append("event", 2, 2)
    assert not journal.broken
    journal.append("event", 3, 3)
    assert journal.broken
    assert journal.orders_dropped == 1
    assert [r.value for r in journal.drain()] == [0, 1, 2]
    assert not journal.full
    assert journal.broken


def test_bounds_must_be_positive() -> None:
    with pytest.raises(ConfigError):
        Journal(0)
