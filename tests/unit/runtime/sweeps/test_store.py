"""What a sweep keeps: whole lines, one sweep a folder, one writer."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastbook.errors import ConfigError, DataFileError, StateError
from fastbook.runtime.sweeps.store import Store, read_results

SPEC = {"parameters": ["risk.leverage_max=1,2"], "folds": 1}


def record(point: int, window: int = 0, **more: object) -> dict[str, object]:
    return {"point": point, "window": window, **more}


def test_results_are_there_again(tmp_path: Path) -> None:
    with Store(tmp_path / "a" / "b", SPEC, resume=False) as store:
        store.add(record(1, figures={"x": 0.1}))
        store.add(record(0, failed="no"))
        store.add(record(1, figures={"x": 9}))  # a second result of a run is not taken
    with Store(tmp_path / "a" / "b", SPEC, resume=True) as store:
        assert store.records == {
            (1, 0): record(1, figures={"x": 0.1}),
            (0, 0): record(0, failed="no"),
        }


def test_every_cut_keeps_the_whole_lines(tmp_path: Path) -> None:
    with Store(tmp_path, SPEC, resume=False) as store:
        for n in range(3):
            store.add(record(n))
    path = tmp_path / "results.jsonl"
    data = path.read_bytes()
    ends = [n + 1 for n, byte in enumerate(data) if byte == 10]
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        whole = sum(end <= size for end in ends)
        with Store(tmp_path, SPEC, resume=True) as store:
            assert len(store.records) == whole
            store.add(record(7))
        records, length = read_results(path)
        assert set(records) == {*((n, 0) for n in range(whole)), (7, 0)}
        assert length == path.stat().st_size


def test_damage_before_the_end_is_told(tmp_path: Path) -> None:
    with Store(tmp_path, SPEC, resume=False) as store:
        store.add(record(0))
        store.add(record(1))
    path = tmp_path / "results.jsonl"
    data = bytearray(path.read_bytes())
    data[12] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataFileError, match=r"results.jsonl:1: is damaged"):
        Store(tmp_path, SPEC, resume=True)


def test_one_sweep_a_folder(tmp_path: Path) -> None:
    with Store(tmp_path, SPEC, resume=False) as store:
        store.add(record(0))
    with pytest.raises(ConfigError, match=r"holds a sweep: --resume goes on"):
        Store(tmp_path, SPEC, resume=False)
    with pytest.raises(ConfigError, match=r"a sweep with other folds, seed: name another --out"):
        Store(tmp_path, SPEC | {"folds": 2, "seed": 1}, resume=True)
    Store(tmp_path, SPEC, resume=True).close()


def test_a_folder_without_results_is_free(tmp_path: Path) -> None:
    Store(tmp_path, SPEC, resume=False).close()
    (tmp_path / "windows.json").touch()
    Store(tmp_path, SPEC, resume=False).close()
    assert (tmp_path / "windows.json").exists(), "of the same sweep"
    Store(tmp_path, SPEC | {"folds": 2}, resume=False).close()
    assert not (tmp_path / "windows.json").exists()
    with Store(tmp_path, SPEC | {"folds": 2}, resume=True) as store:
        store.add(record(0))
    with pytest.raises(ConfigError, match="other folds"):
        Store(tmp_path, SPEC, resume=True)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with (
        Store(tmp_path, SPEC, resume=False),
        pytest.raises(StateError, match="another sweep is at work"),
    ):
        Store(tmp_path, SPEC, resume=True)
    Store(tmp_path, SPEC, resume=True).close()
