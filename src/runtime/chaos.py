"""The demo's chaos: trouble on a schedule, and whether the engine saw it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .exchange_control import ExchangeControl

Json = dict[str, Any]  # Any: faults and reports are JSON

PLAN: tuple[tuple[float, str, Json], ...] = (
    (0.12, "some symbols lose a message", {"kind": "drop", "topic": "orderbook.50.[ABDE]*"}),
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

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        for share, what, fault in PLAN:
            await asyncio.sleep(max(0.0, started_s + share * self._seconds - loop.time()))
            asked = dict(fault)
            if asked["kind"] == "stall":
                asked["seconds"] = min(STALL_S, 0.12 * self._seconds + 0.5)
            elif asked["kind"] == "empty":
                asked["seconds"] = EMPTY_S
            hit = await self._control.fault(asked)
            self._note(f"CHAOS {what}")
            at_s = loop.time() - started_s
            self.injected.append({"at_s": round(at_s, 2), "what": what, "hit": hit, **asked})

    def report(self, summary: Json) -> Json:
        """What was done, and what of it the engine did not see or did not mend."""
        lost = sum(f["hit"] for f in self.injected if f["kind"] == "drop")
        cuts = sum(
            f["hit"] for f in self.injected if f["kind"] == "cut" and f["stream"] == "public"
        )
        checks = {
            "every fault of the plan was injected": len(self.injected) == len(PLAN),
            f"{lost} lost messages were seen as gaps": summary["gaps"] >= lost,
            f"{cuts} cut connections were replaced": summary["reconnects"] >= cuts,
            "the silent symbol was marked stale": summary["stale_marks"] > 0,
            "the ledger was reconciled after the private cut": summary["reconciliations"] >= 2,
        }
        missed = [text for text, held in checks.items() if not held]
        return {"injected": self.injected, "checks": checks, "missed": missed}
