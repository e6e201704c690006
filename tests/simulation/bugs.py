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

from .options import draw
from .simulation import Simulation


@dataclass(frozen=True, slots=True)
class Bug:
    """In `where` (module:Class.function), `right` is replaced by `wrong`; `right` occurs once."""

    name: str
    where: str
    right: str
    wrong: str


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
        "cancel sent once only",
        f"{EXECUTOR}._cancel_command",
        "now_ns + self._backoff_ns(order.cancels)",
        "1 << 62",
    ),
    Bug(
        "question asked once only",
        f"{EXECUTOR}._query",
        "now_ns + self._backoff_ns(order.queries)",
        "1 << 62",
    ),
    Bug(
        "time-out never noticed",
        f"{EXECUTOR}._check_age",
        "if age_ms >= self.params.ack_timeout_ms:",
        "if age_ms < 0:",
    ),
    Bug(
        "working orders not counted",
        f"{ACCOUNT}:Account.view",
        "working_buy=sum(o.reserved for o in buys),",
        "working_buy=0,",
    ),
    Bug(
        "other side's orders not seen",
        f"{ACCOUNT}:Account.view",
        "own_ask_min=min((o.px_min for o in sells if not o.state.terminal), default=0),",
        "own_ask_min=0,",
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
    Bug("halt not heeded", f"{ENGINE}.on_control", "self._halted = True", "self._halted = False"),
    Bug(
        "private link lost unnoticed",
        f"{ENGINE}.on_link",
        'self._reconcile("the private link is down", recv_ns)',
        "pass",
    ),
    Bug(
        "latch lost on restart",
        "fastbook.risk.latches:Latches.restore",
        'self.account = str(state["account"])',
        'self.account = ""',
    ),
    Bug(
        "kill mark not kept",
        "fastbook.runtime.custody:Custody.halt",
        "self.keeper.kill.make(why, self._utc())",
        "pass",
    ),
    Bug(
        "orders not written down",
        "fastbook.runtime.custody:Custody.release",
        "self.keeper.record(risky)",
        "pass",
    ),
    Bug(
        "written orders not given back",
        "fastbook.runtime.keeper:Keeper.give_back",
        "for order in self.restored:",
        "for order in ():",
    ),
    Bug(
        "fills of before booked again",
        "fastbook.runtime.app:App._is_old",
        "return self.orders.find(event.client_id, event.order_id) is None",
        "return False",
    ),
    Bug(
        "limit of a position doubled",
        "fastbook.risk.room:_ceilings",
        '("position_pct_max", percent(equity, limits.position_pct_max))',
        '("position_pct_max", 2 * percent(equity, limits.position_pct_max))',
    ),
    Bug(
        "price off the tick",
        "fastbook.risk.prices:px_on_grid",
        "found = px // tick * tick if side is Side.BUY else -(-px // tick) * tick",
        "found = px",
    ),
    Bug(
        "quantity off the lot",
        "fastbook.risk.gate:RiskGate._entry_qty",
        "qty = intent.qty // instrument.lot * instrument.lot",
        "qty = intent.qty",
    ),
    Bug(
        "sent again after no answer",
        f"{GATEWAY}._create_one",
        "return verdicts.create_failed(order.client_id, e)",
        "return verdicts.created(order.client_id,"
        ' (await self.entry.order("order.create", body)).result)',
    ),
    Bug(
        "sent again under a new id",
        f"{GATEWAY}._create_one",
        "return verdicts.create_failed(order.client_id, e)",
        "return verdicts.created(order.client_id, (await self.entry.order("
        '"order.create", body.replace(order.client_id.encode(), order.client_id.encode() + b"r")'
        ")).result)",
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
        "elif status is ApplyStatus.GAP and [b.mark(3) for b in self._decoder.books.values()]:",
    ),
    Bug(
        "no resync after a gap",
        "fastbook.runtime.bybit.connection:Connection.on_desynced",
        "self._feed.on_desynced()",
        "pass",
    ),
    Bug(
        "books kept after a cut",
        "fastbook.runtime.bybit.connection:Connection.finish",
        "self._feed.decoder.unsync(topic)",
        "self._feed.decoder.books[topic].mark(3)",
    ),
    Bug(
        "signed by the wall clock",
        "fastbook.runtime.bybit.rest_call:RestCaller._signature",
        "self._venue_time.now_ms()",
        "self._clock.now_ns() // 1_000_000",
    ),
    Bug(
        "absent by the machine's clock",
        "fastbook.runtime.app:App.run",
        "self._venue_clock = rest.venue_time",
        "pass",
    ),
    Bug(
        "fills of the gap not asked for",
        "fastbook.runtime.bybit.enquiries:Enquiries.account",
        "events += decoder.executions(executions.rows)",
        "pass",
    ),
    Bug(
        "half a view taken for the whole",
        "fastbook.runtime.bybit.enquiries:Enquiries.order",
        "if decoder.bad_rows or (not seen and (failed or events)):",
        "if decoder.bad_rows:",
    ),
    Bug(
        "private stream's end not told",
        "fastbook.runtime.bybit.private_connection:PrivateConnection.finish",
        "if self.stage is Stage.LIVE:",
        "if False:",
    ),
    Bug(
        "adopted without waiting",
        f"{PORTFOLIO}.adopt",
        "if at_once or now_ns - p.differs_since_ns >= self._grace_ns:",
        "if True:",
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
            report = Simulation(draw(seed, minutes=minutes)).run()
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
    parser.add_argument("--only", default="", help="bugs whose name has this in it")
    args = parser.parse_args(argv)
    seeds = range(args.first, args.first + args.seeds)
    missed = 0
    print("| bug | first found after | in | by |\n|---|---|---|---|")
    part, parts = map(int, args.part.split("/"))
    for bug in BUGS[part - 1 :: parts]:
        if args.only not in bug.name:
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
