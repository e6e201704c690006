"""What the WebSocket library lets through and the protocol forbids."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbook.runtime.bybit.assembler import (
    BINARY,
    CONTINUATION,
    TEXT,
    MessageAssembler,
    ProtocolFault,
    check_reserved,
)


def assembler(bytes_max: int = 1 << 20, fragments_max: int = 1024) -> MessageAssembler:
    return MessageAssembler(bytes_max=bytes_max, fragments_max=fragments_max)


@given(message=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_any_fragmentation_gives_the_message(message: bytes, cuts: list[int]) -> None:
    joiner = assembler()
    bounds = [0, *sorted(min(c, len(message)) for c in cuts), len(message)]
    parts = [message[a:b] for a, b in pairwise(bounds)]

    results = [
        joiner.feed(CONTINUATION if i else TEXT, i == len(parts) - 1, part)
        for i, part in enumerate(parts)
    ]

    assert results == [None] * (len(parts) - 1) + [message]
    assert not joiner.open


def test_messages_do_not_run_into_each_other() -> None:
    joiner = assembler()

    assert joiner.feed(TEXT, False, b"ab") is None
    assert joiner.feed(CONTINUATION, True, b"c") == b"abc"
    assert joiner.feed(TEXT, True, b"d") == b"d"


def test_binary_is_counted_and_ignored() -> None:
    joiner = assembler()

    assert joiner.feed(BINARY, True, b"x") is None
    assert joiner.feed(BINARY, False, b"x") is None
    assert joiner.feed(CONTINUATION, True, b"y") is None
    assert joiner.binary_ignored == 2
    assert joiner.feed(TEXT, True, b"z") == b"z"


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_inside_an_open_one_is_refused(opcode: int) -> None:
    joiner = assembler()
    joiner.feed(TEXT, False, b"a")

    with pytest.raises(ProtocolFault) as fault:
        joiner.feed(opcode, True, b"b")
    assert (fault.value.kind, fault.value.close_code) == ("fragment", 1002)


def test_a_continuation_of_nothing_is_refused() -> None:
    with pytest.raises(ProtocolFault) as fault:
        assembler().feed(CONTINUATION, True, b"b")
    assert (fault.value.kind, fault.value.close_code) == ("fragment", 1002)


def test_endless_fragments_are_refused_by_size() -> None:
    joiner = assembler(bytes_max=100)
    joiner.feed(TEXT, False, b"x" * 60)

    with pytest.raises(ProtocolFault) as fault:
        joiner.feed(CONTINUATION, False, b"x" * 41)
    assert (fault.value.kind, fault.value.close_code) == ("fragment_size", 1009)


def test_endless_fragments_are_refused_by_number() -> None:
    joiner = assembler(fragments_max=3)
    joiner.feed(TEXT, False, b"")
    joiner.feed(CONTINUATION, False, b"")
    joiner.feed(CONTINUATION, False, b"")

    with pytest.raises(ProtocolFault) as fault:
        joiner.feed(CONTINUATION, True, b"")
    assert fault.value.kind == "fragment_size"


def test_reserved_bits_are_refused() -> None:
    check_reserved(0)
    for rsv in range(1, 8):
        with pytest.raises(ProtocolFault) as fault:
            check_reserved(rsv)
        assert (fault.value.kind, fault.value.close_code) == ("rsv", 1002)
