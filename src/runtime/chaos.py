"""The demo's chaos: trouble on a schedule, and whether the engine saw it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastbook.errors import FastbookError

from .exchange_control import ExchangeControl

Json = dict[str, Any]  # Any: faults and reports are JSON

PLAN: tuple[tuple[float, str, Json], ...] = (
    # Not the one that falls silent next: to subscribe anew, for the gap, would end its silence.
    (0.12, "some symbols lose a message", {"kind": "drop", "topic": "orderbook.50.[ADE]*"}),
    (0.25, "a symbol falls silent", {"kind": "stall", "topic": "orderbook.50.BTCUSDT"}),
    (
        0.38,
        "the service of a symbol restarts",
        {"kind": "restart", "topic": "orderbook.50.ETHUSDT"},
    ),
    (0.45, "a book loses its ask side", {"kind": "empty", "topic": "orderbook.50.SOLUSDT"}),
    (0.52, "the public connections are cut", {"kind": "cut", "stream": "public"}),
    (0.64, "messages are sent twice", {"kind": "duplicate", "topic": "orderbook.50.*"}),
    (0.70, "the private connection is cut", {"kind": "cut", "stream": "private"}),
    (0.78, "every symbol loses a message", {"kind": "drop", "topic": "orderbook.50.*"}),
)
"""Share of the run, what happens, the fault. The last fifth is for coming back."""

POLL_S = 0.05
STALL_S = 2.0
EMPTY_S = 1.0


class Chaos:
    """Injects the plan over `seconds`; tells `note` each time."""

    def __init__(
        self, control: ExchangeControl, seconds: float, note: Callable[[str], None]
    ) -> None:
        self._control = control
        self._seconds = seconds
        self._note = note
        self.injected: list[Json] = []
        self.failure = ""

    async def run(self) -> None:
        """Ends by itself; what went wrong is then in `failure`."""
        try:
            await self._inject()
        except FastbookError as e:
            self.failure = str(e)

    async def _inject(self) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        await self._until_everybody_reads()
        begun_s = loop.time()
        left_s = max(0.0, self._seconds - (begun_s - started_s))  # a busy machine starts slowly
        for share, what, fault in PLAN:
            await asyncio.sleep(max(0.0, begun_s + share * left_s - loop.time()))
            if "topic" in fault:
                await self._until_everybody_reads()  # again, after a cut
            asked = dict(fault)
            if asked["kind"] == "stall":
                asked["seconds"] = min(STALL_S, 0.12 * self._seconds + 0.5)
            elif asked["kind"] == "empty":
                asked["seconds"] = EMPTY_S
            hit = await self._control.fault(asked)
            self._note(f"CHAOS {what}")
            at_s = loop.time() - started_s
            self.injected.append({"at_s": round(at_s, 2), "what": what, "hit": hit, **asked})

    async def _until_everybody_reads(self) -> None:
        """A fault on a topic that nobody reads yet is refused."""
        while True:
            state = await self._control.state()
            names = {f"orderbook.50.{symbol}" for symbol in state["symbols"]}
            if all(state["topics"].get(name, {}).get("readers") for name in names):
                return
            await asyncio.sleep(POLL_S)

    def report(self, summary: Json) -> Json:
        """What was done, and what of it the engine did not see or did not mend.

        A run that was stopped early is judged by what had been injected until then.
        """
        kinds = {f["kind"] for f in self.injected}
        private_cuts = [f for f in self.injected if f.get("stream") == "private"]
        whole = summary["seconds"] >= self._seconds
        lost = sum(f["hit"] for f in self.injected if f["kind"] == "drop")
        cuts = sum(
            f["hit"] for f in self.injected if f["kind"] == "cut" and f["stream"] == "public"
        )
        checks = {}
        if whole or self.failure:
            why = f" ({self.failure})" if self.failure else ""
            checks[f"every fault of the plan was injected{why}"] = len(self.injected) == len(PLAN)
        if lost:
            checks[f"every lost message was seen as a gap ({lost})"] = summary["gaps"] >= lost
        if cuts:
            checks[f"every cut connection was replaced ({cuts})"] = summary["reconnects"] >= cuts
        if whole and "stall" in kinds:
            checks["the silent symbol was marked stale"] = summary["stale_marks"] > 0
        if private_cuts:
            reconciled = summary["reconciliations"] >= 2
            checks["the ledger was reconciled after the private cut"] = reconciled
        missed = [text for text, held in checks.items() if not held]
        return {"injected": self.injected, "checks": checks, "missed": missed}
