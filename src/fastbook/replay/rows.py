"""v5 rows of the private topics and of their REST twins, from the venue's own values.

Key sets are those of the venue; keys of what this venue does not do (portfolio margin, options) carry the value that the venue shows when they are not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from fastbook.replay.accounts import Order, Position, Row
from fastbook.replay.money import ZERO, contract_value, over, padded_text, plus, wire_text
from fastbook.replay.tiers import maintenance, size_of, tier_of
from fastbook.types import Category, Instrument, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a position row says besides the position itself. Prices fixed-point, 0 = none."""

    mark: Decimal
    leverage: Decimal
    liquidation_px: int = 0
    bankruptcy_px: int = 0
    adl_rank: int = 0  # 5: the next to be deleveraged
    reduce_only: bool = False


def px_text(instrument: Instrument, px: int) -> str:
    """A price of a row: stripped on derivatives, padded on spot."""
    value = instrument.px_decimal(px)
    if instrument.category is Category.SPOT:
        return padded_text(value, instrument.price_scale)
    return wire_text(value)


def qty_text(instrument: Instrument, qty: int) -> str:
    """A quantity of a row: stripped on derivatives, padded on spot."""
    value = instrument.qty_decimal(qty)
    if instrument.category is Category.SPOT:
        return padded_text(value, instrument.qty_scale)
    return wire_text(value)


def order_row(order: Order) -> Row:
    """The order row of `/v5/order/realtime`, with `category` and what only the stream adds."""
    instrument = order.instrument
    spot = instrument.category is Category.SPOT
    leaves = order.leaves
    average = ZERO
    if order.cum_qty:
        traded = instrument.qty_decimal(order.cum_qty)
        inverse = instrument.category is Category.INVERSE
        average = over(traded, order.cum_value) if inverse else over(order.cum_value, traded)
    fees = plus(*order.fees.values())
    by_quote = order.quote_budget > 0
    leaves_value = contract_value(instrument, order.px, leaves) if order.px else ZERO
    if by_quote:
        leaves_value = plus(order.quote_budget, order.cum_value.copy_negate())
    trigger, guard = order.trigger, order.protection
    row: Row = {
        "category": str(instrument.category),
        "symbol": instrument.symbol,
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "blockTradeId": "",
        "side": order.side.wire,
        "positionIdx": order.position_idx,
        "orderStatus": order.status,
        "cancelType": order.cancel_type,
        "rejectReason": order.reject_reason,
        "timeInForce": str(order.tif),
        "isLeverage": "0" if spot else "",
        "price": "0" if by_quote else px_text(instrument, order.px),
        "qty": wire_text(order.quote_budget) if by_quote else qty_text(instrument, order.qty),
        "avgPrice": wire_text(average) if order.cum_qty else "",
        "leavesQty": qty_text(instrument, leaves),
        "leavesValue": wire_text(leaves_value),
        "cumExecQty": qty_text(instrument, order.cum_qty),
        "cumExecValue": wire_text(order.cum_value),
        "cumExecFee": wire_text(fees),
        "orderType": str(order.order_type),
        "stopOrderType": order.stop_type,
        "orderIv": "",
        "triggerPrice": px_text(instrument, trigger.px) if trigger else "",
        "takeProfit": _px_or(instrument, guard.take_profit, ""),
        "stopLoss": _px_or(instrument, guard.stop_loss, ""),
        "triggerBy": str(trigger.by) if trigger else "",
        "tpTriggerBy": str(guard.tp_by) if guard.take_profit else "",
        "slTriggerBy": str(guard.sl_by) if guard.stop_loss else "",
        "triggerDirection": trigger.direction if trigger else 0,
        "placeType": "",
        "lastPriceOnCreated": px_text(instrument, order.last_px) if order.last_px else "",
        "closeOnTrigger": order.close_on_trigger,
        "reduceOnly": order.reduce_only,
        "smpGroup": 0,
        "smpType": str(order.smp_type),
        "smpOrderId": order.smp_order_id,
        "slLimitPrice": _px_or(instrument, guard.sl_limit_px, "0"),
        "tpLimitPrice": _px_or(instrument, guard.tp_limit_px, "0"),
        "tpslMode": order.tpsl_mode,
        "createType": order.create_type,
        "marketUnit": order.market_unit,
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
        "feeCurrency": "",
        "closedPnl": wire_text(order.closed_pnl),
        "cumFeeDetail": {coin: wire_text(fee) for coin, fee in order.fees.items()},
        "slippageToleranceType": "UNKNOWN",
        "slippageTolerance": "",
    }
    if spot:
        del row["createType"]
    return row


