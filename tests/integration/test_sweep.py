"""`fastbook sweep` with real processes: the same table everywhere, and nothing lost to a kill."""

from __future__ import annotations

import csv
import os
import re
import select
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from fastbook import BookDecoder
from fastbook.runtime.benchmark.frames import interleaved, mixed
from fastbook.runtime.data_files import frames as frames_of
from fastbook.runtime.sweeps.store import read_results

from .command import (
    DEADLINE_S,
    RISK,
    Lines,
    Running,
    children_of,
    document,
    environment,
    in_process,
    one_sentence,
    wait_gone,
)

CONFIG = '[market_data]\nsymbols = ["BTCUSDT"]\n' + RISK
Z = "strategy.mean_reversion.entry_z"
N = "strategy.mean_reversion.lookback"

TRAP = '''
"""A strategy that trades like the bundled one, and does what files beside this one say."""
import os, signal, sys
from dataclasses import dataclass
from pathlib import Path
from fastbook.strategy import MeanReversion
from fastbook.strategy.mean_reversion import MeanReversionParams

HERE = Path(__file__).parent

@dataclass(frozen=True)
class Params:
    n: int = 0

    def __post_init__(self) -> None:
        if self.n > 99:
            raise ValueError("n must be below 100")

class Trap(MeanReversion):
    Params = Params

    def __init__(self, params: Params) -> None:
        super().__init__(MeanReversionParams(entry_z=1.5 + params.n / 10))
        self.n = params.n
        if not sys.argv[0].endswith("worker.py"):
            return
        with open(HERE / "log", "a") as log:
            log.write(f"{params.n}\\n")
        if (HERE / f"always-{params.n}").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if (HERE / f"hold-{params.n}").exists():
            open(HERE / f"hold-{params.n}", "w").close()  # a pipe: somebody is told of it
            signal.pause()

    def on_book(self, *args):
        if (HERE / f"raise-{self.n}").exists():
            raise ZeroDivisionError("nothing there")
        return super().on_book(*args)
'''
OWN = """
[strategy.trap]
class = "trap.py:Trap"
[strategy.mean_reversion]
enabled = false
"""


