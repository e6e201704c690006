"""Rows of instruments-info and of risk-limit."""

from __future__ import annotations

from decimal import Decimal

from fastbook.replay.accounts import Row
from fastbook.replay.intake import PX_TICKS_MAX
from fastbook.replay.money import wire_text
from fastbook.replay.tiers import tiers_of
from fastbook.types import Category, Instrument

# Index and mark are the same here, without a premium: then X alone is the band of prices, which
# `VenueRules.limit_band` sets. Y, the outer bound, is never reached.
PRICE_LIMIT_RATIOS = {"priceLimitRatioX": "0.02", "priceLimitRatioY": "0.04"}


def px_full(instrument: Instrument, px: int) -> str:
    """A price with every digit of its scale, as instruments-info has it."""
    return f"{instrument.px_decimal(px):f}"


def qty_full(instrument: Instrument, qty: int) -> str:
    return f"{instrument.qty_decimal(qty):f}"


def contract_info(i: Instrument) -> Row:
    """One linear or inverse instrument of instruments-info."""
    inverse = i.category is Category.INVERSE
    return {
        "symbol": i.symbol,
        "symbolId": i.index + 1,
        "contractType": "InversePerpetual" if inverse else "LinearPerpetual",
        "status": "Trading" if i.trading else "Closed",
        "baseCoin": i.base,
        "quoteCoin": i.quote,
        "launchTime": "1580000000000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(i.price_scale),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": f"{i.leverage_max:.2f}",
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": px_full(i, i.tick),
            "maxPrice": px_full(i, i.tick * PX_TICKS_MAX),
            "tickSize": px_full(i, i.tick),
        },
        "lotSizeFilter": {
            "maxOrderQty": qty_full(i, i.qty_max),
            "minOrderQty": qty_full(i, i.qty_min),
            "qtyStep": qty_full(i, i.lot),
            "postOnlyMaxOrderQty": qty_full(i, i.qty_max),
            "maxMktOrderQty": qty_full(i, i.qty_max_market),
            "minNotionalValue": wire_text(i.notional_min),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": i.settle,
        "copyTrading": "none",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": dict(PRICE_LIMIT_RATIOS),
        "displayName": "",
        "symbolType": "",
        "forbidUplWithdrawal": False,
    }


def spot_info(i: Instrument) -> Row:
    """One spot instrument of instruments-info."""
    return {
        "symbolId": i.index + 1,
        "symbol": i.symbol,
        "baseCoin": i.base,
        "quoteCoin": i.quote,
        "innovation": "0",
        "status": "Trading" if i.trading else "Closed",
        "marginTrading": "none",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": qty_full(i, i.lot),
            "quotePrecision": f"{Decimal(1).scaleb(-i.price_scale - i.qty_scale):f}",
            "minOrderQty": qty_full(i, i.qty_min),
            "maxOrderQty": qty_full(i, i.qty_max),
            "minOrderAmt": wire_text(i.notional_min),
            "maxOrderAmt": "5000000",
            "maxLimitOrderQty": qty_full(i, i.qty_max),
            "maxMarketOrderQty": qty_full(i, i.qty_max_market),
            "postOnlyMaxLimitOrderSize": qty_full(i, i.qty_max),
        },
        "priceFilter": {"tickSize": px_full(i, i.tick)},
        "riskParameters": dict(PRICE_LIMIT_RATIOS),
        "symbolType": "",
        "xstockMultiplier": "1",
    }


def risk_limit_rows(i: Instrument) -> list[Row]:
    """The tiers of a contract, smallest first."""
    return [
        {
            "id": tier.id,
            "symbol": i.symbol,
            "riskLimitValue": wire_text(tier.limit),
            "maintenanceMargin": wire_text(tier.rate),
            "initialMargin": wire_text(round(1 / tier.leverage_max, 6)),
            "isLowestRisk": int(tier.id == 1),
            "maxLeverage": f"{tier.leverage_max:.2f}",
            "mmDeduction": wire_text(tier.deduction) if tier.deduction else "",
        }
        for tier in tiers_of(i.leverage_max)
    ]
