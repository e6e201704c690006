"""`fastbook verify`: what a run was given, to a new engine; what it decided, compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from fastbook.bybit.trades import parse_trades
from fastbook.clock import Clock
from fastbook.core.states import BookState
from fastbook.engine import Engine
from fastbook.errors import DataFileError, FastbookError, WireError
from fastbook.execution import Order
from fastbook.risk import Health, SizingParams
from fastbook.strategy.bars import Bar
from fastbook.types import Instrument

from .assembly import Market, build_engine, build_market
from .config import parse
from .output import print_json
from .recording.codec import from_plain, to_plain
from .recording.reader import Entry, Recording
from .recording.tap import FORMAT, account, decisions, final_state, touch_digest

OUTPUTS = frozenset({"wall", "journal", "account", "books", "end"})
"""Entries that tell what became of the input before them."""

Json = dict[str, Any]
"""Any: a JSON document."""


class Difference(Exception):
    """The replay did something else than the recording says. Ends the comparison."""


class _Wall(Clock):
    """The wall times that the run read, in order."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.at = 0

    def now_ns(self) -> int:
        if self.at >= len(self.times):
            raise Difference("the replay reads the wall clock where the run did not")
        self.at += 1
        return self.times[self.at - 1]

    def monotonic_ns(self) -> int:
        raise Difference("the replay reads a clock that the run did not")


@dataclass(slots=True)
class Verdict:
    """What a comparison came to."""

    compared: Counter[str] = field(default_factory=Counter)
    """By kind: reads, intents, refusals, commands, fills, books, ..."""
    inputs: int = 0
    frames: int = 0
    first: str = ""
    """The first difference, in words; empty when there is none."""
    complete: bool = False
    """The recording has its end: the run was not killed."""
    version: str = ""

    def as_json(self) -> Json:
        return {
            "compared": sum(self.compared.values()),
            "differing": 1 if self.first else 0,
            "first_difference": self.first or None,
            "by_kind": dict(sorted(self.compared.items())),
            "inputs": self.inputs,
            "frames": self.frames,
            "complete": self.complete,
            "recorded_with": self.version,
        }


