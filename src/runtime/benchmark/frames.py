"""Generated order book frames: distributed like recorded ones, seeded, valid to the letter.

A stream is a snapshot and then deltas with contiguous `u`. The window is kept as the venue
keeps it: when a level inside goes, the one that comes in at the far edge is sent as an insert,
and the other way round. A side of a delta is sorted best to worst, no price twice, a deletion
names a level that is there, a modify changes the size, the book is never crossed.

Not imitated: that a large delta tends to follow a large one, and bursts in time.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from .profiles import DENSE_200, PROFILES, QUANTILES, Profile, Ranks

SEED = 20_240_101
START_MS = 1_700_000_000_000
CADENCE_MS = {1: 10, 50: 20, 200: 100, 1000: 200}
SPARE = 64
"""Levels that a side keeps beyond its window, so that there is something to come in."""


class Side:
    """One side of a market. Keys are ticks, counted so that smaller is better."""

    def __init__(self, profile: Profile, depth: int, best: int, rng: random.Random) -> None:
        self._profile = profile
        self._depth = depth
        self._rng = rng
        self.keys = [best]
        self._qty = {best: self._size()}
        self._refill()
        self._published = {key: self._qty[key] for key in self.keys[:depth]}
        self._touched: set[int] = set()

    def window(self) -> list[tuple[int, int]]:
        return [(key, self._qty[key]) for key in self.keys[: self._depth]]

    def change(self, levels: int, limit: int) -> list[tuple[int, int]]:
        """Some `levels` changes; no level may become better than `limit`.

        Returns the (key, size) to send, best first; size 0 deletes.
        """
        last_before = self.keys[self._depth - 1]
        inserts = deletes = 0
        # An insert or delete without its counterpart also moves a level over the window's edge.
        while len(self._touched) + abs(inserts - deletes) < min(levels, self._depth):
            kind = self._rng.random() - self._profile.modify_share
            if kind < 0:
                self._modify(self._rank(self._profile.modify_ranks))
            elif kind < (1 - self._profile.modify_share) / 2:
                inserts += self._insert(self._rank(self._profile.insert_ranks), limit)
            else:
                self._delete(self._rank(self._profile.delete_ranks))
                deletes += 1
        return self._publish(last_before)

    def _modify(self, rank: int) -> None:
        key = self.keys[rank]
        size = self._size()
        self._qty[key] = size + (size == self._qty[key])
        self._touched.add(key)

    def _insert(self, rank: int, limit: int) -> bool:
        if rank == 0:  # somewhere inside the spread
            key = self._rng.randint(min(limit, self.keys[0] - 1), self.keys[0] - 1)
            free = key >= limit
        else:  # at the first free tick from there on
            while rank < self._depth - 1 and self.keys[rank] == self.keys[rank - 1] + 1:
                rank += 1
            key = self.keys[rank - 1] + 1
            free = key != self.keys[rank]
        if not free:  # no tick between: what is there changes instead
            self._modify(rank)
            return False
        self.keys.insert(rank, key)
        self._qty[key] = self._size()
        self._touched.add(key)
        if len(self.keys) > self._depth + 4 * SPARE:
            for gone in self.keys[self._depth + 2 * SPARE :]:
                del self._qty[gone]
            del self.keys[self._depth + 2 * SPARE :]
        return True

    def _delete(self, rank: int) -> None:
        key = self.keys.pop(rank)
        del self._qty[key]
        self._touched.add(key)
        if len(self.keys) < self._depth + SPARE // 2:
            self._refill()

    def _publish(self, last_before: int) -> list[tuple[int, int]]:
        last = self.keys[self._depth - 1]
        edge = sorted((last_before, last))
        inside = slice(bisect_left(self.keys, edge[0]), bisect_right(self.keys, edge[1]))
        changes = []
        for key in sorted(self._touched.union(self.keys[inside])):
            size = self._qty.get(key, 0) if key <= last else 0
            if size != self._published.get(key, 0):
                changes.append((key, size))
                if size:
                    self._published[key] = size
                else:
                    del self._published[key]
        self._touched.clear()
        return changes

    def _refill(self) -> None:
        while len(self.keys) < self._depth + SPARE:
            key = self.keys[-1] + 1
            while self._rng.random() > self._profile.occupancy:
                key += 1
            self.keys.append(key)
            self._qty[key] = self._size()

    def _rank(self, ranks: Ranks) -> int:
        draw = self._rng.random() * sum(share for _, _, share in ranks)
        for first, last, share in ranks:
            draw -= share
            if draw < 0:
                return min(first + int(self._rng.random() * (last - first + 1)), self._depth - 1)
        return 0  # the shares summed to less than they should, by rounding

    def _size(self) -> int:
        return max(1, round(at_quantile(self._profile.sizes, self._rng.random())))


def at_quantile(values: Sequence[float], q: float) -> float:
    """Between the quantiles that are known, on a straight line."""
    i = max(1, bisect_left(QUANTILES, q))
    share = (q - QUANTILES[i - 1]) / (QUANTILES[i] - QUANTILES[i - 1])
    return values[i - 1] + share * (values[i] - values[i - 1])


def stream(
    count: int,
    *,
    depth: int = 50,
    category: str = "linear",
    symbol: str = "BTCUSDT",
    seed: int = SEED,
    profile: Profile | None = None,
) -> list[bytes]:
    """`count` frames of one topic, the first a snapshot; at depth 1 all of them.

    The same arguments give the same bytes. Some 0.1 ms a frame at depth 50.
    """
    return list(_stream(count, depth, symbol, seed, profile or PROFILES[category, depth]))


def _stream(count: int, depth: int, symbol: str, seed: int, profile: Profile) -> Iterator[bytes]:
    rng = random.Random(f"{seed} {symbol} {depth}")
    best = profile.start_px // profile.tick
    bids = Side(profile, depth, -best, rng)
    asks = Side(profile, depth, best + 1, rng)
    frame = Framer(profile, depth, symbol)
    yield frame.text("snapshot", 1, bids.window(), asks.window())
    for u in range(2, count + 1):
        changed: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        while not any(changed):
            n_bids = round(at_quantile(profile.bid_levels, rng.random()))
            n_asks = round(at_quantile(profile.ask_levels, rng.random()))
            new_bids = bids.change(n_bids, 1 - asks.keys[0])
            new_asks = asks.change(n_asks, 1 - bids.keys[0])
            changed = new_bids, new_asks
        if depth == 1:
            yield frame.text("snapshot", u, bids.window(), asks.window())
        else:
            yield frame.text("delta", u, *changed)


class Framer:
    """Texts as the venue writes them: key order by category, compact, its own decimals."""

    def __init__(self, profile: Profile, depth: int, symbol: str) -> None:
        self._profile = profile
        self._cadence_ms = CADENCE_MS[depth]
        middle = (
            '"type":"{kind}","ts":{ts}'
            if profile.category == "linear"
            else ('"ts":{ts},"type":"{kind}"')
        )
        self._text = (
            f'{{{{"topic":"orderbook.{depth}.{symbol}",{middle},"data":{{{{"s":"{symbol}",'
            '"b":[{bids}],"a":[{asks}],"u":{u},"seq":{seq}}},"cts":{cts}}}'
        )

    def text(
        self, kind: str, u: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]]
    ) -> bytes:
        ts = START_MS + self._cadence_ms * u
        return self._text.format(
            kind=kind,
            ts=ts,
            bids=",".join(self._level(-key, size) for key, size in bids),
            asks=",".join(self._level(key, size) for key, size in asks),
            u=u,
            seq=9_000_000_000 + 7 * u,
            cts=ts - 2,
        ).encode()

    def _level(self, tick: int, size: int) -> str:
        p = self._profile
        strip = p.category == "spot"
        px = decimal_text(tick * p.tick, p.px_decimals, strip=strip)
        qty = decimal_text(size, p.qty_decimals, strip=strip) if size else "0"
        return f'["{px}","{qty}"]'


def decimal_text(value: int, decimals: int, *, strip: bool) -> str:
    if not decimals:
        return str(value)
    whole, part = divmod(value, 10**decimals)
    text = f"{whole}.{part:0{decimals}d}"
    return text.rstrip("0").rstrip(".") if strip else text


def mixed(
    symbols: int, frames_each: int, *, depth: int = 50, seed: int = SEED
) -> list[list[bytes]]:
    """One stream a symbol, sparse and dense books in turn; interleave them as you need."""
    return [
        stream(
            frames_each,
            depth=depth,
            symbol=symbol_name(i),
            seed=seed + i,
            profile=DENSE_200 if i % 2 else None,
        )
        for i in range(symbols)
    ]


def interleaved(streams: list[list[bytes]]) -> list[bytes]:
    """A frame of each in turn."""
    return [frame for row in zip(*streams, strict=True) for frame in row]


_COINS = (
    *("BTC", "SOL", "ETH", "XRP", "LTC", "DOGE", "BNB", "ADA", "MKR", "AVAX"),
    *("LINK", "DOT", "1000PEPE", "TRX", "NEAR", "BCH", "UNI", "ARB", "OP", "APT"),
)


def symbol_name(index: int) -> str:
    """Names of different lengths, as many as are asked for."""
    series, coin = divmod(index, len(_COINS))
    return f"{_COINS[coin]}{series or ''}USDT"
