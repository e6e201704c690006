"""The `fastbook` command: arguments in, exit code out. Each command imports what it needs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fastbook._version import __version__
from fastbook.errors import ConfigError, CredentialsError, FastbookError

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CREDENTIALS = 3
EXIT_CHECK_SAID_NO = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. A user's mistake gives one line, no traceback."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args))
    except ConfigError as e:
        return complain(e, EXIT_USAGE)
    except CredentialsError as e:
        return complain(e, EXIT_CREDENTIALS)
    except FileNotFoundError as e:
        return complain(f"no such file: {e.filename}", EXIT_USAGE)
    except IsADirectoryError as e:
        return complain(f"{e.filename} is a directory, not a file", EXIT_USAGE)
    except PermissionError as e:
        return complain(f"not allowed to read or write {e.filename}", EXIT_USAGE)
    except FastbookError as e:
        return complain(e, EXIT_FAILED)
    except BrokenPipeError:
        # Whoever read our output has gone. What is still buffered goes nowhere, silently.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as e:
        return complain(f"{e.filename}: {e.strerror}" if e.filename else e, EXIT_FAILED)
    except ModuleNotFoundError as e:
        if e.name is None or e.name.startswith("fastbook"):
            raise  # ours: a broken installation, not a missing extra
        return complain(
            f"{e.name} is not installed; pip install 'fastbook-engine[runtime]'", EXIT_FAILED
        )
    except KeyboardInterrupt:
        return complain("interrupted", EXIT_FAILED)


def complain(what: object, code: int) -> int:
    print(f"fastbook: {what}", file=sys.stderr)
    return code


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastbook",
        description="Order books you can trust and a trading engine for Bybit v5.",
        epilog="example: fastbook demo --seconds 20",
    )
    parser.add_argument("--version", action="version", version=f"fastbook {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_demo(commands)
    add_simulate(commands)
    add_run(commands)
    add_kill(commands)
    add_resume(commands)
    add_watchdog(commands)
    add_doctor(commands)
    add_record(commands)
    add_replay(commands)
    add_verify(commands)
    add_backtest(commands)
    add_convert(commands)
    add_sweep(commands)
    add_bench(commands)
    return parser


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=summary, description=summary, epilog=f"example: {example}"
    )
    command.add_argument(
        "--json", action="store_true", help="one JSON document on stdout, logs on stderr"
    )
    command.add_argument(
        "--log-level",
        default="warning",
        choices=LOG_LEVELS,
        metavar="LEVEL",
        help="debug, info, warning or error (warning)",
    )
    return command


LOG_LEVELS = ("debug", "info", "warning", "error")


SYMBOLS_MAX = 1000
RATE_MAX = 10_000_000
SECONDS_MAX = 1e9


def whole(least: int, most: int) -> Callable[[str], int]:
    """An argument type: a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, was {text!r}") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be {least} to {most}, was {value}")
        return value

    return parse


def duration_s(text: str) -> float:
    """An argument type: seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, was {text!r}") from None
    if not 0 < value < SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"must be above 0, was {text}")
    return value


def speed_factor(text: str) -> float:
    """An argument type: how much faster a clock goes."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, was {text!r}") from None
    if not 0.01 <= value <= 100:
        raise argparse.ArgumentTypeError(f"must be 0.01 to 100, was {text}")
    return value


symbol_count = whole(1, SYMBOLS_MAX)
message_rate = whole(1, RATE_MAX)
port_number = whole(0, 65_535)


