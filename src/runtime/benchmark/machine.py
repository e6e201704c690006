"""What a number was measured on; without it the number says nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastbook._version import __version__

PACKAGES = ("numpy", "orjson", "picows", "uvloop")


def machine_facts(packages: Iterable[str] = PACKAGES) -> dict[str, Any]:  # Any: JSON
    load = os.getloadavg()[0]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_before": round(load, 2),
        "python": platform.python_version(),
        "fastbook": __version__,
        "packages": {name: found for name in packages if (found := installed(name))},
    }


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