def lines(count: int, step_ms: int = 100) -> list[bytes]:
    """Frames of one symbol, evenly spaced."""
    made = interleaved(mixed(1, count))
    found = re.search(rb'"ts":(\d+)', made[0])
    assert found is not None
    first_ms = int(found[1])
    return [
        b"%d %b\n"
        % (
            (first_ms + n * step_ms + 3) * 1_000_000,
            re.sub(rb'"(c?ts)":\d+', rb'"\g<1>":%d' % (first_ms + n * step_ms), frame),
        )
        for n, frame in enumerate(made)
    ]


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    (tmp_path / "trap.py").write_text(TRAP)
    path = tmp_path / "c.toml"
    path.write_text(CONFIG + OWN)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "data.frames"
    path.write_bytes(b"".join(lines(150)))
    return path


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "short.frames"
    path.write_bytes(b"".join(lines(50)))
    return path


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough for Sharpe ratios of three windows."""
    path = tmp_path_factory.mktemp("sweep") / "longer.frames"
    path.write_bytes(b"".join(lines(600, 250)))
    return path


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open() as file:
        return list(csv.DictReader(file))


def done(*args: str | Path) -> dict[str, Any]:  # Any: JSON
    run = in_process("sweep", *args, "--json")  # its workers are processes all the same
    assert run.returncode == 0, run.stderr
    return document(run)


# --- the same everywhere ---


def test_two_hundred_points_on_two_workers_as_on_one(
    toml: Path, short: Path, tmp_path: Path
) -> None:
    grid = ("--param", f"{Z}=1:2.9:0.1", "--param", f"{N}=5:14:1", "--folds", "0")
    one = done(toml, "--data", short, *grid, "--workers", "1", "--out", tmp_path / "1")
    two = done(toml, "--data", short, *grid, "--workers", "2", "--out", tmp_path / "2")
    assert one["points"] == one["done"] == one["runs"] == 200
    text = (tmp_path / "1" / "table.csv").read_bytes()
    assert text == (tmp_path / "2" / "table.csv").read_bytes()
    rows = table(tmp_path / "1")
    assert [row["point"] for row in rows] == [str(n) for n in range(200)]
    assert rows[11] | {"status": "done", Z: "1.1", N: "6"} == rows[11]
    assert len({row["net_pnl"] for row in rows}) > 20, "the points do different things"
    changing = {"seconds", "table", "parquet", "report"}
    assert {k: v for k, v in one.items() if k not in changing} == {
        k: v for k, v in two.items() if k not in changing
    }


def test_one_window_is_a_backtest(toml: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done(toml, "--data", data, "--param", f"{Z}=1.7", "--folds", "0", "--out", out)
    toml.write_text(CONFIG + "[strategy.mean_reversion]\nentry_z = 1.7\n")
    wanted = document(in_process("backtest", toml, "--data", data, "--json"))
    (row,) = table(out)
    assert wanted["orders"] > 0
    for name in ("net_pnl", "fees", "orders", "fills", "max_drawdown"):
        assert float(row[name]) == float(wanted[name]), name
    assert float(row["pessimistic_pnl"]) == wanted["bounds"]["pessimistic"]["net_pnl"]


def test_a_dask_cluster_gives_the_same(toml: Path, data: Path, tmp_path: Path) -> None:
    if "dask" not in os.environ.get("FASTBOOK_REQUIRE", "").split(","):
        pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    grid = ("--param", f"{Z}=1.5,2,2.5", "--folds", "1")
    here, there = tmp_path / "here", tmp_path / "there"
    done(toml, "--data", data, *grid, "--workers", "1", "--out", here)
    with Scheduler(tmp_path) as address:
        summary = done(toml, "--data", data, *grid, "--cluster", address, "--out", there)
    assert summary["runs"] == 6
    assert (here / "table.csv").read_bytes() == (there / "table.csv").read_bytes()


class Scheduler:
    """A scheduler and a worker, processes of the library itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> str:
        self._started: list[tuple[subprocess.Popen[str], Lines]] = []
        try:
            line = self._start(
                *("dask_scheduler", "--port", "0", "--no-dashboard"), until="Scheduler at:"
            )
            address = line.split()[-1]
            quiet = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
            self._start("dask_worker", address, *quiet, until="Registered to")
        except BaseException:
            self.__exit__()
            raise
        return address

    def _start(self, module: str, *args: str, until: str) -> str:
        """The line that says it has started."""
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{module}", *args, "--host", "127.0.0.1"],
            cwd=self._folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        lines = Lines(process.stderr)
        self._started.append((process, lines))
        return lines.until(until)

    def __exit__(self, *error: object) -> None:
        for process, lines in self._started:
            process.kill()
            process.wait(DEADLINE_S)
            lines.rest()


# --- kills ---


def wait_for_writer(pipe: Path) -> None:
    """Until somebody has opened the pipe, and closed it."""
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(DEADLINE_S * 1_000), f"nobody came to {pipe.name}"
    finally:
        os.close(descriptor)


def test_a_killed_worker_loses_nothing(trap: Path, data: Path, tmp_path: Path) -> None:
    args = ("--data", data, "--param", "strategy.trap.n=0:5:1", "--folds", "0")
    done(trap, *args, "--out", tmp_path / "whole")
    (tmp_path / "log").unlink()
    pipe = tmp_path / "hold-3"
    os.mkfifo(pipe)
    out = tmp_path / "out"
    with Running("sweep", trap, *args, "--workers", "1", "--out", out, "--json") as run:
        wait_for_writer(pipe)  # point 3 is under way
        pipe.unlink()
        (worker,) = children_of(run.process.pid)
        os.kill(worker, signal.SIGKILL)
        assert run.process.wait(DEADLINE_S) == 0
        said = orjson.loads("\n".join(run.out.rest()))
        assert run.err.rest() == ["fastbook: 1 worker died; the runs were repeated"]
    assert said["done"] == said["runs"] == 6
    assert (out / "table.csv").read_bytes() == (tmp_path / "whole" / "table.csv").read_bytes()
    assert strategies_made(tmp_path) == {n: ACCOUNTS + (n == 3) for n in range(6)}


