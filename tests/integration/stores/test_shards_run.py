"""Two runs on one account of one exchange: each its own symbols, together within the limits."""

from __future__ import annotations

import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
from redis import Redis
from tests.integration.command import DEADLINE_S, RISK, Running, document, fastbook
from tests.support_servers import ServerProcess

from fastbook.runtime.stores.shares import ONE

SYMBOLS = ["BTCUSDT", "ETHUSDT"]


def test_two_shards_trade_one_account(valkey_server: ServerProcess, tmp_path: Path) -> None:
    Redis(port=valkey_server.port).flushall()
    with Running("simulate", "--symbols", "2", "--rate", "2000") as exchange:
        where = orjson.loads(exchange.out.next())
        urls = "".join(
            f'{key} = "{where[name]}"\n'
            for key, name in (
                ("rest_url", "rest"),
                ("ws_public_url", "ws_public"),
                ("ws_private_url", "ws_private"),
                ("ws_trade_url", "ws_trade"),
            )
        )
        path, state = tmp_path / "c.toml", tmp_path / "state"
        path.write_text(
            f"[venue]\n{urls}[market_data]\nsymbols = {orjson.dumps(SYMBOLS).decode()}\n{RISK}"
            f"[shard]\ncount = 2\n"
            f'url = "redis://127.0.0.1:{valkey_server.port}"\n'
        )
        account = where["accounts"][0]
        env = {
            "FASTBOOK_API_KEY": account["api_key"],
            "FASTBOOK_API_SECRET": account["api_secret"],
            "FASTBOOK__STATE__DIR": str(state),
        }
        with Running(
            "run", path, "--seconds", "6", "--json", env=env | {"FASTBOOK__SHARD__INDEX": "1"}
        ) as other:
            done = fastbook("run", path, "--seconds", "4", "--json", env=env)
            assert done.returncode == 0, done.stderr
            assert other.process.wait(DEADLINE_S) == 0
        assert document(done)["symbols"] == 1
        found: Any = Redis(port=valkey_server.port).hgetall(
            "fb:simulator:shares:linear:account"
        )  # Any: redis-py says that it may be awaitable
        assert set(found) == {b"0", b"1"}
        assert sum(Decimal(share.decode()) for share in found.values()) <= ONE
        assert exchange.end(signal.SIGTERM) == 0
    places = sorted(folder.name for folder in state.iterdir())
    assert [name.rsplit("-", 1)[1] for name in places] == ["shard0of2", "shard1of2"]
