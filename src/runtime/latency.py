"""A latency histogram of fixed size: log-linear buckets, at most 1 % wide."""

from __future__ import annotations

_SUB_BITS = 7
_SUB = 1 << _SUB_BITS  # buckets a power of two: 1/128 wide
_POWERS = 36  # up to 2**42 ns, over an hour
_BUCKETS = _SUB * (_POWERS + 1)


class LatencyHistogram:
    """Counts durations in ns; quantiles are the upper edge of a bucket.

    `record` is O(1) and allocates nothing. Durations beyond an hour land in the last
    bucket; negative ones (a clock that jumped) count as 0 and in `negative`.
    """

    __slots__ = ("_counts", "count", "max_ns", "negative", "total_ns")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.total_ns = 0
        self.max_ns = 0
        self.negative = 0

    def record(self, ns: int) -> None:
        if ns < 0:
            self.negative += 1
            ns = 0
        shift = max(0, ns.bit_length() - _SUB_BITS - 1)
        index = (shift << _SUB_BITS) + (ns >> shift)
        self._counts[index if index < _BUCKETS else _BUCKETS - 1] += 1
        self.count += 1
        self.total_ns += ns
        self.max_ns = max(self.max_ns, ns)

    def quantile_ns(self, q: float) -> int:
        """Smallest recorded duration, to 1 %, that a share `q` does not exceed; 0 when empty."""
        wanted = q * self.count
        seen = 0
        for index, n in enumerate(self._counts):
            seen += n
            if n and seen >= wanted:
                return min(_upper_edge(index), self.max_ns)
        return 0

    def summary_us(self) -> dict[str, float | None]:
        """p50, p99 and p999 in microseconds; None while nothing was recorded."""
        if not self.count:
            return {"p50": None, "p99": None, "p999": None}
        return {
            name: round(self.quantile_ns(q) / 1000, 1)
            for name, q in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))
        }


def _upper_edge(index: int) -> int:
    shift = max(0, (index >> _SUB_BITS) - 1)
    return ((index - (shift << _SUB_BITS) + 1) << shift) - 1
