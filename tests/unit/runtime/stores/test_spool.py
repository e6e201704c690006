"""The spool: nothing lost but by policy, and then it says so."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbook.errors import ConfigError
from fastbook.runtime.stores.spool import (
    SEGMENT_BYTES,
    Place,
    Row,
    Spool,
    SpoolReader,
    remove_done,
    segments,
)

ROOM = 4 * SEGMENT_BYTES


def row(number: int, size: int = 0) -> Row:
    return "states", [number, "run", number, "state", "x" * size]


def drained(reader: SpoolReader) -> list[Row]:
    rows, place = reader.read(10**9)
    reader.commit(place)
    return rows


def numbers(rows: list[Row]) -> list[object]:
    return [values[0] for table, values in rows if table == "states"]


def test_rows_come_out_as_they_went_in(tmp_path: Path) -> None:
    spool = Spool(tmp_path, bytes_max=ROOM)
    reader = SpoolReader(tmp_path)
    spool.append([row(1), row(2)], 0)
    spool.append([row(3)], 0)
    assert numbers(drained(reader)) == [1, 2, 3]
    assert drained(reader) == []
    spool.append([row(4)], 0)
    assert numbers(drained(reader)) == [4]
    assert reader.backlog_bytes() == 0
    spool.close()


def test_a_reader_goes_on_where_it_had_got_to(tmp_path: Path) -> None:
    spool = Spool(tmp_path, bytes_max=ROOM)
    spool.append([row(1)], 0)
    drained(SpoolReader(tmp_path))
    spool.append([row(2)], 0)
    assert numbers(drained(SpoolReader(tmp_path))) == [2]
    spool.close()


def test_what_is_not_committed_comes_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, bytes_max=ROOM)
    spool.append([row(1)], 0)
    assert numbers(SpoolReader(tmp_path).read(10)[0]) == [1]
    assert numbers(SpoolReader(tmp_path).read(10)[0]) == [1]
    spool.close()


def test_a_batch_is_bounded(tmp_path: Path) -> None:
    spool = Spool(tmp_path, bytes_max=ROOM)
    for number in range(10):
        spool.append([row(number)], 0)
    rows, _ = SpoolReader(tmp_path).read(3)
    assert numbers(rows) == [0, 1, 2]
    spool.close()


def test_segments_follow_each_other_and_are_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, bytes_max=ROOM)
    reader = SpoolReader(tmp_path)
    for number in range(5):
        spool.append([row(number, SEGMENT_BYTES // 3)], 0)
    assert len(segments(tmp_path)) == 3
    assert numbers(drained(reader)) == [0, 1, 2, 3, 4]
    assert remove_done(tmp_path, [reader.place, Place(1, 0)]) == 0
    assert remove_done(tmp_path, [reader.place]) == 2
    spool.append([row(5)], 0)
    assert numbers(drained(reader)) == [5]
    spool.close()


def test_a_new_writer_does_not_write_behind_a_torn_end(tmp_path: Path) -> None:
    first = Spool(tmp_path, bytes_max=ROOM)
    first.append([row(1)], 0)
    first.append([row(2)], 0)
    first.close()
    (path,) = segments(tmp_path).values()
    os.truncate(path, path.stat().st_size - 3)
    second = Spool(tmp_path, bytes_max=ROOM)
    second.append([row(3)], 0)
    rows = drained(SpoolReader(tmp_path))
    assert numbers(rows) == [1, 3]
    assert [values[5] for table, values in rows if table == "gaps"] == [f"torn end of {path.name}"]
    second.close()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_flipped_byte_costs_its_record_and_is_told(at: int, flip: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spool = Spool(folder, bytes_max=ROOM)
        for number in range(6):
            spool.append([row(number)], 0)
        spool.close()
        Spool(folder, bytes_max=ROOM).close()
        path, _ = segments(folder).values()
        data = bytearray(path.read_bytes())
        data[at % len(data)] ^= flip
        path.write_bytes(data)
        reader = SpoolReader(folder)
        rows = drained(reader)
        left = numbers(rows)
        # A wrong length hides what follows in its segment; nothing false is ever read, and that
        # something is missing is told.
        assert left == [n for n in range(6) if n in left]
        assert len(left) < 6
        assert reader.damaged == len([1 for table, _ in rows if table == "gaps"]) >= 1


def test_a_full_spool_drops_counts_and_says_how_much(tmp_path: Path) -> None:
    spool = Spool(tmp_path, bytes_max=2 * SEGMENT_BYTES)
    reader = SpoolReader(tmp_path)
    sent = 0
    while not spool.dropped:
        spool.append([row(sent, SEGMENT_BYTES // 4)], 1_000 + sent)
        sent += 1
        assert sent < 100
    assert "holds" in spool.failure
    spool.append([row(sent)], 2_000)
    kept = drained(reader)
    assert numbers(kept) == list(range(sent - 1))
    remove_done(tmp_path, [reader.place])
    for path in list(segments(tmp_path).values())[:-1]:
        path.unlink()
    spool.append([row(99)], 3_000)
    rows = drained(reader)
    gap = next(values for table, values in rows if table == "gaps")
    assert gap == [1_000 + sent - 1, 2_000, "spool", "states", 2, "spool full"]
    assert numbers(rows) == [99]
    assert spool.failure == ""
    assert spool.dropped["states"] == 2
    spool.close()


def test_a_disk_that_takes_a_part_leaves_no_torn_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, bytes_max=ROOM)
    spool.append([row(1)], 0)
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real(fd, data[: len(data) // 2]))
        spool.append([row(2)], 5)
    assert spool.failure == "no space left on device"
    spool.append([row(3)], 6)
    rows = drained(SpoolReader(tmp_path))
    assert numbers(rows) == [1, 3]
    assert ("gaps", [5, 5, "spool", "states", 1, "spool full"]) in rows
    spool.close()


def test_a_damaged_cursor_is_named(tmp_path: Path) -> None:
    (tmp_path / "cursor").write_bytes(b"{")
    with pytest.raises(ConfigError, match="cursor is damaged"):
        SpoolReader(tmp_path)


def test_too_little_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bytes or more"):
        Spool(tmp_path, bytes_max=1)
