"""What the owner of an account may set: leverage, position mode, margin mode, price action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from fastbook.errors import VenueError
from fastbook.replay import intake
from fastbook.replay.accounts import Account
from fastbook.replay.clearing import Clearing
from fastbook.replay.intake import decimal_of, flag_of, text_of
from fastbook.replay.money import minus, plus
from fastbook.replay.tiers import size_of, tier_for_leverage
from fastbook.types import Category, Instrument

LEVERAGE_STEP = Decimal("0.01")
LEVERAGE_TOO_HIGH = 110013
LEVERAGE_NOT_MODIFIED = 110043
LEVERAGE_NOT_COVERED = 110012
POSITION_EXISTS = 110024
MODE_NOT_MODIFIED = 110025
ORDERS_EXIST = 110028
HEDGE_NOT_SUPPORTED = 110029
MARGIN_MODE_FAILED = 3400045


class Settings:
    """Changes the settings of accounts; every refusal leaves them as they were."""

    def __init__(self, instruments: Sequence[Instrument], clearing: Clearing) -> None:
        self._instruments = instruments
        self._clearing = clearing

    def set_leverage(
        self, account: Account, instrument: Instrument, params: Mapping[str, object]
    ) -> None:
        """One leverage for both sides, as cross margin has it.

        10001 malformed or different, 110013 above the symbol's maximum, 110043 the same as now,
        110012 when the margin of what is open would not be covered.
        """
        if instrument.category is Category.SPOT:
            raise VenueError(intake.PARAMETER_ERROR, "params error: category invalid")
        buy, sell = decimal_of(params, "buyLeverage"), decimal_of(params, "sellLeverage")
        if buy != sell:
            raise VenueError(intake.PARAMETER_ERROR, "buy leverage must equal sell leverage")
        if buy < 1 or buy % LEVERAGE_STEP:
            raise VenueError(intake.PARAMETER_ERROR, "params error: leverage invalid")
        if buy > instrument.leverage_max:
            raise VenueError(LEVERAGE_TOO_HIGH, "cannot set leverage gt maxLeverage by risk limit")
        before = account.leverage(instrument)
        if buy == before:
            raise VenueError(LEVERAGE_NOT_MODIFIED, "leverage not modified")
        if self._beyond_tier(account, instrument, buy):
            raise VenueError(LEVERAGE_TOO_HIGH, "cannot set leverage due to risk limit level")
        account.set_leverage(instrument, buy)
        if buy < before and not self._covered(account, instrument.settle):
            account.set_leverage(instrument, before)
            raise VenueError(LEVERAGE_NOT_COVERED, "insufficient available balance")

    def _beyond_tier(self, account: Account, instrument: Instrument, leverage: Decimal) -> bool:
        """Whether a position is larger than the tiers of this leverage allow."""
        mark = self._clearing.prices.mark(instrument.index)
        most = tier_for_leverage(instrument, leverage).limit
        held = (account.position(instrument, idx).qty for idx in account.indexes(instrument))
        return any(size_of(instrument, qty, mark) > most for qty in held)

    def _covered(self, account: Account, coin: str) -> bool:
        figures = self._clearing.figures(account).coins.get(coin)
        if figures is None:
            return True
        tied = plus(figures["order_im"], figures["position_im"])
        return tied == 0 or minus(plus(figures["balance"], figures["unrealized"]), tied) >= 0

    def switch_mode(self, account: Account, params: Mapping[str, object]) -> None:
        """One-way (0) or hedge (3) for a symbol, or for all symbols of a settle coin.

        110029 where there is no hedge mode, 110025 the same as now, 110024 a position is open,
        110028 orders are open.
        """
        mode = params.get("mode")
        if type(mode) is not int or mode not in (0, 3):
            raise VenueError(intake.PARAMETER_ERROR, "params error: mode invalid")
        category, symbol, coin = (text_of(params, k) for k in ("category", "symbol", "coin"))
        if not (symbol or coin):
            raise VenueError(intake.PARAMETER_ERROR, "params error: symbol or coin needed")
        chosen = [
            i
            for i in self._instruments
            if i.category == category and (i.symbol == symbol if symbol else i.settle == coin)
        ]
        if not chosen:
            raise VenueError(intake.PARAMETER_ERROR, "params error: symbol invalid")
        if any(i.category is not Category.LINEAR or i.settle != "USDT" for i in chosen):
            raise VenueError(HEDGE_NOT_SUPPORTED, "hedge mode not supported for this symbol")
        changing = [i for i in chosen if account.hedged(i) != (mode == 3)]
        if not changing:
            raise VenueError(MODE_NOT_MODIFIED, "Position mode is not modified")
        self._check_flat(account, changing)
        for instrument in changing:
            if mode == 3:
                account.hedged_symbols.add(instrument.index)
            else:
                account.hedged_symbols.discard(instrument.index)

    @staticmethod
    def _check_flat(account: Account, instruments: Sequence[Instrument]) -> None:
        indexes = {i.index for i in instruments}
        if any(p.qty for (index, _), p in account.positions.items() if index in indexes):
            raise VenueError(
                POSITION_EXISTS, "You have an existing position, so position mode cannot change"
            )
        if any(o.instrument.index in indexes for o in account.open_orders.values()):
            raise VenueError(
                ORDERS_EXIST, "You have existing orders, so position mode cannot change"
            )

    def set_margin_mode(self, account: Account, params: Mapping[str, object]) -> None:
        """REGULAR_MARGIN (cross) or ISOLATED_MARGIN; 3400045 while anything is open."""
        mode = text_of(params, "setMarginMode")
        if mode not in ("REGULAR_MARGIN", "ISOLATED_MARGIN"):
            raise VenueError(intake.PARAMETER_ERROR, "params error: setMarginMode invalid")
        if mode == account.margin_mode:
            return
        if any(p.qty for p in account.positions.values()) or account.open_orders:
            raise VenueError(MARGIN_MODE_FAILED, "Set margin mode failed")
        account.margin_mode = mode

    @staticmethod
    def set_limit_px_action(account: Account, params: Mapping[str, object]) -> None:
        """Whether derivative limit prices outside the band are moved to it, or refused."""
        if text_of(params, "category") not in ("linear", "inverse"):
            raise VenueError(intake.PARAMETER_ERROR, "params error: category invalid")
        account.clamps_limit_px = flag_of(params, "modifyEnable")
