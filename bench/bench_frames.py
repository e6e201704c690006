"""Frame bytes to book and signals, a thousand frames a call. Run: make bench"""

from __future__ import annotations

import orjson
from pytest_benchmark.fixture import BenchmarkFixture

from fastbook import BookState
from fastbook.runtime.benchmark._loop import apply_all
from fastbook.runtime.benchmark.core import new_decoder

Frames = tuple[str, list[bytes]]
BOOKS_MAX = 8


def test_orjson_alone(benchmark: BenchmarkFixture, frames: Frames) -> None:
    name, made = frames
    benchmark.group = f"frames, {name}"
    benchmark.extra_info["frames_per_call"] = len(made)

    def parse() -> object:
        last: object = None
        for frame in made:
            last = orjson.loads(frame)
        return last

    assert benchmark(parse) == orjson.loads(made[-1])


def test_inside_the_core(benchmark: BenchmarkFixture, frames: Frames) -> None:
    name, made = frames
    benchmark.group = f"frames, {name}"
    benchmark.extra_info["frames_per_call"] = len(made)
    decoder = new_decoder(BOOKS_MAX)

    benchmark(apply_all, decoder, made)

    for book in decoder.books.values():
        book.check()
        assert book.state is BookState.SYNCED


def test_from_python(benchmark: BenchmarkFixture, frames: Frames) -> None:
    name, made = frames
    benchmark.group = f"frames, {name}"
    benchmark.extra_info["frames_per_call"] = len(made)
    decoder = new_decoder(BOOKS_MAX)

    def apply() -> None:
        one = decoder.apply
        for frame in made:
            one(frame)

    benchmark(apply)

    reference = new_decoder(BOOKS_MAX)
    apply_all(reference, made)
    for topic, book in decoder.books.items():
        assert book.levels() == reference.books[topic].levels()
