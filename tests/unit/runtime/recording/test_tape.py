"""The tape: whole lines in order, a bound, and what is lost counted at its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbook.core.tape import Tape

STAMPS = st.integers(-(2**63) + 1, 2**63 - 1)


@given(frames=st.lists(st.tuples(st.binary(max_size=60), STAMPS), max_size=30))
def test_frames_are_lines(frames: list[tuple[bytes, int]]) -> None:
    tape = Tape(8192)
    for data, recv_ns in frames:
        tape.frame(data, recv_ns)
    view, first, count = tape.take()
    expected = b"".join(b"%d %b\n" % (ns, d.replace(b"\n", b" ")) for d, ns in frames)
    assert bytes(view) == expected
    assert (first, count, tape.lost, tape.used) == (0, len(frames), 0, 0)


@given(reads=st.lists(st.tuples(st.lists(st.integers(0, 4095), max_size=9), STAMPS), max_size=20))
def test_reads_are_lines(reads: list[tuple[list[int], int]]) -> None:
    tape = Tape(1 << 16)
    for frames, (touched, recv_ns) in enumerate(reads):
        tape.read(touched, recv_ns, frames)
    view, _, _ = tape.take()
    lines = bytes(view).split(b"\n")[:-1]
    expected = [
        b"B %d %d %b" % (ns, n, ",".join(map(str, touched)).encode())
        for n, (touched, ns) in enumerate(reads)
    ]
    assert lines == expected


def test_what_does_not_fit_is_lost_in_one_piece_and_numbered() -> None:
    tape = Tape(4096)
    for n in range(10):
        tape.frame(b"x" * 1300, n)
    tape.frame(b"small", 10)  # would fit: but a hole has one place
    view, first, count = tape.take()
    assert (first, count) == (0, 3)
    assert bytes(view).count(b"\n") == 3
    assert (tape.lines, tape.lost, tape.total) == (3, 8, 11)
    tape.frame(b"after", 11)
    view.release()
    tape.give_back()
    view, first, count = tape.take()
    assert (bytes(view), first, count) == (b"11 after\n", 11, 1)


def test_two_takings_at_once_are_refused() -> None:
    tape = Tape(4096)
    tape.frame(b"a", 1)
    view, _, _ = tape.take()
    tape.frame(b"b", 2)
    assert bytes(view) == b"1 a\n", "what was taken does not change"
    with pytest.raises(RuntimeError):
        tape.take()
    tape.give_back()
    assert bytes(tape.take()[0]) == b"2 b\n"


def test_a_tape_needs_room() -> None:
    with pytest.raises(ValueError, match="4096"):
        Tape(10)
