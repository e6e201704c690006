"""Rows have the keys and the value types of the venue's."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fastbook.replay.accounts import Row
from fastbook.replay.rows import Standing, query_order_row, query_position_row
from fastbook.types import Side

from .venue_kit import LINEAR, Desk

# Value types that a row has beside text, as the reference lists them.
NOT_TEXT = {
    "order": {
        *("positionIdx", "triggerDirection", "closeOnTrigger", "reduceOnly", "smpGroup"),
        "cumFeeDetail",
    },
    "execution": {"isMaker", "seq"},
    "position": {
        *("positionIdx", "tradeMode", "riskId", "adlRankIndicator", "autoAddMargin", "seq"),
        "openTime",
        "isReduceOnly",
    },
    "wallet": {"coin"},
}


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    """One row of each topic, of an order that was partly filled."""
    desk = Desk()
    desk.order(desk.maker, "Buy", "0.5", "60000.00")
    desk.crowd_takes(Side.SELL, 6_000_000, 100)
    rows = dict(desk.told(desk.maker))
    order = next(iter(desk.venue.account(desk.maker).open_orders.values()))
    position = desk.venue.account(desk.maker).position(LINEAR[0])
    rows["rest order"] = query_order_row(order)
    rows["rest position"] = query_position_row(
        position, Standing(mark=Decimal(60_000), leverage=Decimal(10))
    )
    rows["coin"] = rows["wallet"]["coin"][0]
    return rows


def recorded(data_dir: Path, name: str) -> Any:
    value = json.loads((data_dir / "bybit" / "messages" / "documented" / name).read_text())
    return value[0] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("nautilus/ws_account_order.json", "order"),
        ("private.order.gct-5.json", "order"),
        ("nautilus/ws_account_execution.json", "execution"),
        ("private.execution.gct-4.json", "execution"),
        ("nautilus/ws_account_position.json", "position"),
        ("private.position.gct-0.json", "position"),
        ("private.wallet.gct-2.json", "wallet"),
    ],
)
def test_every_key_of_a_published_row_is_there(
    data_dir: Path, rows: dict[str, Row], name: str, topic: str
) -> None:
    row = recorded(data_dir, name)["data"][0]
    assert row.keys() <= rows[topic].keys()
    if topic == "wallet":
        assert row["coin"][0].keys() <= rows["coin"].keys()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("http_get_orders_realtime.json", "rest order"),
        ("http_get_orders_history.json", "rest order"),
        ("http_get_positions.json", "rest position"),
        ("http_get_executions.json", "execution"),
        ("http_get_wallet_balance.json", "wallet"),
    ],
)
def test_every_key_of_a_published_answer_is_there(
    data_dir: Path, rows: dict[str, Row], name: str, kind: str
) -> None:
    row = recorded(data_dir, f"nautilus/{name}")["result"]["list"][0]
    assert row.keys() <= rows[kind].keys()


@pytest.mark.parametrize("topic", list(NOT_TEXT))
def test_values_are_text_unless_the_reference_says_otherwise(
    rows: dict[str, Row], topic: str
) -> None:
    not_text = {key for key, value in rows[topic].items() if not isinstance(value, str)}
    assert not_text == NOT_TEXT[topic]


def test_numbers_are_plain_and_stripped(rows: dict[str, Row]) -> None:
    order, fill, position = rows["order"], rows["execution"], rows["position"]
    assert (order["price"], order["leavesQty"], order["cumExecValue"]) == ("60000", "0.4", "6000")
    assert order["cumFeeDetail"] == {"USDT": "1.2"}
    assert (fill["execPrice"], fill["feeRate"], fill["closedSize"]) == ("60000", "0.0002", "0")
    assert (position["entryPrice"], position["curRealisedPnl"]) == ("60000", "-1.2")
    assert rows["rest position"]["avgPrice"] == "60000"
    assert "category" not in rows["rest order"]


def test_a_flat_position_has_no_side() -> None:
    desk = Desk()
    desk.order(desk.maker, "Buy", "0.5", "60000.00")
    row = desk.told(desk.maker, "position")[0][1]
    assert (row["side"], row["size"], row["entryPrice"], row["updatedTime"]) == ("", "0", "0", "0")
