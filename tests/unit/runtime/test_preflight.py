"""Keys and accounts: what is refused, what is waived, what is only said."""

from __future__ import annotations

from typing import Any

import pytest

from fastbook.errors import CredentialsError, FastbookError
from fastbook.runtime.config import Config, parse
from fastbook.runtime.preflight import check_key, check_key_fits, check_positions


def said(**changes: Any) -> dict[str, Any]:  # Any: JSON
    answer: dict[str, Any] = {
        "permissions": {"ContractTrade": ["Order", "Position"], "Spot": [], "Wallet": []},
        "ips": ["1.2.3.4"],
        "userID": 1001,
        "readOnly": 0,
        "isMaster": False,
        "deadlineDay": 80,
    }
    return answer | changes


def rights(**changes: list[str]) -> dict[str, Any]:
    return said(permissions={"ContractTrade": ["Order"], "Wallet": []} | changes)


def check(answer: Any, **changes: Any) -> Any:  # Any: JSON, and parameters of different types
    values: dict[str, Any] = {"environment": "mainnet", "category": "linear", "live": True}
    return check_key(answer, **(values | changes))


def test_a_good_key() -> None:
    report = check(said(), account_uid="1001")
    assert report.account == "1001"
    assert report.warnings == ()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (rights(Wallet=["AccountTransfer", "Withdraw"]), "it may AccountTransfer, Withdraw"),
        (rights(Wallet=["SubMemberTransferList"]), "it may SubMemberTransferList"),
        (rights(Exchange=["ExchangeHistory"]), r'rights in Exchange.*venue.waive = \["Exchange"\]'),
        (rights(Earn=["Earn"]), "rights in Earn"),
        (rights(ContractTrade=[]), "lacks the right ContractTrade"),
        (said(userID=1002), "belongs to account 1002, venue.account_uid is 1001"),
        (said(readOnly=1), "read-only"),
        (said(ips=["*"]), r'bound to no IP address.*venue.waive = \["no_ip"\]'),
        (said(ips=[]), "bound to no IP"),
    ],
)
def test_what_is_refused(answer: dict[str, Any], words: str) -> None:
    with pytest.raises(CredentialsError, match=words):
        check(answer, account_uid="1001")


@pytest.mark.parametrize(
    "missing", ["permissions", "ips", "userID", "readOnly", "isMaster", "deadlineDay"]
)
def test_a_partial_answer_is_refused(missing: str) -> None:
    answer = said()
    del answer[missing]
    with pytest.raises(CredentialsError, match="cannot be read"):
        check(answer)
    with pytest.raises(CredentialsError, match="cannot be read"):
        check(said(permissions=None))


def test_waived_by_name() -> None:
    check(said(ips=["*"]), waived=["no_ip"])
    check(rights(Earn=["Earn"]), waived=["Earn"])
    with pytest.raises(CredentialsError, match="Withdraw"):
        check(rights(Wallet=["Withdraw"]), waived=["Wallet", "Withdraw"])


def test_warnings() -> None:
    assert "main account" in check(said(isMaster=True)).warnings[0]
    assert check(said(deadlineDay=3)).warnings == ("the key expires in 3 days",)
    paper = check(said(ips=["*"], readOnly=1), live=False)
    assert paper.read_only


def test_the_simulators_own_keys_pass() -> None:
    answer = said(ips=["*"], isMaster=True, deadlineDay=-2)
    assert check(answer, environment="simulator").warnings == ()


def test_real_keys_and_the_simulators_do_not_mix() -> None:
    check_key_fits("SIMabc", "simulator")
    check_key_fits("abc", "mainnet")
    with pytest.raises(CredentialsError, match="real keys are not sent there"):
        check_key_fits("abcdef", "simulator")
    with pytest.raises(CredentialsError, match="of the bundled exchange, not of testnet"):
        check_key_fits("SIMabc", "testnet")


def config(mode: str = "live") -> Config:
    return parse(
        f'[execution]\nmode = "{mode}"\n[market_data]\nsymbols = ["BTCUSDT"]\n[risk]\n'
        "position_pct_max = 1\nexposure_pct_max = 1\ndaily_loss_pct_max = 1\nleverage_max = 5\n",
        name="c",
        environ={},
    )


def test_modes_of_the_account() -> None:
    row = {"symbol": "BTCUSDT", "positionIdx": 0, "leverage": "5"}
    check_positions([row], config())
    with pytest.raises(FastbookError, match="BTCUSDT is in hedge mode"):
        check_positions([row | {"positionIdx": 1}], config())
    with pytest.raises(FastbookError, match=r"BTCUSDT has leverage 10, risk.leverage_max is 5"):
        check_positions([row | {"leverage": "10"}], config())
    check_positions([row | {"leverage": "10"}], config("paper"))
    with pytest.raises(FastbookError, match="is no number"):
        check_positions([row | {"leverage": "x"}], config())
