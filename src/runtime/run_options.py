"""What a run is told besides its configuration, and how its end is told."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fastbook.errors import FastbookError
from fastbook.risk import SizingParams
from fastbook.types import Command, OrderEvent

from .report import Json

if TYPE_CHECKING:
    from .app import App
    from .recording.recorder import Recorder

log = logging.getLogger("fastbook.app")

OnStatus = Callable[[Json], None]
Audit = Callable[["App"], Awaitable[Json]]


class Gateway(Protocol):
    """Where commands go and the account's truth comes from."""

    def send(self, commands: Sequence[Command]) -> None: ...
    async def reconcile(self, since_ms: int = 0) -> list[OrderEvent]: ...
    async def close(self, grace_s: float = 3.0) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How one run is shown and ended."""

    title: str
    seconds: float | None = None
    sizing: SizingParams = field(default_factory=SizingParams)
    flatten: bool = True
    """At the end, leave no position behind."""
    on_status: OnStatus | None = None
    audit: Audit | None = None
    """Asked at the end, while the account can still be reached; its answer joins the summary."""
    recorder: Recorder | None = None
    """Keeps all that comes in and is decided; whoever made it closes it."""
    serve: bool = False
    """Whether `[metrics]` is served."""
    stores: Path | None = None
    """Folder of what is on its way to cache and history; None: neither, whatever the
    configuration says."""


def presentable(error: BaseException) -> BaseException:
    """Whatever is not ours to raise is a mistake of ours: one sentence, and where it is."""
    if isinstance(error, FastbookError):
        return error
    log.debug("internal error", exc_info=error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    said = FastbookError(f"internal error: {type(error).__name__}: {error}{where}")
    said.__cause__ = error
    return said
