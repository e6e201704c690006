"""Hundreds of seeded agents on one venue, and the books that balance over them.

Nobody else is in the market, so every deal has an account on both sides: what one has gained
another has lost, and what accounts hold adds up to nothing. Runs by itself too:
``python -m tests.reference.agents --orders 1000000``.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import orjson

from fastbook import ApplyStatus, BookDecoder
from fastbook.errors import VenueError
from fastbook.replay.accounts import Account, Order
from fastbook.replay.clearing import VenueRules
from fastbook.replay.matching import DepthPublisher, Market, MatchingBook, universe
from fastbook.replay.venue import Venue
from fastbook.types import Category, Side

START_MS = 1_772_694_600_000
DEPTH = 50
TICK_EVERY = 100  # steps
OPEN_ORDERS_MAX = 5  # an agent with more cancels them all


def markets() -> list[Market]:
    """Two linear symbols, an inverse one and a spot pair, of different coins."""
    linear = universe(3, Category.LINEAR)
    chosen = [
        linear[0],
        linear[1],
        universe(1, Category.INVERSE)[0],
        universe(3, Category.SPOT)[2],
    ]
    return [
        replace(market, instrument=replace(market.instrument, index=index))
        for index, market in enumerate(chosen)
    ]


class TradingDay:
    """One run: agents place, amend, cancel, are liquidated and pay funding; nothing is lost."""

    def __init__(self, seed: int, agents: int = 200) -> None:
        self._random = random.Random(seed)
        self.markets = markets()
        self.instruments = [market.instrument for market in self.markets]
        self.books = [MatchingBook() for _ in self.markets]
        rules = VenueRules(
            closed_orders_max=20, executions_max=20, events_max=50,
            insurance_fund=Decimal(1_000_000 * (seed % 2)),  # none: winners pay
        )  # fmt: skip
        self.venue = Venue(self.instruments, self.books, rules, seed=seed)
        self.fair = [float(market.start_px) for market in self.markets]
        for market in self.markets:
            self.venue.prices.set_last(market.instrument.index, market.start_px)
        self.start: Counter[str] = Counter()
        self.agents = [self._agent(n) for n in range(agents)]
        self.publishers = [
            DepthPublisher(
                book, DEPTH, f"orderbook.{DEPTH}.{i.symbol}", str(i.category),
                i.price_scale, i.qty_scale,
            )
            for book, i in zip(self.books, self.instruments, strict=True)
        ]  # fmt: skip
        self.decoder = BookDecoder()
        for publisher, i in zip(self.publishers, self.instruments, strict=True):
            self.decoder.add_book(publisher.topic, price_scale=i.price_scale, qty_scale=i.qty_scale)
        self.now_ms = START_MS
        self._steps = 0
        self.did: Counter[str] = Counter()
        self.refused: Counter[int] = Counter()
        self._trace = hashlib.sha256()

    def _agent(self, n: int) -> Account:
        rng = self._random
        dollars = Decimal(rng.choice([300, 2_000, 20_000, 200_000]))
        coins = {"USDT": dollars, "BTC": dollars / 50_000, "SOL": dollars / 20}
        for coin, amount in coins.items():
            self.start[coin] += amount  # type: ignore[assignment]  # exact sums of Decimal
        account = self.venue.account(self.venue.open_account(coins, silent=n % 8 != 0))
        if n % 5 == 0:
            self.venue.switch_mode(
                account.number, {"category": "linear", "coin": "USDT", "mode": 3}
            )
        if n % 3 == 0:
            for i in self.instruments[:3]:
                self.venue.set_leverage(
                    account.number,
                    {"category": str(i.category), "symbol": i.symbol,
                     "buyLeverage": "50", "sellLeverage": "50"},
                )  # fmt: skip
        if n % 7 == 0:
            self.venue.set_margin_mode(account.number, {"setMarginMode": "ISOLATED_MARGIN"})
        return account

    @property
    def trace(self) -> str:
        """Digest of every frame, every row that was taken, and what everybody has now."""
        digest = self._trace.copy()
        for account in self.agents:
            digest.update(repr(sorted(account.balances.items())).encode())
        return digest.hexdigest()

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._step()
            self._steps += 1
            if self._steps % TICK_EVERY == 0:
                self._pass_time()

    def _step(self) -> None:
        rng = self._random
        index = rng.randrange(len(self.instruments))
        account = self.agents[rng.randrange(len(self.agents))]
        if account.open_orders and rng.random() < 0.35:  # care for what is there already
            orders = list(account.open_orders.values())
            index = orders[rng.randrange(len(orders))].instrument.index
        self.fair[index] *= 1 + rng.gauss(0, 0.00003)
        try:
            self.did[self._act(account, index)] += 1
        except VenueError as e:
            self.refused[e.code] += 1
        self._publish(index)
        for event in account.take_events():
            self._trace.update(orjson.dumps(event.rows))

    def _act(self, account: Account, index: int) -> str:
        """One thing that an agent does; its name."""
        rng, venue, instrument = self._random, self.venue, self.instruments[index]
        which = {"category": str(instrument.category), "symbol": instrument.symbol}
        mine = [o for o in account.open_orders.values() if o.instrument is instrument]
        if len(account.open_orders) > OPEN_ORDERS_MAX:
            venue.cancel_all(account.number, which, self.now_ms)
            return "cancel_all"
        dice = rng.random()
        if mine and dice < 0.15:
            order = mine[rng.randrange(len(mine))]
            venue.cancel(account.number, which | {"orderId": order.order_id}, self.now_ms)
            return "cancel"
        if mine and dice < 0.4:
            return self._amend(account, mine[rng.randrange(len(mine))], which)
        if dice < 0.42 and instrument.category is not Category.SPOT:
            return self._protect(account, index, which)
        venue.place(account.number, which | self._order(account, index), self.now_ms)
        return "place"

    def _px_text(self, index: int, side: Side, ticks: int) -> str:
        i = self.instruments[index]
        px = int(self.fair[index]) // i.tick * i.tick - side * ticks * i.tick
        return f"{i.px_decimal(max(px, i.tick)):f}"

    def _qty_text(self, index: int, *, most: int = 8) -> str:
        market = self.markets[index]
        lot = market.instrument.lot
        qty = int(market.typical_qty * self._random.uniform(0.01, most / 8)) // lot * lot
        return f"{market.instrument.qty_decimal(max(qty, lot)):f}"

    def _order(self, account: Account, index: int) -> dict[str, Any]:
        rng, instrument = self._random, self.instruments[index]
        side = rng.choice([Side.BUY, Side.SELL])
        params: dict[str, Any] = {
            "side": side.wire,
            "qty": self._qty_text(index),
            "orderType": "Limit",
            "price": self._px_text(index, side, rng.randint(-15, 40)),
            "timeInForce": rng.choice(["GTC", "GTC", "GTC", "IOC", "FOK", "PostOnly"]),
            "smpType": rng.choice(["None", "CancelMaker", "CancelTaker", "CancelBoth"]),
        }
        if rng.random() < 0.12:
            params["orderType"] = "Market"
            if instrument.category is Category.SPOT:
                params["marketUnit"] = "baseCoin"
        if instrument.category is Category.SPOT:
            return params
        if account.hedged(instrument):
            params["positionIdx"] = rng.choice([1, 2])
        if account.position(instrument).qty * side < 0 and rng.random() < 0.3:
            params["reduceOnly"] = True
        elif rng.random() < 0.08:
            params["takeProfit"] = self._px_text(index, side, -rng.randint(60, 120))
            params["stopLoss"] = self._px_text(index, side, rng.randint(60, 120))
        if rng.random() < 0.06:
            rises = rng.choice([1, -1])
            params["triggerDirection"] = 1 if rises > 0 else 2
            params["triggerPrice"] = self._px_text(index, Side.BUY, -rises * rng.randint(1, 60))
        return params

    def _amend(self, account: Account, order: Order, which: dict[str, str]) -> str:
        index = order.instrument.index
        changes: dict[str, Any] = {"orderId": order.order_id}
        if self._random.random() < 0.6:
            changes["qty"] = self._qty_text(index)
        if self._random.random() < 0.6:
            changes["price"] = self._px_text(index, order.side, self._random.randint(-10, 40))
        self.venue.amend(account.number, which | changes, self.now_ms)
        return "amend"

    def _protect(self, account: Account, index: int, which: dict[str, str]) -> str:
        instrument = self.instruments[index]
        idx = self._random.choice(account.indexes(instrument))
        long = account.position(instrument, idx).qty >= 0
        if account.position(instrument, idx).qty == 0 and self._random.random() < 0.9:
            return "look"
        side = Side.BUY if long else Side.SELL
        stops: dict[str, Any] = {
            "positionIdx": idx,
            "tpslMode": self._random.choice(["Full", "Partial"]),
            "takeProfit": self._px_text(index, side, -self._random.randint(40, 120)),
            "stopLoss": self._px_text(index, side, self._random.randint(40, 120)),
        }
        if self._random.random() < 0.2:
            distance = instrument.tick * self._random.randint(20, 80)
            stops["trailingStop"] = f"{instrument.px_decimal(distance):f}"
        self.venue.trading_stop(account.number, which | stops, self.now_ms)
        return "protect"

    def _publish(self, index: int) -> None:
        """Frame to client; the client's book is the matching book at this `u`, uncrossed."""
        publisher, book = self.publishers[index], self.books[index]
        frame = publisher.delta(self.now_ms, self.now_ms, self.venue.next_seq())
        if frame is None:
            return
        self._trace.update(frame)
        self.did["frames"] += 1
        status = self.decoder.apply(frame)
        client = self.decoder.books[publisher.topic]
        bids, asks = book.levels(1, DEPTH), book.levels(-1, DEPTH)
        if status not in (ApplyStatus.APPLIED, ApplyStatus.SNAPSHOT):
            raise AssertionError(f"{publisher.topic}: {status!r} at u {publisher.u}")
        if client.u != publisher.u or client.levels() != (bids, asks):
            raise AssertionError(f"{publisher.topic}: another book at u {publisher.u}")
        if bids and asks and bids[0][0] >= asks[0][0]:
            raise AssertionError(f"{publisher.topic}: crossed at u {publisher.u}")

    def _pass_time(self) -> None:
        """A minute or so; now and then a jump that liquidates, now and then funding."""
        rng = self._random
        self.now_ms += rng.randint(30_000, 90_000)
        if rng.random() < 0.02:
            self.fair[rng.randrange(len(self.fair))] *= 1 + rng.uniform(-0.03, 0.03)
        self.venue.tick(self.now_ms)
        self.did["liquidations"] += len(self.venue.take_liquidations())
        self.venue.take_trades()
        for index in range(len(self.books)):
            self._publish(index)

    # What must hold at every moment.

    def check(self) -> None:
        """Quantities, coins and books, exactly. Raises AssertionError with the numbers."""
        for instrument, book in zip(self.instruments, self.books, strict=True):
            book.check()
            self._check_orders(instrument.index, book)
            held = sum(
                p.qty for a in self.agents for p in a.positions.values()
                if p.instrument is instrument
            )  # fmt: skip
            if held:
                raise AssertionError(f"{instrument.symbol}: accounts hold {held} among them")
        for coin in sorted(self.start):
            self._check_coin(coin)

    def _check_orders(self, index: int, book: MatchingBook) -> None:
        """What rests on the book is what accounts think rests there."""
        for account in self.agents:
            resting = {
                o.number: (int(o.side), o.px, o.leaves, account.number)
                for o in account.open_orders.values()
                if o.instrument.index == index and not o.waiting
            }
            on_book = {number: book.order(number) for number in book.owned_by(account.number)}
            if resting != on_book:
                raise AssertionError(f"account {account.number}: {resting} is not {on_book}")

    def _check_coin(self, coin: str) -> None:
        """Coins in accounts, fees and funding paid, less what the fund gave and what is open."""
        total, funding = Fraction(0), Fraction(0)
        for account in self.agents:
            total += Fraction(account.balances.get(coin, Decimal(0)))
            total += Fraction(account.fees.get(coin, Decimal(0)))
            funding += Fraction(account.funding.get(coin, Decimal(0)))
            for position in account.positions.values():
                if position.instrument.settle == coin:
                    sign = (1 if position.qty >= 0 else -1) * (-1 if position.inverse else 1)
                    total -= sign * Fraction(position.cost)
        total += funding - Fraction(self.venue.insurance.get(coin, Decimal(0)))
        if total != Fraction(self.start[coin]):
            raise AssertionError(f"{coin}: off by {float(total - Fraction(self.start[coin]))}")
        if funding != Fraction(self.venue.funding.market.get(coin, Decimal(0))):
            raise AssertionError(f"{coin}: funding is not what the market received")
        # Linear funding is exact, so it cancels; an inverse value is rounded, once a position.
        most = 0 if coin == "USDT" else Fraction(self.venue.funding.payments, 10**12)
        if abs(funding) > most:
            raise AssertionError(f"{coin}: longs and shorts differ by {float(funding)}")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Check that the venue conserves money.")
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--agents", type=int, default=300)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args(argv)
    day = TradingDay(args.seed, args.agents)
    chunks = 20
    for _ in range(chunks):
        day.run(args.orders // chunks)
        day.check()
    print(dict(sorted(day.did.items())))
    print({"refused": dict(sorted(day.refused.items()))})
    print({"funding payments": day.venue.funding.payments, "triggered": day.venue.triggered})
    print(day.trace)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
