"""`fastbook simulate`: its first line, its ports, its end."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import subprocess
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import orjson
import pytest
from tests.integration.command import Running, stop_signals

from fastbook.runtime.simulator.keys import make_keys
from fastbook.runtime.simulator.options import SimulatorOptions


def answers(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex((host, port)) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("signum", stop_signals())
def test_first_line_and_end(signum: int) -> None:
    with Running("simulate", "--symbols", "2", "--seed", "11") as exchange:
        where = orjson.loads(exchange.out.next())
        assert set(where) == {"rest", "ws_public", "ws_private", "ws_trade", "accounts"}
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", where["rest"])
        assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/v5/public", where["ws_public"])
        assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/v5/private", where["ws_private"])
        assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/v5/trade", where["ws_trade"])
        (key,) = make_keys(SimulatorOptions(seed=11))
        assert where["accounts"] == [{"api_key": key.api_key, "api_secret": key.api_secret}]
        ports = {urlsplit(where[name]).port for name in ("rest", "ws_public", "ws_private")}
        assert all(port and answers("127.0.0.1", port) for port in ports)

        assert exchange.end(signum) == 0

        assert not any(port and answers("127.0.0.1", port) for port in ports)
        assert exchange.out.rest() == exchange.out.seen[:1]
        assert exchange.err.rest() == ["fastbook: the exchange is open; Ctrl-C closes it"]


def test_port() -> None:
    port = free_port()
    with Running("simulate", "--port", str(port), "--symbols", "1") as exchange:
        where = orjson.loads(exchange.out.next())
        assert urlsplit(where["rest"]).port == port
        assert urlsplit(where["ws_public"]).port == port


def test_it_ends_with_whoever_started_it() -> None:
    """Without any signal: when its standard input ends."""
    with Running("simulate", "--symbols", "1", "--until-eof", stdin=subprocess.PIPE) as exchange:
        exchange.out.next()
        assert exchange.process.stdin is not None
        exchange.process.stdin.close()
        assert exchange.process.wait(30) == 0


def test_several_accounts_keys_categories_and_tls(tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    faults.write_bytes(orjson.dumps([{"at_s": 3600, "kind": "skew", "ms": 5}]))
    with Running(
        *("simulate", "--symbols", "1", "--tls", "--categories", "linear,spot,inverse"),
        *("--accounts", "2", "--keys", "trade,read", "--faults", str(faults)),
    ) as exchange:
        where = orjson.loads(exchange.out.next())
        assert where["rest"].startswith("https://")
        assert [key.get("kind", "trade") for key in where["accounts"]] == [
            *("trade", "trade", "read", "read")
        ]
        trust = ssl.create_default_context(cafile=where["ca_file"])
        for category in ("linear", "spot", "inverse"):
            url = f"{where['rest']}/v5/market/instruments-info?category={category}"
            with urlopen(url, context=trust, timeout=10) as answer:
                assert len(orjson.loads(answer.read())["result"]["list"]) == 1
        assert exchange.end(signal.SIGTERM) == 0
    assert not Path(where["ca_file"]).exists()
