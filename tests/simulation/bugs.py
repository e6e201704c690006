"""Bugs put in on purpose: each is one line of the production code, and has to be found.

`python -m tests.simulation.bugs` plants one after the other, runs seeds until one fails, and prints
how many it took. A bug is found when a violation is reported that the sound code does not have.
"""

from __future__ import annotations
import __future__

import argparse
import contextlib
import importlib
import inspect
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .options import RATES, draw
from .simulation import Simulation


@dataclass(frozen=True, slots=True)
class Bug:
    """In `where` (module:Class.function), `right` is replaced by `wrong`; `right` occurs once."""

    name: str
    where: str
    right: str
    wrong: str
    needs: tuple[tuple[str, float], ...] = ()
    """Faults (a minute) and options without which it cannot show: given to every seed of its hunt."""


ORDERS = "fastbook.execution.orders:Orders"
EXECUTOR = "fastbook.execution.executor:Executor"
PORTFOLIO = "fastbook.execution.portfolio:Portfolio"
ENGINE = "fastbook.engine.engine:Engine"
ACCOUNT = "fastbook.engine.account"
GATEWAY = "fastbook.runtime.bybit.gateway:RestGateway"

BUGS = (
    Bug("fill booked twice", f"{ORDERS}.seen", "exec_id in self._exec_ids", "False"),
    Bug(
        "unknown treated as absent",
        f"{ORDERS}._merge_absent",
        "bound_ms = self.recv_window_ms + _ABSENCE_GRACE_MS",
        "bound_ms = -1_000_000_000",
    ),
    Bug(
        "no answer treated as a rejection",
        f"{ORDERS}.apply",
        "order.state = OrderState.UNKNOWN",
        "order.state = OrderState.REJECTED",
    ),
    Bug("closed order comes back", f"{ORDERS}._merge_row", "elif order.state.terminal:", "elif 0:"),
    Bug(
        "cumulative quantity falls",
        f"{ORDERS}._merge_row",
        "max(order.cum_qty, row.cum_qty)",
        "row.cum_qty",
        needs=(("private rows replayed", 20.0), ("bad private link", 6.0)),
    ),
    Bug("reservation not released", f"{ORDERS}._file", "if order.working:", "if True:"),
    Bug(
        "client id repeated",
        f"{ORDERS}._next_id",
        "self._count += 1",
        "self._count = self._count % 3 + 1",
    ),
    Bug(
        "epoch repeated",
        "fastbook.runtime.keeper:session_nonce",
        "return f\"{'L' if live else 'P'}{digits}_{chance[:6]}\"",
        'return "P1_abcdef"',
    ),
    Bug(
        "other side's orders not seen",
        f"{ACCOUNT}:Account.view",
        "own_ask_min=min((o.px_min for o in sells if not o.state.terminal), default=0),",
        "own_ask_min=0,",
        needs=(("resting", 0.9), ("silly", 0.3), ("eager", 0.5)),
    ),
    Bug("sign of a position", f"{PORTFOLIO}.apply", "int(execution.side) * qty", "qty"),
    Bug(
        "fees forgotten",
        f"{PORTFOLIO}.apply",
        "self.fees = _EXACT.add(self.fees, fee)",
        "self.fees = self.fees",
    ),
    Bug(
        "sign of funding",
        f"{PORTFOLIO}.apply",
        "self.funding = _EXACT.subtract(self.funding, execution.fee)",
        "self.funding = _EXACT.add(self.funding, execution.fee)",
    ),
    Bug("profit of shorts", f"{PORTFOLIO}._reduce", "(sign < 0) != p.inverse", "p.inverse"),
    Bug(
        "cost of the rest",
        f"{PORTFOLIO}._reduce",
        "p.cost = _EXACT.subtract(p.cost, released)",
        "p.cost = p.cost",
    ),
    Bug(
        "private link lost unnoticed",
        f"{ENGINE}.on_link",
        'self._reconcile("the private link is down", recv_ns)',
        "pass",
        needs=(("private unreachable", 3.0), ("cut private", 4.0)),
    ),
    Bug(
        "latch lost on restart",
        "fastbook.risk.gate:RiskGate.restore",
        'self.latches.restore(state["latches"])',
        "pass",
        needs=(("process killed", 4.0), ("daily_loss_pct", 0.005)),
    ),
    Bug(
        "kill mark not kept",
        "fastbook.runtime.custody:Custody.halt",
        "self.keeper.kill.make(why, self._utc())",
        "pass",
        needs=(("process killed", 4.0), ("operator", 4.0)),
    ),
    Bug(
        "orders not written down",
        "fastbook.runtime.custody:Custody.release",
        "self.keeper.record(risky)",
        "pass",
    ),
    Bug(
        "fills of before booked again",
        "fastbook.runtime.app:App._is_old",
        "return self.orders.find(event.client_id, event.order_id) is None",
        "return False",
        needs=(("process killed", 4.0), ("private rows replayed", 10.0)),
    ),
    Bug(
        "limit of a position doubled",
        "fastbook.risk.room:_ceilings",
        '("position_pct_max", percent(equity, limits.position_pct_max))',
        '("position_pct_max", 2 * percent(equity, limits.position_pct_max))',
    ),
    Bug(
        "collar not held",
        "fastbook.risk.prices:PriceRules.check_collars",
        "if off * 10_000 > self._collar_bps * twice_mid:",
        "if False:",
        needs=(("silly", 0.5), ("eager", 0.5)),
    ),
    Bug(
        "leverage trebled",
        "fastbook.risk.room:_ceilings",
        "decimal(limits.leverage_max)",
        "3 * decimal(limits.leverage_max)",
        needs=(("leverage_max", 0.004), ("notional", 500.0), ("eager", 0.5)),
    ),
    Bug(
        "one unit more than was filled",
        "fastbook.bybit.private:_execution",
        '_fixed(row, "execQty", instrument.qty_scale)',
        '_fixed(row, "execQty", instrument.qty_scale) + 1',
    ),
    Bug(
        "sent again after no answer",
        f"{GATEWAY}._create_one",
        "return verdicts.create_failed(order.client_id, e)",
        "return verdicts.created(order.client_id,"
        ' (await self.entry.order("order.create", body)).result)',
        needs=(("order answer lost", 8.0),),
    ),
    Bug(
        "sent again under a new id",
        f"{GATEWAY}._create_one",
        "return verdicts.create_failed(order.client_id, e)",
        "return verdicts.created(order.client_id, (await self.entry.order("
        '"order.create", body.replace(order.client_id.encode(), order.client_id.encode() + b"r")'
        ")).result)",
        needs=(("order answer lost", 8.0),),
    ),
    Bug(
        "exit sent without reduce-only",
        "fastbook.bybit.requests:create_row",
        'body["reduceOnly"] = order.reduce_only',
        'body["reduceOnly"] = False',
    ),
    Bug(
        "gap ignored",
        "fastbook.runtime.bybit.listener_py:PythonListener._apply",
        "elif status is ApplyStatus.GAP:",
        "elif status is ApplyStatus.GAP and not self._decoder.apply("
        "bytes(message).replace(b'\"delta\"', b'\"snapshot\"'), self._recv_ns):",
    ),
    Bug(
        "no resync after a gap",
        "fastbook.runtime.bybit.connection:Connection.on_desynced",
        "self._feed.on_desynced()",
        "pass",
    ),
    Bug(
        "signed by the wall clock",
        "fastbook.runtime.bybit.rest_call:RestCaller._signature",
        "self._venue_time.now_ms()",
        "self._clock.now_ns() // 1_000_000",
        needs=(("clock_off_ms", 3_600_000),),
    ),
    Bug(
        "absent by the machine's clock",
        "fastbook.runtime.app:App.run",
        "self._venue_clock = rest.venue_time",
        "pass",
        needs=(("clock_off_ms", 3_600_000), ("order request lost", 6.0)),
    ),
    Bug(
        "fills of the gap not asked for",
        "fastbook.runtime.bybit.enquiries:Enquiries.account",
        "events += decoder.executions(executions.rows)",
        "pass",
        needs=(("cut private", 6.0), ("half-open private", 3.0)),
    ),
    Bug(
        "private stream's end not told",
        "fastbook.runtime.bybit.private_connection:PrivateConnection.finish",
        "if self.stage is Stage.LIVE:",
        "if False:",
        needs=(("private unreachable", 3.0), ("cut private", 4.0)),
    ),
)


