"""What a book is worth, and what one frame did. The compiled core uses the same numbers."""

from __future__ import annotations

from enum import IntEnum


class BookState(IntEnum):
    """Whether a book may be read. Only `SYNCED` may be traded on."""

    NO_BOOK = 0  # nothing received yet, or the venue says that there is no book
    UNSYNCED = 1  # an update was lost or refused: wrong until the next snapshot
    SYNCING = 2  # a snapshot has been asked for
    SYNCED = 3  # equal to the venue's book as of `u`
    STALE = 4  # was SYNCED, but has not been heard of for too long


class ApplyStatus(IntEnum):
    """What one frame, or one update, did."""

    APPLIED = 0  # a delta changed the book
    SNAPSHOT = 1  # the book was replaced
    STALE = 2  # older than what is held: dropped, the book stays as it was
    GAP = 3  # cannot be trusted any more: wait for a snapshot
    TRADE = 4  # public trades; the book is untouched
    OTHER = 5  # anything else that is well formed: tickers, klines, acknowledgements
    MALFORMED = 6  # not what the protocol promises: dropped, its topic is UNSYNCED


class SequencePolicy(IntEnum):
    """What the update ids of a topic promise."""

    CONTIGUOUS = 0  # each delta is the last id plus one
    SNAPSHOT_ONLY = 1  # every frame is a whole book; ids repeat and may skip (level 1)
