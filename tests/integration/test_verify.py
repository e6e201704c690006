"""A recorded run replays to the same decisions, orders and fills; anything changed is found."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import orjson
import pytest

from fastbook.runtime.recording.blocks import pack, read_blocks

from .command import Running, document, fastbook, in_process, one_sentence

DEMO = ("demo", "--symbols", "4", "--rate", "2000", "--seed", "5")


RESTARTED = """
[venue]
environment = "simulator"
rest_url = "{rest}"
ws_public_url = "{ws_public}"
ws_private_url = "{ws_private}"
ws_trade_url = "{ws_trade}"
[market_data]
symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
[strategy.market_maker]
enabled = true
half_spread_bps = 20.0
symbols = ["ETHUSDT", "SOLUSDT"]
[risk]
position_pct_max = 10.0
exposure_pct_max = 50.0
daily_loss_pct_max = 5.0
leverage_max = 10.0
"""
"""The market maker quotes far from the market: its orders rest."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "run"
    done = fastbook(*DEMO, "--seconds", "4", "--record", folder, "--json")
    assert done.returncode == 0, done.stderr
    summary = document(done)
    assert summary["recorded"]["lost"] == 0
    assert summary["orders"] > 0, "a recording without orders shows nothing"
    return folder


@pytest.fixture
def copy(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "run"))


def test_the_same(recorded: Path) -> None:
    done = in_process("verify", recorded, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = document(done)
    assert verdict["differing"] == 0
    assert verdict["complete"]
    kinds = verdict["by_kind"]
    assert min(kinds[k] for k in ("reads", "intents", "commands", "fills", "books")) > 0
    assert verdict["compared"] == sum(kinds.values())
    said = in_process("verify", recorded)
    assert said.stdout.splitlines()[-1] == "the same: every decision, order and fill"


def test_a_flipped_byte_is_found(copy: Path) -> None:
    rng = Random(1)
    for path in sorted(copy.iterdir()):
        data = path.read_bytes()
        for at in (0, 9, 30, *(rng.randrange(len(data)) for _ in range(3))):
            damaged = bytearray(data)
            damaged[at] ^= 1 << rng.randrange(8)
            path.write_bytes(damaged)
            done = in_process("verify", copy, "--json")
            assert done.returncode == 4, (path, at)
            assert path.name in document(done)["first_difference"]
        path.write_bytes(data)
    assert in_process("verify", copy).returncode == 0


def change(folder: Path, kind: str, edit: str, by: str) -> None:
    """Edit the first line of `kind` that holds `edit`, checksums and all."""
    (path,) = folder.glob("engine-*")
    blocks = [(b.data, b.first, b.lines) for b in read_blocks(path)]
    found = False
    with path.open("wb") as file:
        for data, first, lines in blocks:
            out = []
            for line in data.split(b"\n")[:-1]:
                hit = not found and line.startswith(b'{"k":"%b"' % kind.encode())
                if hit and edit.encode() in line:
                    found = True
                    line = line.replace(edit.encode(), by.encode(), 1)
                    orjson.loads(line)
                out.append(line + b"\n")
            file.write(pack(b"".join(out), first, lines))
    assert found


@pytest.mark.parametrize(
    ("kind", "edit", "by", "said"),
    [
        ("journal", '"PlaceOrder","with":{"client_id":"', '"PlaceOrder","with":{"client_id":"x', "PlaceOrder(client_id=x"),
        ("journal", '"reason":"z', '"reason":"y', "intent at"),
        ("event", '"exec_type":"Trade"', '"exec_type":"Funding"', "the ledger after event"),
        ("books", '"v":[', '"v":[1', "the books and signals at event"),
        ("end", '["fills",', '["fills",1', "at the end, fills"),
    ],
)  # fmt: skip
def test_a_change_is_explained(copy: Path, kind: str, edit: str, by: str, said: str) -> None:
    change(copy, kind, edit, by)
    done = in_process("verify", copy, "--json")
    assert done.returncode == 4
    assert said in document(done)["first_difference"]
    assert document(done)["differing"] == 1


def test_a_killed_run_is_there_to_its_last_block(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with Running(*DEMO, "--json", "--record", folder) as demo:
        demo.err.until("5 s:")
        demo.process.kill()
        demo.process.wait()
    verdict = document(in_process("verify", folder, "--json"))
    assert verdict["differing"] == 0
    assert not verdict["complete"]
    assert verdict["frames"] > 4000
    # The end of a write that the kill interrupted.
    (path,) = folder.glob("engine-*")
    path.write_bytes(path.read_bytes()[:-3])
    verdict = document(in_process("verify", folder, "--json"))
    assert (verdict["differing"], verdict["complete"]) == (0, False)


def test_a_restarted_run_was_given_back_its_orders(tmp_path: Path) -> None:
    with Running("simulate", "--symbols", "3") as exchange:
        where = orjson.loads(exchange.out.until("rest"))
        account = where["accounts"][0]
        env = {
            "FASTBOOK_API_KEY": account["api_key"],
            "FASTBOOK_API_SECRET": account["api_secret"],
        }
        config = tmp_path / "c.toml"
        config.write_text(RESTARTED.format(**where))
        first, second = tmp_path / "first", tmp_path / "second"
        with Running("run", config, "--record", first, "--json", env=env, cwd=tmp_path) as run:
            run.err.until("5 s:")
            run.process.kill()
            run.process.wait()
        assert document(in_process("verify", first, "--json"))["differing"] == 0
        done = fastbook(
            *("run", config, "--record", second, "--seconds", "3", "--json"), env=env, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    verdict = document(in_process("verify", second, "--json"))
    assert verdict["first_difference"] is None
    assert verdict["complete"]
    (path,) = second.glob("engine-*")
    (line,) = [
        line
        for block in read_blocks(path)
        for line in block.data.split(b"\n")
        if line.startswith(b'{"k":"restored"')
    ]
    assert b'"records"' in line
    assert b'"orders",[{"map"' in line, "an order was open when the first run was killed"


def test_what_is_no_recording(tmp_path: Path) -> None:
    assert "not a folder" in one_sentence(in_process("verify", tmp_path / "none"), 2)
    assert "no recording of a run" in one_sentence(in_process("verify", tmp_path), 2)
    (tmp_path / "engine-00001.events.zst").write_bytes(b"")
    assert in_process("verify", tmp_path).returncode == 4


def test_a_second_recording_into_the_same_folder_is_refused(recorded: Path) -> None:
    done = fastbook(*DEMO, "--seconds", "4", "--record", recorded)
    assert "is there already" in one_sentence(done, 2)


def test_record_and_run(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        '[venue]\nenvironment = "simulator"\n[market_data]\nsymbols = ["BTCUSDT"]\n'
        "[risk]\nposition_pct_max = 10.0\nexposure_pct_max = 50.0\ndaily_loss_pct_max = 5.0\n"
        "leverage_max = 10.0\n"
    )
    done = fastbook("record", config, "-o", tmp_path / "a", "--seconds", "1.5", "--json")
    summary = document(done)
    assert (done.returncode, summary["books_synced"], summary["lost"]) == (0, 1, 0)
    (path,) = (tmp_path / "a").iterdir()
    replayed = document(in_process("replay", path, "--json"))
    assert replayed["frames"] == summary["frames"] > 0
    done = fastbook("run", config, "--record", tmp_path / "b", "--seconds", "1.5", "--json")
    assert done.returncode == 0, done.stderr
    assert document(in_process("verify", tmp_path / "b", "--json"))["complete"]