def query_order_row(order: Order) -> Row:
    """The same row as REST gives it: without the keys that only the stream has."""
    row = order_row(order)
    for key in ("category", "feeCurrency", "closedPnl"):
        del row[key]
    return row


def execution_row(
    order: Order,
    *,
    exec_id: str,
    px: int,
    qty: int,
    value: Decimal,
    fee: Decimal,
    fee_rate: Decimal,
    fee_coin: str,
    is_maker: bool,
    closed: int,
    pnl: Decimal,
    mark: Decimal,
    now_ms: int,
    seq: int,
    exec_type: str = "Trade",
) -> Row:
    """One fill of `order`, which already counts it."""
    instrument = order.instrument
    market_buy = order.quote_budget > 0
    return {
        "category": str(instrument.category),
        "symbol": instrument.symbol,
        "closedSize": wire_text(instrument.qty_decimal(closed)),
        "execFee": wire_text(fee),
        "execId": exec_id,
        "execPrice": px_text(instrument, px),
        "execQty": qty_text(instrument, qty),
        "execType": exec_type,
        "execValue": wire_text(value),
        "feeRate": wire_text(fee_rate),
        "tradeIv": "",
        "markIv": "",
        "blockTradeId": "",
        "markPrice": wire_text(mark),
        "indexPrice": "",
        "underlyingPrice": "",
        "leavesQty": qty_text(instrument, order.qty - order.cum_qty),
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "orderPrice": "0" if market_buy else px_text(instrument, order.px),
        "orderQty": qty_text(instrument, 0 if market_buy else order.qty),
        "orderType": str(order.order_type),
        "stopOrderType": order.stop_type or "UNKNOWN",
        "side": order.side.wire,
        "execTime": str(now_ms),
        "isLeverage": "0",
        "isMaker": is_maker,
        "seq": seq,
        "marketUnit": order.market_unit,
        "execPnl": wire_text(pnl),
        "createType": order.create_type,
        "extraFees": "",
        "feeCurrency": fee_coin,
    }


def _px_or(instrument: Instrument, px: int, none: str) -> str:
    return px_text(instrument, px) if px else none


def _stop_text(stop: Order | None) -> str:
    if stop is None or stop.trigger is None:
        return "0"
    return px_text(stop.instrument, stop.trigger.px)


def position_row(position: Position, standing: Standing, *, seq: int) -> Row:
    """The row of the private `position` topic."""
    instrument, mark = position.instrument, standing.mark
    margin = wire_text(over(position.value(mark), standing.leverage))
    kept = wire_text(maintenance(instrument, position.qty, mark))
    tier = tier_of(instrument, size_of(instrument, position.qty, mark))
    entry = wire_text(position.entry_px)
    side = "" if position.qty == 0 else Side.BUY.wire if position.qty > 0 else Side.SELL.wire
    return {
        "positionIdx": position.idx,
        "tradeMode": 0,
        "riskId": tier.id,
        "riskLimitValue": wire_text(tier.limit),
        "symbol": instrument.symbol,
        "side": side,
        "size": wire_text(instrument.qty_decimal(abs(position.qty))),
        "entryPrice": entry,
        "sessionAvgPrice": "",
        "leverage": wire_text(standing.leverage),
        "positionValue": wire_text(position.cost),
        "positionBalance": "0",
        "markPrice": wire_text(mark),
        "positionIM": margin,
        "positionIMByMp": margin,
        "positionMM": kept,
        "positionMMByMp": kept,
        "takeProfit": _stop_text(position.take_profit),
        "stopLoss": _stop_text(position.stop_loss),
        "trailingStop": (
            px_text(instrument, position.trailing.trail) if position.trailing else "0"
        ),
        "unrealisedPnl": wire_text(position.unrealized(mark)),
        "curRealisedPnl": wire_text(position.session_realized),
        "cumRealisedPnl": wire_text(position.net_realized),
        "breakEvenPrice": _px_or(instrument, break_even_px(position), "0"),
        "createdTime": str(position.created_ms),
        "updatedTime": str(position.updated_ms),
        "openTime": 0 if position.qty == 0 else position.opened_ms,
        "tpslMode": "Full",
        "liqPrice": _px_or(instrument, standing.liquidation_px, ""),
        "bustPrice": _px_or(instrument, standing.bankruptcy_px, ""),
        "category": str(instrument.category),
        "positionStatus": position.status,
        "adlRankIndicator": standing.adl_rank,
        "autoAddMargin": 0,
        "leverageSysUpdatedTime": "",
        "mmrSysUpdatedTime": "",
        "seq": seq,
        "isReduceOnly": standing.reduce_only,
    }


