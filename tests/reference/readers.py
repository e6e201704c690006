"""The ways in which a frame can be read, by name."""

from __future__ import annotations

import pytest

from fastbook import BookDecoder

READERS = ("vectors", "words", "orjson")


def decoder_with(reader: str) -> BookDecoder:
    decoder = BookDecoder(use_scanner=reader != "orjson")
    if reader == "vectors" and not decoder.use_vectors:
        pytest.skip("this machine has no AVX2")
    decoder.use_vectors = reader == "vectors"
    return decoder