class Verifier:
    """One engine, built as the recorded one was, and fed with what that was fed."""

    def __init__(self, recording: Recording) -> None:
        self.verdict = Verdict()
        self._recording = recording
        self._frames = recording.frame_lines()
        self._applied = 0
        self._wall = _Wall()
        self._decisions: list[Any] = []

    def run(self) -> Verdict:
        """Compare to the end, or to the first difference. FastbookError: there is no recording."""
        entries = self._recording.entries()
        try:
            start = next(entries, None)
            if start is None or start.kind != "start":
                raise DataFileError(str(self._recording.folder), "the events have no start")
            self._build(start.value)
            for group in _groups(entries):
                self._play(group)
        except (Difference, DataFileError) as e:
            # What is damaged is not what was recorded: a difference like any other.
            self.verdict.first = str(e)
        self.verdict.frames = self._applied
        return self.verdict

    def _build(self, start: Any) -> None:
        known: Json = from_plain(start)
        if known["format"] != FORMAT:
            raise FastbookError(
                f"{self._recording.folder}: format {known['format']} of fastbook"
                f" {known['fastbook']}; this version reads {FORMAT}"
            )
        self.verdict.version = known["fastbook"]
        config = parse(known["config"], name="the recorded configuration", environ={})
        self._instruments: list[Instrument] = known["instruments"]
        self._by_symbol = {i.symbol: i for i in self._instruments}
        self._market: Market = build_market(config, self._instruments)
        self._engine: Engine = build_engine(
            config,
            self._instruments,
            self._market.books,
            self._market.signals,
            self._wall,
            orders_epoch=known["orders_epoch"],
            sizing=SizingParams(**known["sizing"]),
        )

    # --- one input and what came of it ---

    def _play(self, group: list[Entry]) -> None:
        given, *said = group
        self._wall.times = [e.recv_ns for e in said if e.kind == "wall"]
        self._wall.at = 0
        self._apply_frames(given)
        self._feed(given)
        self.verdict.inputs += 1
        if self._wall.at != len(self._wall.times):
            raise Difference(
                f"{_where(given)}: the run read the wall clock {len(self._wall.times)} times, the"
                f" replay {self._wall.at} times"
            )
        self.verdict.compared["wall times"] += self._wall.at
        for entry in said:
            if entry.kind != "wall":
                self._compare(entry, given)

    def _apply_frames(self, entry: Entry) -> None:
        decoder = self._market.decoder
        count = entry.frames - self._applied
        for recv_ns, frame in islice(self._frames, max(count, 0)):
            decoder.apply(frame, recv_ns)
            self._applied += 1
        if self._applied < entry.frames:
            raise Difference(
                f"{_where(entry)}: {entry.frames - self._applied} frames before it are not in"
                " the recording"
            )

    def _feed(self, entry: Entry) -> None:
        engine, recv_ns, value = self._engine, entry.recv_ns, entry.value
        match entry.kind:
            case "read":
                self._check_touched(entry)
                engine.on_books(value, recv_ns)
            case "trades":
                engine.on_trades(self._trades(entry), recv_ns)
            case "event":
                engine.on_event(from_plain(value), recv_ns)
            case "control":
                engine.on_control(from_plain(value), recv_ns)
            case "link":
                engine.on_link(value[0], value[1], recv_ns)
            case "timer":
                engine.on_timer(recv_ns)
            case "reconciled":
                engine.reconciled(recv_ns, positions_complete=value)
            case "drop_copy":
                engine.drop_copied(value, recv_ns)
            case "health":
                lag_ms, unsure_ms, share = value
                engine.on_health(
                    Health(
                        loop_lag_ms=lag_ms, clock_uncertainty_ms=unsure_ms, share=Decimal(share)
                    ),
                    recv_ns,
                )
            case "warm_up":
                engine.warm_up(value[0], [Bar(*plain) for plain in value[1]], recv_ns)
            case "mark":
                self._mark(*value)
            case "mark_px":
                engine.on_mark(value[0], value[1], recv_ns)
            case "restored":
                self._restore(from_plain(value), recv_ns)
            case kind:
                raise Difference(f"{_where(entry)}: nobody knows what {kind!r} is")

    def _check_touched(self, entry: Entry) -> None:
        touched = self._market.decoder.touched()
        self.verdict.compared["reads"] += 1
        if touched != entry.value:
            raise Difference(
                f"{_where(entry)}: the frames of this read touch the books {touched}, in the run"
                f" they touched {entry.value}"
            )

    def _trades(self, entry: Entry) -> list[Any]:
        message = self._market.decoder.message
        try:
            trades = [] if message is None else parse_trades(message, self._by_symbol)
        except (WireError, KeyError) as e:
            raise Difference(f"{_where(entry)}: {e}") from None
        if len(trades) != entry.value:
            raise Difference(f"{_where(entry)}: {len(trades)} trades, in the run {entry.value}")
        return trades

    def _restore(self, saved: Json, recv_ns: int) -> None:
        """What the last run left, as the recorded run was given it."""
        engine = self._engine
        engine.gate.restore(saved["gate"])
        engine.portfolio.restore_records(saved.get("records", {}))
        for name, state in saved["strategies"].items():
            if state is not None and name in engine.strategies:
                engine.strategies[name].restore(state)
        for exec_id in saved["exec_ids"]:
            engine.orders.mark(exec_id)
        for values in saved["orders"]:
            order = Order(**values)
            order.sent_ns = recv_ns
            engine.orders.restore(order, recv_ns)

    def _mark(self, topic: str, state: str) -> None:
        decoder = self._market.decoder
        if state == BookState.SYNCING.name:
            decoder.mark_syncing(topic)
        elif state == BookState.STALE.name:
            decoder.mark_stale(topic)
        else:
            decoder.unsync(topic)

    # --- comparing ---

    def _compare(self, entry: Entry, given: Entry) -> None:
        engine, market = self._engine, self._market
        match entry.kind:
            case "journal":
                self._compare_decisions(entry)
            case "account":
                index = entry.value[0]
                now = account(engine, index, len(self._instruments))
                self._same(entry, "fills", now, f"the ledger after {_where(given)}")
            case "books":
                now = touch_digest(market.books, market.signals, entry.value[2])
                self._same(entry, "books", now, f"the books and signals at {_where(given)}")
            case "end":
                self._compare_end(entry)
            case kind:
                raise Difference(f"{_where(entry)}: nobody knows what {kind!r} is")

    def _same(self, entry: Entry, kind: str, here: object, what: str) -> None:
        self.verdict.compared[kind] += 1
        plain = to_plain(here)
        if plain != entry.value:
            raise Difference(f"{what}: in the run {entry.value}, in the replay {plain}")

    def _compare_decisions(self, entry: Entry) -> None:
        here = to_plain(decisions(self._engine.journal.drain()))
        there = entry.value
        for number, (one, other) in enumerate(zip(there, here, strict=False)):
            self.verdict.compared[_PLURAL.get(one[0], one[0])] += 1
            if one != other:
                raise Difference(
                    f"decision {number + 1} before event {entry.number}: in the run"
                    f" {_told(one)}; in the replay {_told(other)}"
                )
        if len(there) != len(here):
            more, who = (there, "run") if len(there) > len(here) else (here, "replay")
            extra = more[min(len(there), len(here))]
            raise Difference(f"before event {entry.number} the {who} alone decided: {_told(extra)}")

    def _compare_end(self, entry: Entry) -> None:
        here = to_plain(final_state(self._engine, self._market.books, self._market.signals))
        there = dict(entry.value["map"])
        for name, value in here["map"]:
            self.verdict.compared["end state"] += 1
            if there.get(name) != value:
                raise Difference(
                    f"at the end, {name}: in the run {there.get(name)}, in the replay {value}"
                )
        self.verdict.complete = True


