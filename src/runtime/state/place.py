"""Where the state of one account lies. Nothing here touches the disk but `prepare`."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import urlsplit

from fastbook.errors import StateError

from ..config import Config

DIR_MODE, FILE_MODE = 0o700, 0o600


def place_of(config: Config) -> Path:
    """The folder of the account that `config` trades: paper and live never share one.

    Environment, category, mode and account stand in its name; in the simulator, whose accounts
    have no number of their own, the address.
    """
    venue = config.venue
    parts = [venue.environment, venue.category, config.execution.mode]
    if venue.account_uid:
        parts.append(venue.account_uid)
    elif venue.rest_url:
        where = urlsplit(venue.rest_url)
        parts.append(f"{where.hostname or ''}-{where.port or where.scheme}".replace(":", "_"))
    if config.shard.count > 1:
        parts.append(f"shard{config.shard.index}of{config.shard.count}")
    return Path(config.state.dir) / "-".join(parts)


def prepare(folder: Path) -> Path:
    """Make the folder, for us alone. StateError when others could write there."""
    try:
        folder.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
        info = folder.stat()
    except OSError as e:
        raise StateError(f"{folder}: cannot be made: {e.strerror}") from e
    if not stat.S_ISDIR(info.st_mode):
        raise StateError(f"{folder}: is not a directory")
    if info.st_uid != os.getuid():
        raise StateError(f"{folder}: belongs to somebody else")
    if info.st_mode & 0o022:
        mode = stat.S_IMODE(info.st_mode)
        raise StateError(f"{folder}: mode {mode:04o} lets others write; chmod 700 it")
    return folder
