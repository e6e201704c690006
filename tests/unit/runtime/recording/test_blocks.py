"""Blocks of a recording: read by us with every check, by any zstd tool without."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import zstandard

from fastbook.errors import ConfigError, DataFileError
from fastbook.runtime.files import read_lines
from fastbook.runtime.recording.blocks import Cut, Segments, is_blocks, pack, read_blocks

LINES = [b'%d {"n":%d}\n' % (n, n * n) for n in range(1000)]


def write(path: Path, per_block: int = 100) -> bytes:
    data = b"".join(
        pack(b"".join(LINES[at : at + per_block]), at, per_block)
        for at in range(0, len(LINES), per_block)
    )
    path.write_bytes(data)
    return data


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.zst"
    write(path)
    assert is_blocks(path)
    blocks = list(read_blocks(path))
    assert b"".join(b.data for b in blocks) == b"".join(LINES)
    assert [b.first for b in blocks] == list(range(0, 1000, 100))
    assert list(read_lines(path)) == LINES


def test_any_zstd_reader_reads_them(tmp_path: Path) -> None:
    data = write(tmp_path / "a.zst")
    reader = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
    assert reader.read() == b"".join(LINES)


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.zst"
    data = write(path, per_block=500)
    rng = Random(3)
    places = [*range(44), *(rng.randrange(len(data)) for _ in range(60))]
    for at in places:
        damaged = bytearray(data)
        damaged[at] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(DataFileError, match="at byte"):
            list(read_blocks(path))


def test_cut_anywhere_everything_before_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.zst"
    data = write(path)
    whole = [len(b) for b in (data,)]
    starts = [b.offset for b in read_blocks(path)] + whole
    for at in range(0, len(data), 37):
        path.write_bytes(data[:at])
        cut = Cut()
        blocks = list(read_blocks(path, cut))
        complete = sum(start <= at for start in starts[1:])
        assert len(blocks) == complete
        assert cut.bytes == at - starts[complete]
        if cut.bytes:
            with pytest.raises(DataFileError, match="cut in the block at byte"):
                list(read_blocks(path))


def test_segments_turn_by_size_and_keep_the_numbers(tmp_path: Path) -> None:
    segments = Segments(tmp_path / "new", "x", ".zst", bytes_max=200)
    segments.open()
    for n in range(5):
        segments.append(b"".join(LINES[n * 50 : n * 50 + 50]), n * 50, 50)
    segments.close()
    assert [p.name for p in segments.files] == [f"x-{n:05}.zst" for n in range(1, 6)]
    firsts = [block.first for path in segments.files for block in read_blocks(path)]
    assert firsts == [0, 50, 100, 150, 200]
    assert segments.bytes == sum(p.stat().st_size for p in segments.files)


def test_a_recording_is_never_written_over(tmp_path: Path) -> None:
    there = Segments(tmp_path, "x", ".zst")
    there.open()
    there.close()
    with pytest.raises(ConfigError, match="is there already"):
        Segments(tmp_path, "x", ".zst").open()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file, not a folder"):
        Segments(tmp_path / "file", "x", ".zst").open()