def comma_list(*allowed: str) -> Callable[[str], tuple[str, ...]]:
    """An argument type: different words of `allowed`, separated by commas."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(","))
        if len(set(names)) != len(names) or not set(names) <= set(allowed):
            words = ", ".join(allowed[:-1]) + f" and {allowed[-1]}"
            raise argparse.ArgumentTypeError(f"must be a comma list of {words}")
        return names

    return parse


account_count = whole(1, 1000)
seed_number = whole(0, 2**63 - 1)


def add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "demo",
        "Trade on paper against the bundled exchange: real sockets, no key, no internet.",
        "fastbook demo --seconds 20 --chaos",
    )
    command.add_argument("--seconds", type=duration_s, default=30.0, help="how long (30)")
    command.add_argument("--symbols", type=symbol_count, default=50, help="how many books (50)")
    command.add_argument("--rate", type=message_rate, default=20_000, help="messages/s (20000)")
    command.add_argument(
        "--seed", type=seed_number, default=7, help="of the exchange's order flow (7)"
    )
    command.add_argument(
        "--strategy",
        choices=("mean_reversion", "market_maker"),
        default="mean_reversion",
        help="which of the bundled ones trades (mean_reversion)",
    )
    command.add_argument("--chaos", action="store_true", help="lose, stall and cut things")
    command.add_argument("--record", type=Path, metavar="DIR", help="keep all for `verify` there")
    command.set_defaults(run=run_demo)


def run_demo(args: argparse.Namespace) -> int:
    from .demo import DemoOptions, demo

    return demo(
        DemoOptions(
            seconds=args.seconds,
            symbols=args.symbols,
            rate=args.rate,
            seed=args.seed,
            chaos=args.chaos,
            strategy=args.strategy,
            record=args.record,
            as_json=args.json,
            log_level=args.log_level,
        )
    )


def add_simulate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "simulate",
        "Run the bundled exchange alone until stopped; its addresses are the first line.",
        "fastbook simulate --port 8765 --symbols 10",
    )
    command.add_argument(
        "--categories",
        type=comma_list("linear", "spot", "inverse"),
        help="comma list of linear, spot and inverse (linear; those of the recordings)",
    )
    command.add_argument("--host", default="127.0.0.1", help="address to bind (127.0.0.1)")
    command.add_argument(
        "--port",
        type=port_number,
        default=0,
        help="of REST and all streams; 0 takes a free one (0)",
    )
    command.add_argument(
        "--symbols", type=symbol_count, help="how many (50; with --replay only the recorded ones)"
    )
    command.add_argument("--seed", type=seed_number, default=7, help="of the order flow (7)")
    command.add_argument(
        "--rate", type=message_rate, help="book messages/s over all topics (the venue's cadence)"
    )
    command.add_argument(
        "--replay",
        type=Path,
        nargs="+",
        default=(),
        metavar="FILE",
        help="recorded frames: their symbols do what was recorded, and orders meet them",
    )
    command.add_argument(
        "--loop", action="store_true", help="begin the recording again when it has ended"
    )
    command.add_argument(
        "--speed",
        type=speed_factor,
        default=1.0,
        help="of the exchange's clock against the real one, 0.01 to 100 (1)",
    )
    command.add_argument(
        "--tls", action="store_true", help="https and wss; `ca_file` says whom to trust"
    )
    command.add_argument("--accounts", type=account_count, default=1, help="how many (1)")
    command.add_argument(
        "--keys",
        type=comma_list("trade", "read", "derivatives", "spot"),
        default=("trade",),
        help="what the keys of each account may do: some of trade, read, derivatives, spot (trade)",
    )
    command.add_argument(
        "--rsa-key", type=Path, metavar="PUBLIC.pem", help="one more key, which signs with RSA"
    )
    command.add_argument(
        "--base-balance", type=whole(0, 10**9), default=0, help="of every base coin, at start (0)"
    )
    command.add_argument(
        "--tier",
        default="pro3",
        choices=("default", "vip1", "vip2", "vip3", "pro1", "pro2", "pro3", "pro4", "pro5", "pro6"),
        help="of the accounts: it sets the rate limits (pro3)",
    )
    command.add_argument(
        "--ip-requests",
        type=whole(0, 1_000_000),
        default=600,
        help="REST requests of one address in 5 s, beyond which it is banned; 0 is no limit (600)",
    )
    command.add_argument(
        "--faults", type=Path, metavar="FILE", help="JSON or TOML: what goes wrong, and when"
    )
    command.add_argument("--until-eof", action="store_true", help=argparse.SUPPRESS)
    command.set_defaults(run=run_simulate)


def run_simulate(args: argparse.Namespace) -> int:
    from .simulate import simulate

    return simulate(args)


def add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "run",
        "Run the engine as the configuration says, until stopped. Paper unless told twice.",
        "fastbook run examples/runtime.toml",
    )
    command.add_argument("config", type=Path, metavar="CONFIG.toml")
    command.add_argument("--live", action="store_true", help="needed as well as mode = 'live'")
    command.add_argument("--seconds", type=duration_s, help="stop by itself after that long")
    command.add_argument("--record", type=Path, metavar="DIR", help="keep all for `verify` there")
    command.set_defaults(run=run_run)


def run_run(args: argparse.Namespace) -> int:
    from .run import run

    return run(args)


def add_record(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "record",
        "Record the market as the configuration says, until stopped: no account, no orders.",
        "fastbook record examples/runtime.toml -o recordings/monday --seconds 60",
    )
    command.add_argument("config", type=Path, metavar="CONFIG.toml")
    command.add_argument(
        "-o", "--output", type=Path, metavar="DIR", required=True, help="made, if it is not there"
    )
    command.add_argument("--seconds", type=duration_s, help="stop by itself after that long")
    command.set_defaults(run=run_record)


def run_record(args: argparse.Namespace) -> int:
    from .record import record

    return record(args)


def add_kill(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "kill",
        "Halt the engine and cancel every order of the account, from a process of its own.",
        "fastbook kill CONFIG.toml",
    )
    command.add_argument("config", type=Path, metavar="CONFIG.toml")
    command.set_defaults(run=run_kill)


def run_kill(args: argparse.Namespace) -> int:
    from .kill import kill

    return kill(args)


def add_resume(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "resume",
        "Lift the kill switch and every latch of the limits: a person's decision.",
        "fastbook resume CONFIG.toml",
    )
    command.add_argument("config", type=Path, metavar="CONFIG.toml")
    command.set_defaults(run=run_resume)


def run_resume(args: argparse.Namespace) -> int:
    from .kill import resume

    return resume(args)


def add_watchdog(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "watchdog",
        "Watch the engine's heartbeat; when it stops, cancel every order and halt the engine.",
        "fastbook watchdog CONFIG.toml",
    )
    command.add_argument("config", type=Path, metavar="CONFIG.toml")
    command.set_defaults(run=run_watchdog)


def run_watchdog(args: argparse.Namespace) -> int:
    from .watchdog import watchdog

    return watchdog(args)


def add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "doctor",
        "Look at everything that a run needs, and say what is wrong; exit 4 when something is.",
        "fastbook doctor CONFIG.toml --show",
    )
    command.add_argument("config", type=Path, metavar="CONFIG.toml", nargs="?")
    command.add_argument(
        "--show", action="store_true", help="every setting, and where its value came from"
    )
    command.set_defaults(run=run_doctor)


def run_doctor(args: argparse.Namespace) -> int:
    from .doctor.command import doctor

    return doctor(args)


def add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "replay",
        "Recorded frames through the decoder at full speed; says what the books came to.",
        "fastbook replay session.jsonl.gz --json",
    )
    command.add_argument("files", type=Path, nargs="+", metavar="FILE")
    command.add_argument(
        "--verify-against",
        type=Path,
        metavar="EXPECTED",
        help="*.frames.csv.gz, *.final.json.gz, or a folder of them; exit 4 on a difference",
    )
    command.add_argument(
        "--skip-damaged", action="store_true", help="count damaged lines, do not fail"
    )
    command.add_argument(
        "--pace", type=float, default=0.0, help="times the recorded speed; 0 is full speed (0)"
    )
    command.set_defaults(run=run_replay)


def run_replay(args: argparse.Namespace) -> int:
    from .replay import replay

    return replay(args.files, args.verify_against, args.skip_damaged, args.json, args.pace)


def add_verify(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "verify",
        "Replay what a run recorded and compare every decision, order and fill; 4 if one differs.",
        "fastbook verify recordings/monday",
    )
    command.add_argument("folder", type=Path, metavar="RUN", help="what --record DIR has filled")
    command.set_defaults(run=run_verify)


def run_verify(args: argparse.Namespace) -> int:
    from .verify import verify

    return verify(args.folder, as_json=args.json)


def add_backtest(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "backtest",
        "The configured engine on recorded data, with latencies, queues and fees, between bounds.",
        "fastbook backtest examples/runtime.toml --data recordings/monday --report monday.html",
    )
    command.add_argument("config", type=Path, metavar="CONFIG.toml")
    command.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="FILE", help="files or recordings"
    )
    command.add_argument("--report", type=Path, metavar="FILE.html", help="one page, with plots")
    command.add_argument("--seed", type=seed_number, default=1, help="of what is drawn (1)")
    add_assumptions(command)
    command.set_defaults(run=run_backtest)


def run_backtest(args: argparse.Namespace) -> int:
    from .backtest_command import backtest

    return backtest(args)


def add_assumptions(command: argparse.ArgumentParser) -> None:
    """What a backtest supposes about the way to the venue and about the venue."""
    command.add_argument(
        "--feed-latency",
        default=None,
        metavar="L",
        help="recorded (where it is), milliseconds, or percentiles such as 50:3,99:20",
    )
    command.add_argument(
        "--order-latency",
        default="5",
        metavar="L",
        help="to the venue: milliseconds, percentiles, or recorded:RUN (5)",
    )
    command.add_argument("--answer-latency", metavar="L", help="back (as --order-latency)")
    command.add_argument(
        "--queue",
        default="proportional",
        choices=("pessimistic", "proportional", "front"),
        help="place of resting orders in the expected case (proportional)",
    )
    command.add_argument("--maker-fee", default="0.0002", help="share of the value (0.0002)")
    command.add_argument("--taker-fee", default="0.00055", help="share of the value (0.00055)")
    command.add_argument(
        "--funding", default="recorded", help="recorded, none, or a rate for 8 h (recorded)"
    )
    command.add_argument(
        "--reject-share", type=float, default=0.0, help="of creates, refused by the venue (0)"
    )
    command.add_argument(
        "--instruments", type=Path, metavar="FILE", help="an answer of instruments-info"
    )
    command.add_argument(
        "--skip-damaged", action="store_true", help="count damaged lines, do not fail"
    )


def add_sweep(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "sweep",
        "Backtests over a grid or at random, walk-forward, with a correction for many trials.",
        "fastbook sweep examples/runtime.toml --data recordings/monday"
        " --param strategy.mean_reversion.entry_z=1.5,2,2.5",
    )
    command.add_argument("config", type=Path, metavar="CONFIG.toml")
    command.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="FILE", help="files or recordings"
    )
    command.add_argument(
        "--param",
        action="append",
        required=True,
        metavar="KEY=VALUES",
        help="a,b,c or first:last:step, or first:last with --random; may be given again",
    )
    command.add_argument(
        "--random", type=whole(1, 100_000), metavar="N", help="N points at random, not the grid"
    )
    command.add_argument(
        "--seed", type=seed_number, default=1, help="of --random and of what backtests draw (1)"
    )
    command.add_argument(
        "--folds",
        type=whole(0, 64),
        default=3,
        metavar="K",
        help="K times chosen on a window and tested on the next; 0: all in sample (3)",
    )
    command.add_argument(
        "--anchored", action="store_true", help="choose on all windows so far, not on the last"
    )
    command.add_argument(
        "--objective",
        default="sharpe",
        choices=("sharpe", "sortino", "net_pnl"),
        help="what the best point has most of (sharpe)",
    )
    place = command.add_mutually_exclusive_group()
    place.add_argument(
        "--workers", type=whole(1, 1_024), metavar="N", help="processes (one a core)"
    )
    place.add_argument("--cluster", metavar="ADDRESS", help="of a Dask scheduler: host:8786")
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="results, table and page (sweeps/CONFIG)"
    )
    command.add_argument("--resume", action="store_true", help="go on with what DIR holds")
    add_assumptions(command)
    command.set_defaults(run=run_sweep)


def run_sweep(args: argparse.Namespace) -> int:
    from .sweeps.command import sweep

    return sweep(args)


def add_convert(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "convert",
        "Market data to another format: frames, hftbacktest's arrays, Parquet; also from CSV.",
        "fastbook convert recordings/monday btc.npz --symbol BTCUSDT",
    )
    command.add_argument("files", type=Path, nargs="+", metavar="FILE")
    command.add_argument(
        "output", type=Path, metavar="OUT", help="*.frames[.gz|.zst], *.npz or *.parquet"
    )
    command.add_argument("--symbol", help="only this one; what an array without names is")
    command.add_argument(
        "--depth", type=whole(1, 1000), default=1000, help="of frames made from tables (1000)"
    )
    command.set_defaults(run=run_convert)


def run_convert(args: argparse.Namespace) -> int:
    from .convert import convert

    return convert(args)


def add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "bench",
        "Measure fastbook on this machine, peers beside it; exit 4 when a target is missed.",
        "fastbook bench --quick",
    )
    command.add_argument("--quick", action="store_true", help="under half a minute, rougher")
    command.set_defaults(run=run_bench)


def run_bench(args: argparse.Namespace) -> int:
    from .benchmark.command import bench
    from .logs import set_up_logging

    set_up_logging(args.log_level)
    return bench(quick=args.quick, as_json=args.json)
