"""The simulation itself: it is the same twice, it finds nothing, and what it found stays mended."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.simulation.__main__ import run_seed
from tests.simulation.bugs import BUGS, Bug, hunt, planted
from tests.simulation.loop import Universe
from tests.simulation.options import RATES, Options, draw
from tests.simulation.simulation import Simulation

ROOT = Path(__file__).resolve().parent.parent.parent
SEEDS = int(os.environ.get("FASTBOOK_SEEDS", "200"))
MINUTES = 1.0
DEADLINE_S = 600


@dataclass(frozen=True, slots=True)
class Regression:
    """A bug that the simulation found in earnest: put back, it is found again; mended, it is not."""

    bug: Bug
    options: Options
    what: str


REGRESSIONS = (
    Regression(
        Bug(
            "funding between ticks",
            "fastbook.bybit.private:_execution_px",
            'if exec_type == "Funding":',
            "if False:",
        ),
        Options(seed=1, minutes=1.2, symbols=3, start_of_day_s=8 * 3600 - 60, resting=0.9),
        "a funding payment at a mark price between ticks could not be read: RECONCILING for ever",
    ),
    Regression(
        Bug(
            "replayed fills",
            "fastbook.runtime.app:App._is_old",
            "return self.orders.find(event.client_id, event.order_id) is None",
            "return False",
        ),
        Options(
            seed=3,
            minutes=1.5,
            eager=0.3,
            rates={"private rows replayed": 20.0, "process killed": 4.0, "traded outside": 4.0},
        ),
        "the private stream replayed fills of before the start, and they were booked again",
    ),
    Regression(
        Bug(
            "the machine's clock",
            "fastbook.runtime.app:App.run",
            "self._venue_clock = rest.venue_time",
            "pass",
        ),
        Options(
            seed=4,
            eager=0.3,
            clock_off_ms=3_600_000,
            rates={"order request lost": 10.0, "order answer lost": 10.0},
        ),
        "with a clock an hour ahead an unknown order was proved absent an hour late",
    ),
)


def simulate(*args: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *args],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_many_seeds_and_no_violation() -> None:
    done = simulate(str(SEEDS), "--minutes", str(MINUTES))
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    if SEEDS >= 200:
        struck = {m[1] for m in re.finditer(r"^ +[1-9][0-9]* (.+)$", done.stdout, re.MULTILINE)}
        assert set(RATES) <= struck, "every kind of fault has to come"


@pytest.mark.parametrize("found", REGRESSIONS, ids=lambda found: found.bug.name.replace(" ", "-"))
def test_what_was_found_stays_mended(found: Regression) -> None:
    assert Simulation(found.options).run().violations == []
    with planted(found.bug):
        assert Simulation(found.options).run().violations, found.what


def test_the_same_seed_leaves_the_same_trace_in_another_process() -> None:
    traces = set()
    for hash_seed in ("0", "12345"):
        done = simulate("--seed", "23", "--minutes", "1", hash_seed=hash_seed)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        found = re.search(r"trace ([0-9a-f]{16})", done.stdout)
        assert found is not None
        traces.add(found[1])
    again = run_seed(23, 1.0)
    assert traces == {again.digest}
    assert run_seed(24, 1.0).digest != again.digest


def test_options_are_of_the_seed_alone() -> None:
    assert draw(5) == draw(5)
    assert draw(5) != draw(6)
    drawn = [draw(seed) for seed in range(300)]
    assert any(not options.rates for options in drawn), "some runs have no faults at all"
    assert set().union(*(options.rates for options in drawn)) == set(RATES)


def test_time_jumps_to_the_next_timer() -> None:
    universe = Universe(0.0)
    loop, other = universe.new_loop("one"), universe.new_loop("other")
    seen: list[tuple[str, float]] = []

    async def tick(name: str, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            seen.append((name, asyncio.get_running_loop().time()))

    loop.create_task(tick("a", 2.0))
    other.create_task(tick("b", 3.0))
    universe.run_until(6.5)
    assert seen == [("a", 2.0), ("b", 3.0), ("a", 4.0), ("b", 6.0), ("a", 6.0)]
    loop.stop_for(5.0)
    universe.run_until(11.0)
    assert seen[5:] == [("b", 9.0)], "a stopped loop does nothing"
    universe.run_until(12.0)
    assert seen[6:] == [("a", 11.5), ("b", 12.0)], "and goes on where it was"
    other.kill()
    universe.run_until(14.0)
    assert seen[8:] == [("a", 13.5)]
    for one in universe.loops:
        one.tidy()
    universe.run_until(15.0)
    assert universe.errors == []


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name.replace(" ", "-"))
def test_planted_bugs_still_fit_the_code(bug: Bug) -> None:
    """`make planted-bugs` shows that each is found; here that each can still be planted."""
    with planted(bug):
        pass


@pytest.mark.parametrize("name", ["fill booked twice", "gap ignored", "sign of a position"])
def test_a_planted_bug_is_found(name: str) -> None:
    (bug,) = (b for b in BUGS if b.name == name)
    assert hunt(bug, range(1, 13), 1.0, all_seeds=False).failed == 1
