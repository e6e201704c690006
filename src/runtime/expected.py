"""Expected books for `fastbook replay --verify-against`: exact decimals, frame by frame."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import orjson

from fastbook import Book, BookState, format_fixed
from fastbook.errors import ConfigError, DataFileError

Row = dict[str, str]
Sides = dict[str, list[list[str]]]

COLUMNS = (
    "u",
    "seq",
    "ts",
    "best_bid",
    "best_bid_size",
    "best_ask",
    "best_ask_size",
    "levels_bid",
    "levels_ask",
    "size_sum_bid",
    "size_sum_ask",
    "notional_sum_bid",
    "notional_sum_ask",
)


@dataclass
class Expected:
    """What the books must be after each line, and at the end."""

    rows: dict[int, Row] = field(default_factory=dict)
    final: dict[str, Sides] = field(default_factory=dict)
    compared: int = 0
    differing: int = 0
    first: str = ""

    def compare_frame(self, line: int, books: Mapping[str, Book]) -> None:
        row = self.rows.get(line)
        if row is None:
            return
        self.compared += 1
        book = books.get(row["topic"])
        if book is None or book.state is not BookState.SYNCED:
            state = book.state.name if book else "missing"
            self._differs(f"line {line}: {row['topic']} is {state}")
            return
        actual = measure(book)
        for name in COLUMNS:
            wanted = Decimal(row[name]) if row[name] else None
            if actual[name] != wanted:
                self._differs(f"line {line}: {row['topic']} {name} is {actual[name]}, not {wanted}")
                return

    def compare_final(self, books: Mapping[str, Book]) -> None:
        for topic, sides in self.final.items():
            self.compared += 1
            book = books.get(topic)
            actual = level_texts(book) if book is not None else None
            if actual != sides:
                self._differs(f"at the end: the levels of {topic} differ")

    def _differs(self, what: str) -> None:
        self.differing += 1
        self.first = self.first or what


def measure(book: Book) -> dict[str, Decimal | None]:
    """The columns of an expected row, exact."""
    bids, asks = book.levels()
    out: dict[str, Decimal | None] = {
        "u": Decimal(book.u),
        "seq": Decimal(book.seq),
        "ts": Decimal(book.ts_ms),
        "levels_bid": Decimal(len(bids)),
        "levels_ask": Decimal(len(asks)),
    }
    for name, levels in (("bid", bids), ("ask", asks)):
        px, qty = levels[0] if levels else (None, None)
        out[f"best_{name}"] = None if px is None else exact(px, book.price_scale)
        out[f"best_{name}_size"] = None if qty is None else exact(qty, book.qty_scale)
        out[f"size_sum_{name}"] = exact(sum(q for _, q in levels), book.qty_scale)
        notional = sum(p * q for p, q in levels)
        out[f"notional_sum_{name}"] = exact(notional, book.price_scale + book.qty_scale)
    return out


def exact(value: int, scale: int) -> Decimal:
    return Decimal(value).scaleb(-scale)


def level_texts(book: Book) -> Sides:
    def texts(levels: list[tuple[int, int]]) -> list[list[str]]:
        return [
            [
                format_fixed(px, book.price_scale, strip=True),
                format_fixed(qty, book.qty_scale, strip=True),
            ]
            for px, qty in levels
        ]

    bids, asks = book.levels()
    return {"b": texts(bids), "a": texts(asks)}


def load_expected(where: Path, recording: Path) -> Expected:
    """Read the expectations for `recording` from a file, or from a folder by its name."""
    if not where.exists():
        raise FileNotFoundError(2, "no such file", str(where))
    if where.is_file():
        return _read(where, Expected())
    stem = recording.name.removesuffix(".gz").removesuffix(".zst").rsplit(".", 1)[0]
    found = [
        p for p in (where / f"{stem}.frames.csv.gz", where / f"{stem}.final.json.gz") if p.is_file()
    ]
    if not found:
        raise ConfigError(f"--verify-against: {where} holds nothing for {recording.name}")
    expected = Expected()
    for path in found:
        _read(path, expected)
    return expected


def _read(path: Path, expected: Expected) -> Expected:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if ".csv" in path.name:
            for row in csv.DictReader(raw.decode().splitlines()):
                expected.rows[int(row["line"])] = row
        else:
            expected.final.update(orjson.loads(raw))
    except (OSError, EOFError, ValueError, KeyError) as e:
        raise DataFileError(str(path), f"not an expectation: {e}") from None
    return expected
