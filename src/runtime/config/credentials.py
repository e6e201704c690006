"""Keys and secrets: from the environment or from files that nobody else can read."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from fastbook.bybit.rsa import PEM_BEGINS
from fastbook.errors import CredentialsError

from ..secret import Secret
from .sections import Config

API_KEY, API_SECRET, ADVISOR_KEY = "FASTBOOK_API_KEY", "FASTBOOK_API_SECRET", "FASTBOOK_ADVISOR_KEY"
WATCHDOG_API_KEY, WATCHDOG_API_SECRET = "FASTBOOK_WATCHDOG_API_KEY", "FASTBOOK_WATCHDOG_API_SECRET"
_FILE_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Credentials:
    """Key and secret of one account of the exchange."""

    api_key: Secret
    api_secret: Secret


def load_credentials(config: Config, environ: Mapping[str, str]) -> Credentials | None:
    """The account's key and secret; None when neither is given anywhere.

    The environment wins over files, and the variables are taken out of it, if that is
    possible, so that no child process inherits them. Raises `CredentialsError`, which names the
    variable or file and never the value.
    """
    venue = config.venue
    key = _find(API_KEY, venue.api_key_file, environ)
    secret = _find(API_SECRET, venue.api_secret_file, environ)
    return _paired(key, secret, API_KEY, API_SECRET)


def _paired(
    key: Secret | None, secret: Secret | None, key_name: str, secret_name: str
) -> Credentials | None:
    if key is None and secret is None:
        return None
    if key is None or secret is None:
        have, lack = (secret_name, key_name) if key is None else (key_name, secret_name)
        raise CredentialsError(f"{have} is given and {lack} is not")
    if key == secret:
        raise CredentialsError(f"{key_name} and {secret_name} are the same text")
    return Credentials(key, secret)


def load_watchdog_credentials(config: Config, environ: Mapping[str, str]) -> Credentials | None:
    """The watchdog's own key and secret, from its own variables or files; None = not given."""
    own = config.watchdog
    key = _find(WATCHDOG_API_KEY, own.api_key_file, environ)
    secret = _find(WATCHDOG_API_SECRET, own.api_secret_file, environ)
    return _paired(key, secret, WATCHDOG_API_KEY, WATCHDOG_API_SECRET)


def load_advisor_key(config: Config, environ: Mapping[str, str]) -> Secret | None:
    """The key of the advisor's endpoint, found and checked in the same way."""
    return _find(ADVISOR_KEY, config.advisor.key_file, environ)


def _find(variable: str, path: str, environ: Mapping[str, str]) -> Secret | None:
    if variable in environ:
        text = environ[variable]
        if isinstance(environ, MutableMapping):
            del environ[variable]
        return _checked(text, variable)
    return _checked(_read_private(path), path) if path else None


def _read_private(path: str) -> str:
    """The text of a file that is ours and that nobody else can read."""
    try:
        # Opened before it is looked at, so that what is checked is what is read.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as e:
        raise CredentialsError(f"{path}: cannot be read: {e.strerror}") from e
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise CredentialsError(f"{path}: is not a plain file")
    with open(fd, "rb") as file:
        if info.st_mode & 0o077:
            mode = stat.S_IMODE(info.st_mode)
            raise CredentialsError(f"{path}: mode {mode:04o} lets others in; chmod 600 it")
        if info.st_uid not in (os.getuid(), 0):
            raise CredentialsError(f"{path}: belongs to somebody else")
        data = file.read(_FILE_BYTES_MAX + 1)
    if len(data) > _FILE_BYTES_MAX:
        raise CredentialsError(f"{path}: larger than {_FILE_BYTES_MAX} bytes")
    return data.decode("ascii", "replace")


def _checked(text: str, origin: str) -> Secret:
    text = text.strip()
    if not text:
        raise CredentialsError(f"{origin}: is blank")
    if text.startswith(PEM_BEGINS.decode()):
        if not text.isascii() or "PRIVATE KEY" not in text.partition("\n")[0]:
            raise CredentialsError(f"{origin}: is PEM, and not a private key without a password")
        return Secret(text + "\n")
    if not text.isascii() or not text.isprintable() or " " in text or "\ufffd" in text:
        raise CredentialsError(f"{origin}: holds characters that no key has")
    return Secret(text)
