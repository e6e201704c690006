"""What a configuration needs besides the machine: state, files, key, venue."""

from __future__ import annotations

import os
import stat
from collections.abc import MutableMapping
from pathlib import Path

from fastbook.errors import ConfigError, CredentialsError, FastbookError, StateError
from fastbook.types import Category

from ..build_id import build_id
from ..bybit.rest import RestClient
from ..config import SIMULATOR, Config, Credentials, load_credentials
from ..custody_open import differences, limits_now
from ..preflight import check_key_fits, preflight
from ..state import KILL, Mark, Store, holder_of, place_of, read_beat
from ..state.heartbeat import WATCHDOG
from ..system_clock import SystemClock
from .checks import Check, bad, good, warn

CLOCK_AHEAD_MS_MAX = 1_000.0


def state(config: Config) -> list[Check]:
    """Folder, lock, kill mark, watchdog; the store itself only while nobody writes it."""
    folder = place_of(config)
    if not folder.exists():
        none = good("state", f"{folder}: none yet; the first run makes it")
        return [none, _watchdog(folder, config)]
    info = folder.stat()
    if info.st_uid != os.getuid() or info.st_mode & 0o077:
        mode = stat.S_IMODE(info.st_mode)
        return [bad("state", f"{folder}: mode {mode:04o}, uid {info.st_uid}: must be ours, 0700")]
    holder = holder_of(folder)
    found = []
    if holder is not None:
        found.append(warn("lock", f"process {holder.pid} trades there, since {holder.started}"))
    else:
        found.append(good("lock", "free"))
        found.append(_store(folder, config))
    if Mark(folder, KILL).there:
        why = Mark(folder, KILL).reason()
        found.append(warn("kill mark", f"a run starts HALTED: {why}; `fastbook resume` lifts it"))
    found.append(_watchdog(folder, config))
    return found


def _store(folder: Path, config: Config) -> Check:
    if not (folder / "state.db").exists():
        return good("state", f"{folder}: no notes yet")
    try:
        with Store.open(folder) as store:
            orders, limits = len(store.open_orders()), store.load("limits") or {}
            epoch = (store.load("epoch") or {}).get("epoch", 0)
    except StateError as e:
        return bad("state", str(e))
    said = f"{folder}: whole, start number {epoch}, {orders} orders to ask about"
    changes = differences(limits, limits_now(config)) if limits else []
    return warn("state", f"{said}; {'; '.join(changes)}") if changes else good("state", said)


def _watchdog(folder: Path, config: Config) -> Check:
    beat = read_beat(folder, name=WATCHDOG)
    alive = beat is not None and not beat.stopped
    age_s = beat.age_s(SystemClock.monotonic_ns()) if beat is not None else 0.0
    alive = alive and age_s <= config.watchdog.heartbeat_s
    if alive and beat is not None and beat.build_id != build_id():
        return bad("watchdog", f"is build {beat.build_id}, this is {build_id()}: restart it")
    if alive:
        return good("watchdog", "watches")
    if config.watchdog.required:
        return bad("watchdog", "does not run, and watchdog.required says so: `fastbook watchdog`")
    return warn("watchdog", "does not run: if the engine dies, its orders stay")


def limits(config: Config) -> Check:
    if config.risk is None:
        return bad("limits", "no [risk] section: without limits there is no trading")
    where = config.limits_file or "the configuration itself"
    return good("limits", f"from {where}")


def files(config: Config) -> list[Check]:
    """Modes of what must not be read by others."""
    found = []
    named = {
        "venue.api_key_file": config.venue.api_key_file,
        "venue.api_secret_file": config.venue.api_secret_file,
        "watchdog.api_key_file": config.watchdog.api_key_file,
        "watchdog.api_secret_file": config.watchdog.api_secret_file,
        "advisor.key_file": config.advisor.key_file,
    }
    for key, name in named.items():
        if not name:
            continue
        try:
            mode = stat.S_IMODE(Path(name).stat().st_mode)
        except OSError as e:
            found.append(bad(key, f"{name}: {e.strerror}"))
            continue
        problem = f"{name}: mode {mode:04o} lets others in; chmod 600 it"
        found.append(bad(key, problem) if mode & 0o077 else good(key, f"{name}: mode {mode:04o}"))
    return found


def key(config: Config, environ: MutableMapping[str, str]) -> tuple[Check, Credentials | None]:
    """The key, where one is needed; on paper at a real venue none is looked at."""
    real = config.venue.environment != SIMULATOR
    if config.venue.endpoints is None or (real and config.execution.mode != "live"):
        return good("key", "none is needed"), None
    try:
        credentials = load_credentials(config, environ)
        if credentials is None:
            return bad("key", "none: set FASTBOOK_API_KEY and FASTBOOK_API_SECRET"), None
        check_key_fits(credentials.api_key.reveal(), config.venue.environment)
    except CredentialsError as e:
        return bad("key", str(e)), None
    return good("key", f"ends in {credentials.api_key.reveal()[-4:]}"), credentials


async def venue(config: Config, credentials: Credentials | None) -> list[Check]:
    """Reachable, clock, symbols; with a key also what it may do, and the account's modes."""
    endpoints = config.venue.endpoints
    if endpoints is None:
        return [good("venue", "an exchange of its own, started for the run")]
    try:
        rest = RestClient(endpoints.rest, credentials, SystemClock(), ca_file=config.venue.ca_file)
    except ConfigError as e:
        return [bad("venue", str(e))]
    async with rest:
        try:
            await rest.sync_time()
        except FastbookError as e:
            return [bad("venue", str(e))]
        found = [good("venue", endpoints.rest), _clock(rest)]
        try:
            found.append(await _symbols(rest, config))
            if credentials is not None:
                checked = await preflight(rest, config)
                mode = f"account {checked.key.account}, {checked.margin_mode}"
                found.append(good("account", mode))
                found += [warn("account", text) for text in checked.key.warnings]
        except FastbookError as e:
            found.append(bad("account", str(e)))
    return found


def _clock(rest: RestClient) -> Check:
    ahead_ms = rest.venue_time.ahead_ms
    unsure_ms = rest.venue_time.uncertainty_ns / 1e6
    said = f"the venue's is {ahead_ms:+.0f} ms ahead of ours, known to {unsure_ms:.1f} ms"
    if abs(ahead_ms) > CLOCK_AHEAD_MS_MAX:
        return warn("clock offset", f"{said}; orders follow the venue's, logs do not")
    return good("clock offset", said)


async def _symbols(rest: RestClient, config: Config) -> Check:
    rows = await rest.instruments(Category(config.venue.category))
    known = {str(row.get("symbol")): str(row.get("status")) for row in rows}
    unknown = [s for s in config.market_data.symbols if s not in known]
    if unknown:
        return bad("symbols", f"the exchange has no {', '.join(unknown[:5])}")
    closed = [s for s in config.market_data.symbols if known[s] not in ("Trading", "None")]
    if closed:
        return warn("symbols", f"not open for trading: {', '.join(closed[:5])}")
    return good("symbols", f"{len(config.market_data.symbols)}, all known")
