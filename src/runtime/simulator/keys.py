"""API keys of the exchange: whose they are, and what they may do."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from .options import SimulatorOptions
from .rsa import RsaPublicKey, read_public_key

PERMISSION_DENIED = 10005

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Credentials of one account of this exchange; worth nothing anywhere else."""

    account: int
    api_key: str
    api_secret: str = field(repr=False)  # "" of an RSA key: its owner has the secret half
    kind: str = "trade"
    rsa: RsaPublicKey | None = field(default=None, repr=False)

    @property
    def read_only(self) -> bool:
        return self.kind == "read"

    def may_trade(self, category: str) -> bool:
        """Whether orders of a category are allowed; an unknown one is the venue's to refuse."""
        if self.kind == "derivatives":
            return category != "spot"
        if self.kind == "spot":
            return category not in ("linear", "inverse")
        return not self.read_only

    @property
    def may_set_positions(self) -> bool:
        return self.kind in ("trade", "derivatives")

    def permissions(self) -> dict[str, list[str]]:
        """As `/v5/user/query-api` lists them."""
        derivatives, spot = self.kind != "spot", self.kind != "derivatives"
        return {
            "ContractTrade": ["Order", "Position"] if derivatives else [],
            "Spot": ["SpotTrade"] if spot else [],
            "Wallet": [],
            "Options": [],
            "Derivatives": [],
            "CopyTrading": [],
            "BlockTrade": [],
            "Exchange": [],
            "NFT": [],
            "Affiliate": [],
            "Earn": [],
        }

    def as_json(self) -> dict[str, Any]:
        """As the first line of `fastbook simulate` shows it. Any: it is JSON.

        The first keys, one an account, may do everything; of the others it is said what they may.
        """
        shown: dict[str, Any] = {"api_key": self.api_key, "api_secret": self.api_secret}
        if self.kind == "trade" and self.rsa is None:
            return shown
        kind = self.kind if self.rsa is None else "rsa"
        return shown | {"account": self.account, "kind": kind}


def make_keys(options: SimulatorOptions) -> tuple[ApiKey, ...]:
    """The keys of every account, from the seed: they open nothing but this exchange."""
    rng = random.Random(f"keys-{options.seed}")
    keys = [
        ApiKey(
            number,
            "SIM" + "".join(rng.choices(_LETTERS, k=15)),
            "".join(rng.choices(_LETTERS, k=36)),
            kind,
        )
        for kind in options.keys
        for number in range(1, options.accounts + 1)
    ]
    if options.rsa_public_key:
        rsa = read_public_key(options.rsa_public_key)
        keys.append(ApiKey(1, "SIM" + "".join(rng.choices(_LETTERS, k=15)), "", "trade", rsa))
    return tuple(keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Full URLs. The category follows `ws_public`: ``ws_public + "/linear"``."""

    rest: str
    ws_public: str
    ws_private: str
    ws_trade: str
    accounts: tuple[ApiKey, ...]
    ca_file: str = ""  # with TLS: the certificate to trust

    def as_json(self) -> dict[str, Any]:
        """The object that `fastbook simulate` prints. Any: it is JSON."""
        answer: dict[str, Any] = {
            "rest": self.rest,
            "ws_public": self.ws_public,
            "ws_private": self.ws_private,
            "ws_trade": self.ws_trade,
            "accounts": [key.as_json() for key in self.accounts],
        }
        return answer | ({"ca_file": self.ca_file} if self.ca_file else {})
