"""Every error the package raises on purpose."""

from __future__ import annotations


class FastbookError(Exception):
    """Base of every error that fastbook raises on purpose.

    ``retryable`` says what the caller may do: ``True`` means that the same call can
    succeed later (reconnect, wait, ask for a snapshot); ``False`` means it cannot.
    """

    retryable = False


class ConfigError(FastbookError, ValueError):
    """A setting is missing, unknown or out of range."""


class FixedPointError(FastbookError, ValueError):
    """A text is not a plain decimal, or does not fit in 64 bits at the asked scale."""


class WireError(FastbookError):
    """Bytes from the exchange are not what the protocol promises."""

    def __init__(self, reason: str, *, topic: str = "") -> None:
        super().__init__(f"{topic}: {reason}" if topic else reason)
        self.reason = reason
        self.topic = topic


class RequestError(FastbookError, ValueError):
    """A request that the protocol does not allow. Our own mistake; nothing was sent."""


class BookInvariantError(FastbookError):
    """A book broke one of its own rules: a bug, or memory written by somebody else."""


class DataFileError(FastbookError):
    """A recording cannot be read; names the file and, where known, the line."""

    def __init__(self, path: str, reason: str, *, line: int = 0) -> None:
        super().__init__(f"{path}:{line}: {reason}" if line else f"{path}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


class TransportError(FastbookError):
    """The network failed: refused, cut, timed out. Says nothing about what the peer did.

    Unless `sent` is False: then the request never left. `status` is that of HTTP, 0 = none.
    """

    retryable = True

    def __init__(self, message: str, *, sent: bool = True, status: int = 0) -> None:
        super().__init__(message)
        self.sent = sent
        self.status = status


class VenueError(FastbookError):
    """The exchange answered, and its answer was no."""

    def __init__(self, code: int, message: str, *, request: str = "") -> None:
        super().__init__(f"{request}: {code} {message}" if request else f"{code} {message}")
        self.code = code
        self.message = message


class CredentialsError(FastbookError):
    """Key, secret or permissions were refused (`code` says how), or are missing."""

    def __init__(self, message: str, *, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class StateError(FastbookError):
    """What was kept on disk cannot be used, or something cannot be kept; says what to do."""


class CapacityError(FastbookError):
    """A bounded structure is full and refused to grow; it is unchanged."""

    retryable = True