def test_a_killed_sweep_goes_on(trap: Path, data: Path, tmp_path: Path) -> None:
    args = ("--data", data, "--param", "strategy.trap.n=0:5:1", "--folds", "0", "--workers", "1")
    done(trap, *args, "--out", tmp_path / "whole")
    (tmp_path / "log").unlink()
    pipe = tmp_path / "hold-3"
    os.mkfifo(pipe)
    out = tmp_path / "out"
    with Running("sweep", trap, *args, "--out", out) as run:
        wait_for_writer(pipe)  # point 3 is under way: 0 to 2 are on the disk, or were never told
        (worker,) = children_of(run.process.pid)
        run.process.kill()
        run.process.wait(10)
        assert wait_gone(worker), "a worker ends with the sweep, also in the middle of a run"
    pipe.unlink()
    records, _ = read_results(out / "results.jsonl")
    assert set(records) == {(0, 0), (1, 0), (2, 0)}
    said = done(trap, *args, "--out", out, "--resume")
    assert (said["kept"], said["runs"], said["done"]) == (3, 3, 6)
    assert (out / "table.csv").read_bytes() == (tmp_path / "whole" / "table.csv").read_bytes()
    assert strategies_made(tmp_path) == {n: ACCOUNTS + (n == 3) for n in range(6)}
    again = done(trap, *args, "--out", out, "--resume")
    assert (again["kept"], again["runs"]) == (6, 0)
    refused = in_process("sweep", trap, *args, "--out", out)
    assert "holds a sweep: --resume goes on with it" in one_sentence(refused, 2)
    refused = in_process("sweep", trap, *args, "--out", out, "--resume", "--maker-fee", "0")
    assert "with other assumptions" in one_sentence(refused, 2)


