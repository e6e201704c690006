"""The command: gather the checks, show them, and the effective configuration if asked to."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import MutableMapping
from pathlib import Path

from fastbook.errors import ConfigError

from ..build_id import build_id
from ..config import Config, effective, load
from ..logs import set_up_logging
from ..output import print_json
from ..report import Json
from ..state import place_of
from . import account, machine
from .checks import Check, bad, good

EXIT_DONE, EXIT_SAID_NO = 0, 4


def doctor(args: argparse.Namespace) -> int:
    """0 when a run could start, as far as can be told; 4 when a check failed."""
    set_up_logging(args.log_level)
    config, checks = examine(args.config, os.environ)
    values = effective(config) if config is not None and args.show else []
    ok = all(check.ok for check in checks)
    if args.json:
        document: Json = {
            "ok": ok,
            "build": build_id(),
            "checks": [check.as_json() for check in checks],
        }
        if args.show:
            document["effective"] = [
                {"key": key, "value": value, "origin": origin} for key, value, origin in values
            ]
        print_json(document, indent=True)
    else:
        for check in checks:
            print(f"{_sign(check):<5} {check.name:<18} {check.detail}")
        for key, value, origin in values:
            print(f"      {key} = {value!r}  ({origin})")
    return EXIT_DONE if ok else EXIT_SAID_NO


def _sign(check: Check) -> str:
    if not check.ok:
        return "FAIL"
    return "warn" if check.warning else "ok"


def examine(
    path: Path | None, environ: MutableMapping[str, str]
) -> tuple[Config | None, list[Check]]:
    """Every check that can be made; without a configuration, those of the machine."""
    checks = [
        machine.python(),
        machine.extensions(),
        machine.listener(),
        *machine.libraries(),
        machine.limits_of_process(),
        machine.user(),
        machine.clock_kept(),
    ]
    if path is None:
        return None, [*checks, machine.disk(Path())]
    try:
        config = load(path, environ)
    except ConfigError as e:
        return None, [*checks, *(bad("configuration", line) for line in str(e).splitlines())]
    checks.append(good("configuration", str(path)))
    checks += [account.limits(config), machine.disk(place_of(config))]
    checks += account.state(config) + account.files(config)
    key, credentials = account.key(config, environ)
    checks.append(key)
    checks += asyncio.run(account.venue(config, credentials))
    return config, checks
