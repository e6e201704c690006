"""Stops of positions: one request a position at a time, and the last word wins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from fastbook.bybit import requests, verdicts
from fastbook.errors import CredentialsError, FastbookError, TransportError
from fastbook.types import Instrument, OrderEvent, SetStops

from .lane import Lane
from .repeats import Repeater
from .rest import RestClient


class StopSetter:
    """Sets stops by REST, the only way there is. Each command that is not overtaken has an end.

    Two requests for one position could arrive in any order, so a newer one waits for the older,
    and replaces one that is still waiting.
    """

    def __init__(
        self,
        rest: RestClient,
        instruments: Sequence[Instrument],
        lane: Lane,
        repeater: Repeater,
        tell: Callable[[list[OrderEvent]], None],
        alarm: Callable[[FastbookError], None],
    ) -> None:
        self._rest = rest
        self._instruments = instruments
        self._lane = lane
        self._repeater = repeater
        self._tell = tell
        self._alarm = alarm
        self._wanted: dict[tuple[int, int], SetStops] = {}  # one entry a position at most
        self.overtaken = 0

    def offer(self, stops: SetStops) -> None:
        key = (stops.instrument, stops.position_idx)
        runs = key in self._wanted
        self.overtaken += runs
        self._wanted[key] = stops
        if not runs and not self._lane.offer(partial(self._set, key)):
            del self._wanted[key]
            refusal = TransportError(f"{self._lane.name} queue full", sent=False)
            self._tell([verdicts.stops_failed(stops, refusal)])

    async def _set(self, key: tuple[int, int]) -> None:
        stops = self._wanted[key]
        done: OrderEvent | None = None
        try:
            while done is None or stops is not self._wanted[key]:
                stops = self._wanted[key]
                done = verdicts.stops_failed(stops, TransportError("cancelled task"))
                done = await self._outcome(stops)
        finally:
            del self._wanted[key]
            if done is not None:
                self._tell([done])

    async def _outcome(self, stops: SetStops) -> OrderEvent:
        try:
            body = requests.trading_stop_body(self._instruments[stops.instrument], stops)
            await self._repeater.until_known(lambda: self._rest.trading_stop(body))
        except FastbookError as e:
            if isinstance(e, CredentialsError):
                self._alarm(e)
            return verdicts.stops_failed(stops, e)
        return verdicts.stops_set(stops)