def break_even_px(position: Position) -> int:
    """Where closing would leave neither profit nor loss, what was paid so far counted in; 0 flat.

    Fixed-point, on the tick that covers it; the fee of the closing itself is not in it.
    """
    instrument = position.instrument
    if not position.qty:
        return 0
    size = instrument.qty_decimal(abs(position.qty))
    paid = position.session_realized.copy_negate()  # fees and funding of this position
    long = position.qty > 0
    if position.inverse:
        worth = plus(position.cost, paid.copy_negate() if long else paid)
        px = over(size, worth) if worth > 0 else ZERO
    else:
        px = over(plus(position.cost, paid if long else paid.copy_negate()), size)
    ticks = px.scaleb(instrument.price_scale) / instrument.tick
    rounded = ticks.to_integral_value(ROUND_CEILING if long else ROUND_FLOOR)
    return int(max(rounded, ZERO)) * instrument.tick


def funding_row(
    position: Position,
    *,
    order_id: str,
    exec_id: str,
    mark: Decimal,
    rate: Decimal,
    fee: Decimal,
    now_ms: int,
    seq: int,
) -> Row:
    """One funding payment: looks like a trade of the whole position, changes cash only."""
    instrument = position.instrument
    size = wire_text(instrument.qty_decimal(abs(position.qty)))
    return {
        "category": str(instrument.category),
        "symbol": instrument.symbol,
        "closedSize": "0",
        "execFee": wire_text(fee),
        "execId": exec_id,
        "execPrice": wire_text(mark),
        "execQty": size,
        "execType": "Funding",
        "execValue": wire_text(position.value(mark)),
        "feeRate": wire_text(rate if position.qty > 0 else rate.copy_negate()),
        "tradeIv": "",
        "markIv": "",
        "blockTradeId": "",
        "markPrice": wire_text(mark),
        "indexPrice": "",
        "underlyingPrice": "",
        "leavesQty": "0",
        "orderId": order_id,
        "orderLinkId": "",
        "orderPrice": "0",
        "orderQty": "0",
        "orderType": "UNKNOWN",
        "stopOrderType": "UNKNOWN",
        "side": Side.BUY.wire if position.qty > 0 else Side.SELL.wire,
        "execTime": str(now_ms),
        "isLeverage": "0",
        "isMaker": False,
        "seq": seq,
        "marketUnit": "",
        "execPnl": "0",
        "createType": "CreateByUser",
        "extraFees": "",
        "feeCurrency": instrument.settle,
    }


def query_position_row(position: Position, standing: Standing) -> Row:
    """The same row as REST gives it: `avgPrice` for `entryPrice`, no `category`."""
    row = position_row(position, standing, seq=position.seq)
    row["avgPrice"] = row.pop("entryPrice")
    del row["category"]
    return row


def wallet_row(coins: Mapping[str, Mapping[str, Decimal]], account: Mapping[str, Decimal]) -> Row:
    """The account row with its coins, as on the `wallet` topic and in wallet-balance.

    `coins`: coin -> equity, usd, balance, locked, order_im, position_im, position_mm,
    unrealized, realized. `account`: the same sums in USD plus available.
    """
    equity = account["equity"]
    initial = plus(account["order_im"], account["position_im"])
    return {
        "accountType": "UNIFIED",
        "accountIMRate": wire_text(over(initial, equity)) if equity > 0 else "0",
        "accountMMRate": wire_text(over(account["position_mm"], equity)) if equity > 0 else "0",
        "totalEquity": wire_text(equity),
        "totalWalletBalance": wire_text(account["balance"]),
        "totalMarginBalance": wire_text(equity),
        "totalAvailableBalance": wire_text(account["available"]),
        "totalPerpUPL": wire_text(account["unrealized"]),
        "totalInitialMargin": wire_text(initial),
        "totalMaintenanceMargin": wire_text(account["position_mm"]),
        "coin": [
            {
                "coin": coin,
                "equity": wire_text(of["equity"]),
                "usdValue": wire_text(of["usd"]),
                "walletBalance": wire_text(of["balance"]),
                "locked": wire_text(of["locked"]),
                "borrowAmount": "0",
                "spotBorrow": "0",
                "accruedInterest": "0",
                "totalOrderIM": wire_text(of["order_im"]),
                "totalPositionIM": wire_text(of["position_im"]),
                "totalPositionMM": wire_text(of["position_mm"]),
                "unrealisedPnl": wire_text(of["unrealized"]),
                "cumRealisedPnl": wire_text(of["realized"]),
                "bonus": "0",
                "spotHedgingQty": "0",
                "marginCollateral": True,
                "collateralSwitch": True,
                "availableToWithdraw": "",
                "availableToBorrow": "",
            }
            for coin, of in coins.items()
        ],
        "accountLTV": "0",
    }
