"""The kill switch and the watchdog, as processes, against the bundled exchange."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.integration.command import COMMAND, environment
from tests.kill.harness import Engines, Exchange, config_text

from fastbook.runtime.config import load
from fastbook.runtime.exchange_control import ExchangeControl
from fastbook.runtime.kill import kill_now
from fastbook.runtime.state import (
    KILL,
    RESUME,
    Heart,
    Mark,
    Store,
    holder_of,
    place_of,
    prepare,
    read_beat,
    read_open_orders,
)

RESTING = 500


def a_config(exchange: Exchange, folder: Path, more: str = "") -> Path:
    path = folder / "c.toml"
    path.write_text(config_text(exchange, folder) + more)
    return path


async def fastbook(*args: str | Path, keys: dict[str, str]) -> tuple[int, bytes, bytes]:
    env = environment(keys)
    del env["FASTBOOK__STATE__DIR"]
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, *map(str, args)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out, err


async def eventually(check: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110 - other processes have no event for us
            await asyncio.sleep(0.01)


def test_everything_is_cancelled_and_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with Exchange() as exchange:
            config = a_config(exchange, tmp_path)
            place = prepare(place_of(load(config, {})))
            with Store.open(place) as store:
                store.intents(await exchange.rest_orders(RESTING))
            Mark(place, RESUME).make("an older word", "before")

            report = await kill_now(load(config, {}), dict(exchange.keys))

            print("500 orders, in process:", report)
            assert report["done"]
            assert report["open_orders"] == 0
            assert await exchange.open_ids() == []
            assert Mark(place, KILL).there
            assert not Mark(place, RESUME).there
            again = await kill_now(load(config, {}), dict(exchange.keys))  # nothing to do: no harm
            assert again["done"]
            # The command, as a person types it.
            await exchange.rest_orders(20, "late")
            code, out, err = await fastbook("kill", config, "--json", keys=exchange.keys)
            assert code == 0, err
            assert orjson.loads(out)["open_orders"] == 0
            assert await exchange.open_ids() == []

    asyncio.run(story())


def test_notes_are_tidied_only_when_it_is_safe(tmp_path: Path) -> None:
    async def story() -> None:
        async with Exchange(symbols=2) as exchange:
            config = a_config(exchange, tmp_path)
            place = prepare(place_of(load(config, {})))
            noted = await exchange.rest_orders(10)
            old = [replace(order, sent_ms=order.sent_ms - 60_000) for order in noted[:5]]
            with Store.open(place) as store:
                store.intents([*old, *noted[5:]])
            report = await kill_now(load(config, {}), dict(exchange.keys))
            assert report["done"]
            # A young create may yet arrive: its note stays for the next start to ask about.
            assert {o.client_id for o in read_open_orders(place)} <= {
                o.client_id for o in noted[5:]
            }

    asyncio.run(story())


def test_rest_is_banned(tmp_path: Path) -> None:
    """The trade stream cancels what the notes name, one by one."""

    async def story() -> None:
        async with (
            Exchange() as exchange,
            ExchangeControl(exchange.where["rest"]) as control,
        ):
            config = a_config(exchange, tmp_path)
            place = prepare(place_of(load(config, {})))
            with Store.open(place) as store:
                store.intents(await exchange.rest_orders(RESTING))
            await control.fault({"kind": "ban", "seconds": 600})

            report = await kill_now(load(config, {}), dict(exchange.keys))

            print("500 orders, REST banned:", report)
            assert not report["done"]  # what is not in the notes cannot be proven
            assert report["by_socket"] == RESTING
            assert report["left"] == []
            assert "REST is closed" in report["problem"]
            await control.fault({"kind": "ban", "seconds": 0})
            assert await exchange.open_ids() == []

    asyncio.run(story())


STUCK = """
import sys, time
from tests.kill import engine_process
from fastbook.runtime.app import App

def stick(app, commands, send=App._send):
    # After the first order: a strategy that never comes back, with orders still in its hand.
    send(app, commands)
    if app.engine.stats.orders >= 1:
        engine_process.Said.say("stuck")
        until = time.monotonic() + 4
        while time.monotonic() < until:
            pass
        send(app, app.engine.on_books(list(range(12)), app._now()))
        engine_process.Said.say("unstuck", state=app.engine.state.value)