_PLURAL = {"intent": "intents", "refused": "refusals", "command": "commands"}


def _groups(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Each input with what the run noted of its consequences."""
    group: list[Entry] = []
    for entry in entries:
        if entry.kind not in OUTPUTS and group:
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def _where(entry: Entry) -> str:
    return f"event {entry.number} ({entry.kind} at {entry.recv_ns}, after {entry.frames} frames)"


def _told(decision: list[Any]) -> str:
    kind, recv_ns, value = decision
    return f"{kind} at {recv_ns}: {_flat(value)}"


def _flat(value: Any) -> str:
    """A recorded value as a person writes it."""
    if isinstance(value, list):
        return f"[{', '.join(_flat(one) for one in value)}]"
    if not isinstance(value, dict):
        return str(value)
    if "type" in value:
        inside = ", ".join(f"{k}={_flat(v)}" for k, v in value["with"].items())
        return f"{value['type']}({inside})"
    if "map" in value:
        return f"{{{', '.join(f'{_flat(k)}: {_flat(v)}' for k, v in value['map'])}}}"
    return str(next(iter(value.values())) if "enum" not in value else value["is"])


def verify(folder: Path, *, as_json: bool) -> int:
    """Compare, say what came of it; 0, or 4 at a difference."""
    verdict = Verifier(Recording(folder)).run()
    if as_json:
        print_json(verdict.as_json(), indent=True)
    else:
        print_verdict(verdict)
    return 4 if verdict.first else 0


def print_verdict(verdict: Verdict) -> None:
    total = sum(verdict.compared.values())
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in verdict.compared.most_common())
    print(f"{verdict.frames:,} frames and {verdict.inputs:,} inputs replayed")
    print(f"{total:,} compared: {kinds}" if total else "nothing to compare")
    if verdict.first:
        print(f"first difference: {verdict.first}")
    elif not verdict.complete:
        print("the same, up to where the recording stops: the run did not come to its end")
    else:
        print("the same: every decision, order and fill")
