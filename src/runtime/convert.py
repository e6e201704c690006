"""`fastbook convert`: market data from one format to another."""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbook.errors import ConfigError, DataFileError, FastbookError
from fastbook.replay.batches import (
    CSV_BOOK,
    CSV_BYBIT,
    CSV_TRADES,
    Batch,
    FrameWriter,
    decimal_text,
    from_csv,
    from_frames,
)
from fastbook.types import Side

from .data_files import expand, frames
from .files import read_lines
from .output import print_json
from .recording.blocks import Segments

DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
EVENT = np.dtype(
    [
        *(("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8")),
        *(("order_id", "u8"), ("ival", "i8"), ("fval", "f8")),
    ],
    align=True,
)
"""hftbacktest's (version 2): the flags above say what a row is, and for whom."""
BLOCK_FRAMES = 2_000
PARQUET_ROWS = 200_000

Row = tuple[int, int, int, float, float]


def convert(args: argparse.Namespace) -> int:
    """Read everything, write one file, say how much."""
    out: Path = args.output
    if out.exists():
        raise ConfigError(f"{out} is there already")
    write = writer_of(out)
    batches: Iterable[Batch] = chain.from_iterable(
        read_batches(paths, args.symbol) for paths in together(args.files)
    )
    if args.symbol is not None:
        batches = (b for b in batches if b.symbol == args.symbol)
    counted = Counted(batches)
    try:
        write(counted, out, args.depth)
        if not counted.messages:
            raise DataFileError(
                str(args.files[0]), f"holds no market data of {args.symbol or 'any symbol'}"
            )
    except FastbookError:
        out.unlink(missing_ok=True)  # half a file would pass for a whole one
        raise
    symbols = sorted(counted.symbols)
    summary = {"messages": counted.messages, "symbols": symbols, "file": str(out)}
    if args.json:
        print_json(summary, indent=True)
    else:
        print(f"{counted.messages:,} messages of {', '.join(symbols)} in {out}")
    return 0


class Counted:
    """Hands batches on and counts them."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.messages = 0
        self.symbols: set[str] = set()
        self._batches = batches

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            self.messages += 1
            self.symbols.add(batch.symbol)
            yield batch


# --- reading ---


def together(paths: list[Path]) -> list[list[Path]]:
    """Files of frames are merged by time; tables and arrays are read as they are given."""
    files = expand(paths)
    tables = [[p] for p in files if is_csv(p) or p.suffix == ".npz"]
    others = [p for p in files if [p] not in tables]
    return ([others] if others else []) + tables


def is_csv(path: Path) -> bool:
    return ".csv" in path.suffixes


def read_batches(paths: list[Path], symbol: str | None) -> Iterator[Batch]:
    path = paths[0]
    if path.suffix == ".npz":
        if symbol is None:
            raise ConfigError(f"{path}: an array names no symbol: give --symbol")
        return from_npz(path, symbol)
    if is_csv(path):
        return from_csv(csv_rows(path), str(path))
    return from_frames((frame for _, frame in frames(paths)), " + ".join(p.name for p in paths))


def csv_rows(path: Path) -> Iterator[dict[str, str]]:
    lines = (line.decode("utf-8", "replace") for line in read_lines(path))
    rows = csv.DictReader(lines)
    names = set(rows.fieldnames or ())
    if not any(names >= set(known) for known in (CSV_BOOK, CSV_TRADES, CSV_BYBIT)):
        raise DataFileError(
            str(path), "its columns are neither Tardis' book or trades nor Bybit's trades", line=1
        )
    return rows


def from_npz(path: Path, symbol: str) -> Iterator[Batch]:
    """Rows of one time and one kind are one message. Only those that local sees are read."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            data = archive["data"] if "data" in archive else archive[archive.files[0]]
    except (ValueError, OSError, IndexError, KeyError) as e:
        raise DataFileError(str(path), f"not an array of events ({e})") from None
    if not set(EVENT.names or ()) - {"order_id", "ival", "fval"} <= set(data.dtype.names or ()):
        raise DataFileError(str(path), f"its columns are {data.dtype.names}")
    batch: Batch | None = None
    kind_before = 0
    for ev, exch, local, px, qty in zip(
        *(data[name].tolist() for name in ("ev", "exch_ts", "local_ts", "px", "qty")), strict=True
    ):
        if not ev & LOCAL:
            continue
        kind = (
            TRADE if ev & 0xFF == TRADE else SNAPSHOT if ev & 0xFF in (CLEAR, SNAPSHOT) else DEPTH
        )
        if batch is None or (kind, exch, local) != (kind_before, batch.exch_ns, batch.local_ns):
            if batch is not None:
                yield batch
            batch, kind_before = Batch(symbol, exch, local, kind == SNAPSHOT), kind
        if kind == TRADE:
            side = Side.BUY if ev & BUY else Side.SELL
            batch.trades.append((side, decimal_text(px), decimal_text(qty), ""))
        elif ev & 0xFF != CLEAR:
            side_of = batch.bids if ev & BUY else batch.asks
            side_of.append((decimal_text(px), decimal_text(qty)))
    if batch is not None:
        yield batch


# --- writing ---