def test_ctrl_c_keeps_what_is_done(trap: Path, data: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "hold-2"
    os.mkfifo(pipe)
    args = ("--data", data, "--param", "strategy.trap.n=0:5:1", "--folds", "0", "--workers", "1")
    with Running("sweep", trap, *args, "--out", tmp_path / "out") as run:
        wait_for_writer(pipe)
        (worker,) = children_of(run.process.pid)
        assert run.end(signal.SIGINT) == 1
        assert wait_gone(worker)
        assert run.err.rest() == [
            "fastbook: 2 runs kept; --resume goes on",
            "fastbook: interrupted",
        ]


ACCOUNTS = 3
"""Strategies that a whole run makes: of the expected account and of the two bounds."""


def strategies_made(folder: Path) -> dict[int, int]:
    """By point, over all workers; a run that was killed got no further than its first."""
    return dict(Counter(map(int, (folder / "log").read_text().split())))


def test_points_that_fail_are_in_the_table_once(trap: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "raise-1").touch()
    (tmp_path / "always-2").touch()
    out = tmp_path / "out"
    args = ("--data", data, "--param", "strategy.trap.n=0:3:1", "--folds", "0", "--out", out)
    run = in_process("sweep", trap, *args, "--json", "--workers", "2")
    assert run.returncode == 0, run.stderr
    assert (document(run)["done"], document(run)["failed"]) == (2, 2)
    assert "point 1 failed: strategy trap raised: ZeroDivisionError: nothing there" in run.stderr
    rows = table(out)
    assert [row["status"] for row in rows] == ["done", "failed", "failed", "done"]
    assert rows[2]["reason"] == "3 workers died of it, the last by signal 9"
    assert rows[1]["net_pnl"] == ""
    assert strategies_made(tmp_path) == {0: ACCOUNTS, 1: ACCOUNTS, 2: 3, 3: ACCOUNTS}
    assert done(trap, *args, "--resume")["runs"] == 0, "what has failed is not tried again"


# --- walk-forward ---


def test_windows_stand_by_themselves_and_see_no_other(
    toml: Path, longer: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = done(toml, "--data", longer, "--param", f"{Z}=1.5,2.5", "--folds", "3", "--out", out)
    original = [frame for _, frame in frames_of([longer])]
    whole = BookDecoder()
    at = 0
    windows = sorted((out / "windows").iterdir())
    assert len(windows) == len(said["windows"]) == 4
    for number, path in enumerate(windows):
        alone = BookDecoder()
        kept = [frame for _, frame in frames_of([path])]
        if number:  # a snapshot of the book as it stood
            first = kept.pop(0)
            assert first.recv_ns == kept[0].recv_ns
            alone.apply(first.data)
            assert len(alone.books) == 1
            assert alone.book("BTCUSDT").levels() == whole.book("BTCUSDT").levels()
        for frame in kept:
            assert (frame.recv_ns, frame.data) == (original[at].recv_ns, original[at].data)
            assert alone.apply(frame.data) == whole.apply(frame.data)
            at += 1
        assert alone.book("BTCUSDT").levels() == whole.book("BTCUSDT").levels()
        assert said["windows"][number]["frames"] == len(kept)
    assert at == len(original)


def test_the_train_window_chooses(toml: Path, longer: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = ("--data", longer, "--param", f"{Z}=1:3:0.5", "--out", out, "--objective", "net_pnl")
    said = done(toml, *args)
    rows = table(out)
    for fold in said["walk_forward"]["folds"]:
        (train,), test = fold["train"], fold["test"]
        assert test == train + 1
        best = max(rows, key=lambda row: float(row[f"w{train}_net_pnl"]))
        assert fold["point"] == int(best["point"])
        assert fold["test_net_pnl"] == float(best[f"w{test}_net_pnl"])
    assert said["walk_forward"]["net_pnl"] == pytest.approx(
        sum(fold["test_net_pnl"] for fold in said["walk_forward"]["folds"])
    )
    assert said["trials"] == 5
    assert 0 <= said["best"]["deflated_sharpe"] <= 1
    assert 0 <= said["overfitting"] <= 1
    anchored = done(toml, *args, "--resume", "--anchored")
    assert anchored["runs"] == 0
    assert [f["train"] for f in anchored["walk_forward"]["folds"]] == [[0], [0, 1], [0, 1, 2]]
    page = (out / "sweep.html").read_text()
    assert "nothing to show" not in page
    assert not re.search(r'(?:src|href)="|url\(|@import', page), "nothing is loaded from elsewhere"


def test_heat_maps_of_every_pair(toml: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = done(
        *(toml, "--data", data, "--random", "6", "--seed", "3", "--param", f"{Z}=1.0:3"),
        *("--param", f"{N}=5:20", "--param", "risk.leverage_max=5,10"),
        *("--folds", "1", "--objective", "net_pnl", "--out", out),
    )
    assert said["points"] == 6
    page = (out / "sweep.html").read_text()
    assert page.count("<svg") == 4, "three pairs and the scatter"
    assert len(re.findall('<rect class="h ', page)) >= 6
    try:
        import pyarrow.parquet
    except ModuleNotFoundError:
        assert said["parquet"] is None
        return
    parquet = pyarrow.parquet.read_table(out / "table.parquet").to_pylist()
    assert [r[Z] for r in parquet] == [float(r[Z]) for r in table(out)]


# --- what is refused ---


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--param", "strategy.mean_reversion.entry_zz=1"), "did you mean entry_z?"),
        (("--param", "strategy.mean_reversion.entry_zz=1"), "--param: unknown key strategy.mean"),
        (("--param", f"{Z}=2,-1"), f"{Z}"),
        (("--param", f"{N}=10,x"), f"{N} = 'x': must be a whole number"),
        (("--param", "strategy.nobody.x=1"), "--param: unknown section strategy.nobody"),
        (("--param", f"{Z}=2", "--order-latency", "soon"), "--order-latency soon"),
        (("--param", f"{Z}=2", "--folds", "60"), "too little for 61 windows"),
        (("--param", f"{Z}=2", "--random", "3"), "only 1 different points"),
    ],
)
def test_refused(toml: Path, short: Path, tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    run = in_process("sweep", toml, "--data", short, *args, "--out", tmp_path / "out")
    assert said in one_sentence(run, 2)


def test_a_users_own_rule_is_told_before_the_first_run(
    trap: Path, data: Path, tmp_path: Path
) -> None:
    args = ("--data", data, "--out", tmp_path / "out")
    run = in_process("sweep", trap, *args, "--param", "strategy.trap.n=1,100")
    assert "n must be below 100" in one_sentence(run, 2)
    assert not (tmp_path / "out").exists()


def test_no_data_and_damaged_data(toml: Path, data: Path, tmp_path: Path) -> None:
    args = ("--param", f"{Z}=2", "--out", tmp_path / "out", "--folds", "1")
    assert "no such file" in one_sentence(in_process("sweep", toml, "--data", "nowhere", *args), 2)
    rows = lines(150)
    rows[80] = rows[80][:50] + b"\n"
    damaged = tmp_path / "damaged.frames"
    damaged.write_bytes(b"".join(rows))
    said = one_sentence(in_process("sweep", toml, "--data", damaged, *args), 1)
    assert f"{damaged}:81:" in said
    skipping = ("--skip-damaged", "--out", tmp_path / "other")
    run = in_process("sweep", toml, "--data", damaged, *args, *skipping, "--json")
    assert run.returncode == 0, run.stderr
    assert f"left out: {damaged}:81:" in run.stderr
    without = tmp_path / "c.toml"
    without.write_text('[market_data]\nsymbols = ["BTCUSDT"]\n')
    assert "risk" in one_sentence(in_process("sweep", without, "--data", data, *args), 2)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of `in_process` see no setting of the session's."""
    for name in [n for n in os.environ if n.startswith("FASTBOOK__")]:
        monkeypatch.delenv(name)
