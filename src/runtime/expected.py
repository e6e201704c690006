"""Expected books for `fastbook replay --verify-against`: exact decimals, frame by frame."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from pathlib import Path

import orjson

from fastbook import Book, BookState, format_fixed
from fastbook.errors import ConfigError, DataFileError

Sides = dict[str, list[list[str]]]
"""`b` and `a` -> pairs of decimal texts, best first."""

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


@dataclass(frozen=True, slots=True)
class Row:
    """The book of `topic` after one line; None where a side is empty."""

    topic: str
    values: dict[str, Decimal | None]


@dataclass
class Expected:
    """What the books must be after each line, and at the end."""

    rows: dict[int, Row] = field(default_factory=dict)
    final: dict[str, Sides] = field(default_factory=dict)
    compared: int = 0
    differing: int = 0
    first: str = ""

    def compare_frame(self, line: int, books: Mapping[str, Book]) -> None:
        row = self.rows.pop(line, None)
        if row is None:
            return
        self.compared += 1
        book = books.get(row.topic)
        if book is None or book.state is not BookState.SYNCED:
            state = book.state.name if book else "missing"
            self._differs(f"line {line}: {row.topic} is {state}")
            return
        actual = measure(book)
        for name, wanted in row.values.items():
            if actual[name] != wanted:
                self._differs(f"line {line}: {row.topic} {name} is {actual[name]}, not {wanted}")
                return

    def finish(self, books: Mapping[str, Book]) -> None:
        """Compare the books at the end; lines that never came count as different."""
        for line, row in sorted(self.rows.items()):
            self.compared += 1
            self._differs(f"line {line}: no frame of {row.topic} there")
        for topic, sides in self.final.items():
            self.compared += 1
            book = books.get(topic)
            actual = level_texts(book) if book is not None else {}
            if actual != sides:
                self._differs(f"at the end: {topic}: {first_difference(actual, sides)}")

    def _differs(self, what: str) -> None:
        self.differing += 1
        self.first = self.first or what


def first_difference(actual: Sides, wanted: Sides) -> str:
    """The first level that differs, in words."""
    if not actual:
        return "there is no such book"
    for side, name in (("b", "bid"), ("a", "ask")):
        pairs = zip_longest(actual[side], wanted.get(side, []))
        for number, (ours, theirs) in enumerate(pairs, 1):
            if ours != theirs:
                return f"{name} {number} is {_level(ours)}, not {_level(theirs)}"
    return "its sides are not b and a"


def _level(level: list[str] | None) -> str:
    return "missing" if level is None else " x ".join(map(str, level))


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
    expected = Expected()
    for path in [where] if not where.is_dir() else _find(where, recording):
        _read(path, expected)
    return expected


def _find(folder: Path, recording: Path) -> list[Path]:
    stem = recording.name.removesuffix(".gz").removesuffix(".zst").rsplit(".", 1)[0]
    names = (f"{stem}.frames.csv.gz", f"{stem}.final.json.gz")
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise ConfigError(f"--verify-against: {folder} holds nothing for {recording.name}")
    return found


def _read(path: Path, expected: Expected) -> None:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if ".csv" in path.name:
            expected.rows.update(_rows(raw.decode()))
        else:
            expected.final.update(_finals(orjson.loads(raw)))
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError, InvalidOperation) as e:
        raise DataFileError(str(path), f"not an expectation: {e}") from None


def _rows(text: str) -> Iterator[tuple[int, Row]]:
    reader = csv.DictReader(text.splitlines())
    lacking = {"line", "topic", *COLUMNS} - set(reader.fieldnames or ())
    if lacking:
        raise ValueError(f"no column {min(lacking)}")
    for row in reader:
        values = {name: Decimal(row[name]) if row[name] else None for name in COLUMNS}
        yield int(row["line"]), Row(row["topic"], values)


def _finals(document: object) -> dict[str, Sides]:
    if not isinstance(document, dict) or not document:
        raise ValueError("no books in it")
    if not all(
        isinstance(sides, dict) and {"b", "a"} <= sides.keys() for sides in document.values()
    ):
        raise ValueError("a book without b and a")
    return document