Write = Callable[[Iterable[Batch], Path, int], None]


def writer_of(path: Path) -> Write:
    """By the end of the name. ConfigError names what there is."""
    name = path.name
    if name.endswith((".frames", ".frames.gz", ".frames.zst")):
        return write_frames
    if name.endswith(".npz"):
        return write_npz
    if name.endswith(".parquet"):
        return write_parquet
    raise ConfigError(
        f"{name}: the name ends in .frames, .frames.gz, .frames.zst, .npz or .parquet"
    )


def write_frames(batches: Iterable[Batch], path: Path, depth: int) -> None:
    """``local_ns raw-JSON`` lines; .zst as our own recordings are, with checksums."""
    writer = FrameWriter(depth)
    lines = (
        b"%d %b\n" % (batch.local_ns, frame) for batch in batches for frame in writer.frames(batch)
    )
    if path.suffix != ".zst":
        with gzip.open(path, "wb") if path.suffix == ".gz" else path.open("wb") as file:
            file.writelines(lines)
        return
    segments = Segments(path.parent, path.name.removesuffix(".frames.zst"), ".frames.zst")
    segments.open_as(path)
    first, block = 0, list[bytes]()
    for line in lines:
        block.append(line)
        if len(block) == BLOCK_FRAMES:
            segments.append(b"".join(block), first, len(block))
            first, block = first + len(block), []
    if block:
        segments.append(b"".join(block), first, len(block))
    segments.close()


def write_npz(batches: Iterable[Batch], path: Path, depth: int) -> None:
    """Of one symbol. Times go forward; local times are shifted if any were before the venue's."""
    rows: list[Row] = []
    symbols: set[str] = set()
    for batch in batches:
        symbols.add(batch.symbol)
        if len(symbols) > 1:
            raise ConfigError(f"one array holds one symbol: give --symbol, of {sorted(symbols)}")
        rows += _rows(batch)
    data: NDArray[np.void] = np.zeros(len(rows), EVENT)
    if rows:
        columns = zip(*rows, strict=True)
        for name, column in zip(("ev", "exch_ts", "local_ts", "px", "qty"), columns, strict=True):
            data[name] = column
        data["exch_ts"] = np.maximum.accumulate(data["exch_ts"])
        data["local_ts"] = np.maximum.accumulate(data["local_ts"])
        early = int((data["local_ts"] - data["exch_ts"]).min())
        if early < 0:
            print(
                f"fastbook: local times moved by {-early / 1e6:.3f} ms: clocks differ",
                file=sys.stderr,
            )
            data["local_ts"] -= early
    with path.open("wb") as file:
        np.savez_compressed(file, data=data)


def _rows(batch: Batch) -> Iterator[Row]:
    at, both = (batch.exch_ns, batch.local_ns), EXCH | LOCAL
    for side, levels in ((BUY, batch.bids), (SELL, batch.asks)):
        if batch.snapshot and levels:
            prices = [float(px) for px, _ in levels]
            worst = min(prices) if side == BUY else max(prices)
            yield (CLEAR | both | side, *at, worst, 0.0)
        kind = SNAPSHOT if batch.snapshot else DEPTH
        for px, qty in levels:
            yield (kind | both | side, *at, float(px), float(qty))
    for taker, px, qty, _ in batch.trades:
        yield (TRADE | both | (BUY if taker is Side.BUY else SELL), *at, float(px), float(qty))


def write_parquet(batches: Iterable[Batch], path: Path, depth: int) -> None:
    """One row a level or trade; numbers as the texts that the venue sent, and as floats."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise FastbookError(
            "pyarrow is not installed; pip install 'fastbook-engine[parquet]'"
        ) from None
    schema = pa.schema(
        [
            *(("local_ns", pa.int64()), ("exch_ns", pa.int64()), ("symbol", pa.string())),
            *(
                ("kind", pa.string()),
                ("side", pa.int8()),
                ("px", pa.float64()),
                ("qty", pa.float64()),
            ),
            *(("px_text", pa.string()), ("qty_text", pa.string()), ("message", pa.int64())),
        ]
    )
    rows: list[tuple[Any, ...]] = []  # Any: one of each column's type
    with pq.ParquetWriter(path, schema, compression="zstd") as out:

        def flush() -> None:
            columns = zip(*rows, strict=True)
            arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
            out.write_table(pa.Table.from_arrays(arrays, schema=schema))
            rows.clear()

        for number, batch in enumerate(batches):
            rows += _parquet_rows(batch, number)
            if len(rows) >= PARQUET_ROWS:
                flush()
        if rows:
            flush()


def _parquet_rows(batch: Batch, number: int) -> Iterator[tuple[Any, ...]]:  # Any: as above
    kind = "snapshot" if batch.snapshot else "delta"
    base = (batch.local_ns, batch.exch_ns, batch.symbol)
    for side, levels in ((1, batch.bids), (-1, batch.asks)):
        for px, qty in levels:
            yield (*base, kind, side, float(px), float(qty), px, qty, number)
    for taker, px, qty, _ in batch.trades:
        yield (*base, "trade", int(taker), float(px), float(qty), px, qty, number)