App._send = stick
engine_process.main()
"""


def test_the_loop_is_stuck(tmp_path: Path) -> None:
    """No create leaves after the mark, though the loop never saw it; none is open afterwards."""

    async def story() -> None:
        async with Exchange() as exchange:
            engines = Engines(exchange, tmp_path)
            engines.program = ("-c", STUCK)
            async with engines:
                await exchange.rest_orders(100, "others")
                await engines.start()
                await engines.until("stuck")
                began = time.monotonic()
                report = await kill_now(load(engines.config, {}), dict(exchange.keys))
                print("stuck:", report, time.monotonic() - began)
                assert report["done"]
                assert report["engine_pid"] == engines.pid
                assert (await engines.until("unstuck"))["said"] == "unstuck"
                made = set(await exchange.all_ids())
                await asyncio.sleep(0.5)
                assert set(await exchange.all_ids()) == made, "a create left after the kill"
                assert await exchange.open_ids() == []

    asyncio.run(story())


def test_pressed_while_it_trades_then_resumed(tmp_path: Path) -> None:
    async def story() -> None:
        async with Exchange() as exchange, Engines(exchange, tmp_path) as engines:
            await engines.start()
            await engines.until("active")
            await asyncio.sleep(0.5)
            began = time.monotonic()
            os.kill(engines.pid, signal.SIGUSR1)  # the signal alone, without the command
            await eventually(lambda: Mark(engines.place, KILL).there)
            marked_ms = (time.monotonic() - began) * 1000
            await asyncio.sleep(0.3)
            made = set(await exchange.all_ids())
            assert await exchange.open_ids() == []
            await asyncio.sleep(0.5)
            assert set(await exchange.all_ids()) == made, "a create left while halted"
            print(f"signal to mark: {marked_ms:.1f} ms")

            # It stays halted across kill -9 and a new start.
            await engines.kill()
            await engines.start()
            await eventually(lambda: holder_of(engines.place) is not None)
            await asyncio.sleep(1.5)
            assert set(await exchange.all_ids()) == made

            code, out, err = await fastbook("resume", engines.config, keys={})
            assert code == 0, err
            assert b"lifted: signal SIGUSR1" in out or b"lifted: SIGUSR1" in out
            await engines.until("active")
            async with asyncio.timeout(20):
                while set(await exchange.all_ids()) == made:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            ended = await engines.check_end_of_running()
            assert ended["working"] == 0

    asyncio.run(story())


def test_a_second_engine_and_a_second_watchdog(tmp_path: Path) -> None:
    async def story() -> None:
        async with Exchange(symbols=2) as exchange, Engines(exchange, tmp_path) as engines:
            await engines.start()
            await engines.until("active")
            code, _, err = await fastbook("run", engines.config, keys=exchange.keys)
            assert code == 1
            said = err.decode()
            assert f"process {engines.pid} " in said
            assert "one engine an account" in said
            assert "Traceback" not in said
            await engines.kill()

    asyncio.run(story())


# --- the watchdog ---


class Dog:
    """`fastbook watchdog` as a process."""

    def __init__(self, config: Path, keys: dict[str, str]) -> None:
        env = environment(keys)
        del env["FASTBOOK__STATE__DIR"]
        self.process = subprocess.Popen(
            [*COMMAND, "watchdog", str(config), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
        )

    def end(self) -> tuple[int, Any, str]:  # Any: JSON
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, orjson.loads(out) if out else None, err.decode()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "stopped"])
def test_the_watchdog_cancels_when_the_engine_falls_silent(
    tmp_path: Path, how: signal.Signals
) -> None:
    async def story() -> None:
        async with Exchange() as exchange, Engines(exchange, tmp_path) as engines:
            dog = Dog(engines.config, exchange.keys)
            await eventually(lambda: read_beat(engines.place, name="watchdog") is not None)
            await exchange.rest_orders(100, "others")
            await engines.start()
            await engines.until("active")
            await asyncio.sleep(0.5)
            os.kill(engines.pid, how)
            began = time.monotonic()
            async with asyncio.timeout(15):
                while await exchange.open_ids():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            took_s = time.monotonic() - began
            print(f"{how.name} to zero open orders: {took_s:.2f} s")
            assert 1.5 < took_s <= 5.5  # before three seconds of silence it must not
            assert Mark(engines.place, KILL).there
            made = set(await exchange.all_ids())
            if how is signal.SIGSTOP:  # and comes back: halted, nothing more leaves
                os.kill(engines.pid, signal.SIGCONT)
                await asyncio.sleep(1.0)
                assert set(await exchange.all_ids()) == made
                await engines.kill()
            else:
                await engines.until("exited")
            code, said, err = await asyncio.to_thread(dog.end)
            assert code == 0, err
            assert said["fired"] == 1, err
            assert "no heartbeat of process" in err

    asyncio.run(story())


def test_the_watchdog_leaves_a_clean_end_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with Exchange(symbols=2) as exchange, Engines(exchange, tmp_path) as engines:
            dog = Dog(engines.config, exchange.keys)
            await eventually(lambda: read_beat(engines.place, name="watchdog") is not None)
            await engines.start()
            await engines.until("active")
            ended = await engines.check_end_of_running()
            assert ended["working"] == 0
            await exchange.rest_orders(10, "by-hand")
            await asyncio.sleep(4.0)
            assert len(await exchange.open_ids()) == 10
            assert not Mark(engines.place, KILL).there
            code, said, err = await asyncio.to_thread(dog.end)
            assert code == 0, err
            assert said["fired"] == 0

    asyncio.run(story())


def test_without_the_required_watchdog_nothing_starts(tmp_path: Path) -> None:
    async def story() -> None:
        async with Exchange(symbols=2) as exchange:
            config = a_config(exchange, tmp_path, "\n[watchdog]\nrequired = true\n")
            code, _, err = await fastbook("run", config, keys=exchange.keys)
            assert code == 1
            assert b"the watchdog does not run: start `fastbook watchdog`" in err
            place = place_of(load(config, {}))
            Heart(place, "otherbuild", name="watchdog").beat(time.monotonic_ns())
            code, _, err = await fastbook("run", config, keys=exchange.keys)
            assert code == 1
            assert b"the watchdog is build otherbuild, this is" in err

    asyncio.run(story())
