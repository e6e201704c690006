"""The sum of the best quantities of a ladder, portable and in vectors, against plain Python."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fastbook.core.sides import ladder_sums

SPAN_MAX = 512  # rungs, plus what is left of the first word of 64


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_sums_of_the_best(data: st.DataObject) -> None:
    rungs = 64 * data.draw(st.integers(1, 14))
    held = 2**rungs - 1
    for _ in range(data.draw(st.sampled_from((0, 1, 3, 6)))):  # halvings: 1 rung in 1, 2, 8, 64
        held &= int.from_bytes(data.draw(st.binary(min_size=rungs // 8, max_size=rungs // 8)))
    quantities = [(i * 7919 % 2**46) + 1 if held >> i & 1 else 0 for i in range(rungs)]
    best = data.draw(st.integers(0, rungs - 1))
    quantities[best] = data.draw(st.integers(1, 2**47 - 1))
    places = [i for i in range(best, rungs) if quantities[i]]
    levels = data.draw(st.integers(1, min(50, len(places))))
    last = places[levels - 1]
    expected = (sum(quantities[best : last + 1]), last - best + 1)
    plain, vectors = ladder_sums(quantities, best, levels)
    assert plain == vectors
    if plain != (0, 0) or last - best < SPAN_MAX - 64:
        assert plain == expected
