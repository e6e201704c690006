"""Rules on prices: the book they are measured by, the grid, the collars, own orders in the way."""

from __future__ import annotations

from fastbook.core.states import BookState
from fastbook.risk.denied import Denied
from fastbook.risk.limits import RiskLimits, decimal
from fastbook.risk.view import AccountView, ReferenceBook
from fastbook.types import Instrument, Side


class PriceRules:
    """The limits on prices, read once."""

    def __init__(self, limits: RiskLimits) -> None:
        self._stale_ms = limits.stale_after_ms
        self._stale_ns = limits.stale_after_ms * 1_000_000
        self._collar_bps = decimal(limits.price_collar_bps)
        self._collar_ticks = limits.price_collar_ticks
        self._mark_bps = decimal(limits.mark_collar_bps)

    def reference(
        self, instrument: Instrument, book: ReferenceBook, now_ns: int
    ) -> tuple[int, int]:
        """Best bid and ask of a book that may be trusted, at the instrument's scale."""
        if book.state is not BookState.SYNCED:
            raise Denied("book_not_synced", f"{book.symbol} is {book.state.name}")
        age_ns = now_ns - book.recv_ns
        if age_ns > self._stale_ns:
            raise Denied(
                "book_stale",
                f"{book.symbol} is {age_ns // 1_000_000} ms old, stale_after_ms is {self._stale_ms}",
            )
        bid = instrument.px_from(book.best_bid_px, book.price_scale)
        ask = instrument.px_from(book.best_ask_px, book.price_scale, up=True)
        if bid <= 0 or ask <= 0:
            raise Denied("no_reference", f"{book.symbol} has an empty side: bid {bid}, ask {ask}")
        return bid, ask

    def check_collars(self, px: int, bid: int, ask: int, tick: int, mark_px: int) -> None:
        twice_mid = bid + ask
        off = abs(2 * px - twice_mid)
        if off * 10_000 > self._collar_bps * twice_mid:
            raise Denied(
                "price_collar_bps",
                f"price {px} is {off * 10_000 / twice_mid:.1f} bps from the mid of {bid}/{ask}, "
                f"limit {self._collar_bps}",
            )
        if self._collar_ticks is not None and off > 2 * tick * self._collar_ticks:
            raise Denied(
                "price_collar_ticks",
                f"price {px} is {off / (2 * tick):.1f} ticks from the mid of {bid}/{ask}, "
                f"limit {self._collar_ticks}",
            )
        if mark_px > 0 and abs(px - mark_px) * 10_000 > self._mark_bps * mark_px:
            raise Denied(
                "mark_collar_bps",
                f"price {px} is {abs(px - mark_px) * 10_000 / mark_px:.1f} bps from the mark "
                f"price {mark_px}, limit {self._mark_bps}",
            )


def px_on_grid(side: Side, px: int, instrument: Instrument) -> int:
    """The nearest price on the grid that is not more eager: buys down, sells up."""
    tick = instrument.tick
    found = px // tick * tick if side is Side.BUY else -(-px // tick) * tick
    if found <= 0:
        raise Denied("tick", f"price {px} leaves nothing on a grid of {tick}")
    return found


def check_self_trade(side: Side, px: int, account: AccountView) -> None:
    if side is Side.BUY and 0 < account.own_ask_min <= px:
        raise Denied("self_trade", f"buy at {px} meets an own sell at {account.own_ask_min}")
    if side is Side.SELL and account.own_bid_max >= px:
        raise Denied("self_trade", f"sell at {px} meets an own buy at {account.own_bid_max}")
