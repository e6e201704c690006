"""The board between two processes: the last value, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastbook.errors import ConfigError, WireError
from fastbook.runtime.stores.board import BoardReader, BoardWriter


def test_a_reader_sees_each_value_once_and_only_the_last(tmp_path: Path) -> None:
    writer = BoardWriter(tmp_path / "board", slots=2, levels=5)
    with BoardReader(tmp_path / "board") as reader:
        assert reader.read(0) is None
        writer.write(0, b"one")
        writer.write(0, b"two")
        assert reader.read(0) == b"two"
        assert reader.read(0) is None
        assert reader.read(1) is None
    writer.close()


def test_a_torn_slot_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "board"
    writer = BoardWriter(path, slots=1, levels=5)
    writer.write(0, b"whole value")
    with BoardReader(path) as reader:
        with path.open("r+b") as file:
            file.seek(16 + 16)
            file.write(b"W")
        assert reader.read(0) is None
        assert reader.torn == 1
        writer.write(0, b"whole again")
        assert reader.read(0) == b"whole again"
    writer.close()


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    writer = BoardWriter(tmp_path / "board", slots=1, levels=1)
    with pytest.raises(ValueError, match="do not fit"):
        writer.write(0, bytes(1000))
    writer.close()


def test_a_new_writer_leaves_readers_of_the_old_board_alone(tmp_path: Path) -> None:
    old = BoardWriter(tmp_path / "board", slots=1, levels=1)
    old.write(0, b"old")
    with BoardReader(tmp_path / "board") as reader:
        new = BoardWriter(tmp_path / "board", slots=3, levels=9)
        assert reader.read(0) == b"old"
        new.close()
    old.close()


def test_the_file_is_ours_alone(tmp_path: Path) -> None:
    BoardWriter(tmp_path / "board", slots=1, levels=1).close()
    assert (tmp_path / "board").stat().st_mode & 0o777 == 0o600


def test_something_else_is_not_a_board(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"something else that is long enough")
    with pytest.raises(ConfigError, match="not a board"):
        BoardReader(tmp_path / "other")


def test_an_impossible_length_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "board"
    BoardWriter(path, slots=1, levels=1).close()
    with path.open("r+b") as file:
        file.seek(16)
        file.write((1).to_bytes(8, "little") + (10**6).to_bytes(4, "little"))
    with BoardReader(path) as reader, pytest.raises(WireError, match="length"):
        reader.read(0)
