"""What the venue says of key and account, held against the configuration before anything is traded."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fastbook.errors import CredentialsError, FastbookError, VenueError
from fastbook.types import Category

from .bybit.rest import RestClient
from .bybit.rest_call import JsonObject
from .config import SIMULATOR, Config

log = logging.getLogger("fastbook.preflight")

NEVER = frozenset({"Withdraw", "AccountTransfer", "SubMemberTransfer", "SubMemberTransferList"})
"""Rights of `Wallet` that no waiver allows: a trading key must not move money out."""
UNWANTED = (
    "Exchange",
    "Earn",
    "FiatP2P",
    "FiatBitPay",
    "BitCard",
    "Affiliate",
    "NFT",
    "BlockTrade",
)
NO_IP = "no_ip"
NEEDED = {"linear": "ContractTrade", "inverse": "ContractTrade", "spot": "Spot"}
EXPIRES_SOON_DAYS = 7
CLOCK_UNSURE_MS = 500.0
SIMULATOR_KEY = "SIM"
PREFLIGHT_SYMBOLS_MAX = 20
"""Asked one by one for mode and leverage; the mode is one of the settle coin, so a few tell it."""


@dataclass(frozen=True, slots=True)
class KeyReport:
    """What a key is, and what is worth a person's attention about it."""

    account: str
    read_only: bool
    warnings: tuple[str, ...]


def check_key(
    said: JsonObject,
    *,
    environment: str,
    category: str,
    live: bool,
    account_uid: str = "",
    waived: Collection[str] = (),
) -> KeyReport:
    """Hold the answer of `/v5/user/query-api` against the rules; pure.

    Raises `CredentialsError` with everything that is wrong. An answer that lacks something is
    refused: what cannot be read cannot be trusted.
    """
    try:
        rights = {
            str(group): [str(right) for right in found]
            for group, found in said["permissions"].items()
        }
        ips = [str(ip) for ip in said["ips"]]
        account, read_only = str(said["userID"]), bool(int(said["readOnly"]))
        master, days = bool(said["isMaster"]), int(said["deadlineDay"])
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise CredentialsError(
            f"what the venue says of the key cannot be read ({e!r}): refused"
        ) from None
    real = environment != SIMULATOR
    problems, warnings = [], []
    bad = sorted(NEVER & set(rights.get("Wallet", ())))
    if bad:
        problems.append(f"it may {', '.join(bad)}: a trading key must not move money out")
    for group in UNWANTED:
        if rights.get(group) and group not in waived:
            problems.append(
                f'it has rights in {group}; without use for them, or venue.waive = ["{group}"]'
            )
    if account_uid and account != account_uid:
        problems.append(f"it belongs to account {account}, venue.account_uid is {account_uid}")
    if read_only and (live or not real):
        problems.append("it is read-only: it cannot trade")
    elif not rights.get(NEEDED.get(category, ""), ()):
        problems.append(f"it lacks the right {NEEDED.get(category, category)} for {category}")
    if real and live and (not ips or "*" in ips) and NO_IP not in waived:
        problems.append(f'it is bound to no IP address; bind it, or venue.waive = ["{NO_IP}"]')
    if problems:
        raise CredentialsError("the key is refused: " + "; ".join(problems))
    if real and master:
        warnings.append("the key is of a main account: a sub-account holds less that can be lost")
    if real and days <= EXPIRES_SOON_DAYS and (days >= 0 or not ips or "*" in ips):
        warnings.append(f"the key expires in {max(days, 0)} days")
    return KeyReport(account, read_only, tuple(warnings))


def check_key_fits(key_text: str, environment: str) -> None:
    """Before anything is sent: keys of the bundled exchange and real ones do not mix."""
    simulated = key_text.startswith(SIMULATOR_KEY)
    if environment == SIMULATOR and not simulated:
        raise CredentialsError(
            "the key is none of the bundled exchange, and the environment is simulator: real keys"
            " are not sent there"
        )
    if environment != SIMULATOR and simulated:
        raise CredentialsError(f"the key is of the bundled exchange, not of {environment}")


@dataclass(frozen=True, slots=True)
class Preflight:
    """The account as the venue described it at the start."""

    key: KeyReport
    margin_mode: str
    clock_unsure_ms: float


async def preflight(rest: RestClient, config: Config) -> Preflight:
    """Ask the venue; raises what stands in the way, logs what a person should see."""
    await rest.sync_time()
    unsure_ms = rest.venue_time.uncertainty_ns / 1e6
    if unsure_ms > CLOCK_UNSURE_MS:
        raise FastbookError(
            f"the venue's clock is known to {unsure_ms:.0f} ms only: no orders beyond"
            f" {CLOCK_UNSURE_MS:g} ms; the network is too slow"
        )
    key = await key_as_configured(rest, config)
    account = await rest.account_info()
    mode = str(account.get("marginMode", ""))
    if not mode:
        raise FastbookError("the venue does not say the account's margin mode: refused")
    if mode == "PORTFOLIO_MARGIN":
        raise FastbookError("the account is in portfolio margin: limits here count each position")
    check_positions(await _positions(rest, config), config)
    return Preflight(key, mode, unsure_ms)


async def key_as_configured(rest: RestClient, config: Config) -> KeyReport:
    """What the venue says of the key now, held against the rules; warnings are logged."""
    key = check_key(
        await rest.query_api(),
        environment=config.venue.environment,
        category=config.venue.category,
        live=config.execution.mode == "live",
        account_uid=config.venue.account_uid,
        waived=config.venue.waive,
    )
    for warning in key.warnings:
        log.warning("%s", warning)
    return key


async def _positions(rest: RestClient, config: Config) -> Sequence[JsonObject]:
    category = Category(config.venue.category)
    if category is Category.SPOT:
        return []
    rows: list[JsonObject] = []
    for symbol in config.market_data.symbols[:PREFLIGHT_SYMBOLS_MAX]:
        try:
            rows += await rest.position(category, symbol)
        except VenueError as e:
            log.debug("%s", e)  # a symbol that it does not have: whoever reads instruments says so
    return rows


def check_positions(rows: Sequence[JsonObject], config: Config) -> None:
    """One-way mode, and a leverage that the limits can live with. Raises `FastbookError`."""
    problems = []
    for row in rows:
        symbol = str(row.get("symbol"))
        if row.get("positionIdx") in (1, 2):
            problems.append(f"{symbol} is in hedge mode: set it to one-way mode")
        try:
            leverage = float(str(row.get("leverage") or 0))
        except ValueError:
            problems.append(f"{symbol}: leverage {row.get('leverage')!r:.20} is no number")
            continue
        most = float(config.risk.leverage_max) if config.risk is not None else 0.0
        if config.execution.mode == "live" and leverage > max(most, 1.0):
            problems.append(f"{symbol} has leverage {leverage:g}, risk.leverage_max is {most:g}")
    if problems:
        raise FastbookError("the account does not fit: " + "; ".join(sorted(set(problems))))