@contextlib.contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The production code with `bug` in it, until the block ends."""
    module_name, _, path = bug.where.partition(":")
    module = importlib.import_module(module_name)
    *owner_path, name = path.split(".")
    owner: Any = module
    for part in owner_path:
        owner = getattr(owner, part)
    there = inspect.getattr_static(owner, name)
    function: Any = there.fget if isinstance(there, property) else there
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(bug.right) != 1:
        raise AssertionError(f"{bug.name}: {bug.right!r} is not once in {bug.where}")
    code = compile(
        source.replace(bug.right, bug.wrong).replace("@property\n", ""),
        f"<{bug.name}>",
        "exec",
        flags=__future__.annotations.compiler_flag,
        dont_inherit=True,
    )
    made: dict[str, Any] = {}
    exec(code, function.__globals__, made)  # noqa: S102 - our own source with one line changed
    wrong: Any = made[name]
    places = [owner]
    if owner is module:  # a function: wherever it was imported by name
        places += [
            m
            for n, m in list(sys.modules.items())
            if n.startswith("fastbook") and m is not module and vars(m).get(name) is function
        ]
    for place in places:
        setattr(place, name, property(wrong) if isinstance(there, property) else wrong)
    try:
        yield
    finally:
        for place in places:
            setattr(place, name, there)


@dataclass(slots=True)
class Found:
    bug: Bug
    tried: int = 0
    first: int = 0
    """Seeds until the first one failed; 0 = none did."""
    failed: int = 0
    how: str = ""


def hunt(bug: Bug, seeds: range, minutes: float, *, all_seeds: bool) -> Found:
    """Run seeds with the bug in; stop at the first that fails, or go on to the end."""
    found = Found(bug)
    with planted(bug):
        for seed in seeds:
            found.tried += 1
            options = draw(seed, minutes=minutes)
            for name, value in bug.needs:
                if name in RATES:
                    options.rates[name] = value
                else:
                    setattr(options, name, value)
            report = Simulation(options).run()
            if not report.violations:
                continue
            found.failed += 1
            if not found.first:
                found.first = found.tried
                found.how = report.violations[0]
                if not all_seeds:
                    break
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make planted-bugs", description=__doc__)
    parser.add_argument("--seeds", type=int, default=40, help="at most, for each")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--all", action="store_true", help="every seed, to say how many fail")
    parser.add_argument("--part", default="1/1", help="2/3: the second of three shares")
    parser.add_argument("--only", nargs="*", help="bugs whose names have one of these in them")
    args = parser.parse_args(argv)
    seeds = range(args.first, args.first + args.seeds)
    missed = 0
    print("| bug | first found after | in | by |\n|---|---|---|---|")
    part, parts = map(int, args.part.split("/"))
    for bug in BUGS[part - 1 :: parts]:
        if args.only and not any(text in bug.name for text in args.only):
            continue
        started_s = time.monotonic()
        found = hunt(bug, seeds, args.minutes, all_seeds=args.all)
        missed += not found.failed
        first = f"{found.first} seeds" if found.first else "NOT FOUND"
        share = f"{found.failed} of {found.tried}"
        how = found.how.partition(":")[2].strip()[:70] if found.how else ""
        how = f"{found.how.partition(' ')[0]}: {how}".replace("|", "/")
        print(f"| {bug.name} | {first} | {share} | {how} |", flush=True)
        print(f"{bug.name}: {time.monotonic() - started_s:.0f} s", file=sys.stderr)
    print(f"{missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
