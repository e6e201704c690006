"""The ways of one run to its venue: public feed, private stream, trade stream, gateway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastbook import BookDecoder
from fastbook.bybit.private import PrivateDecoder
from fastbook.core.histogram import Histogram
from fastbook.core.tape import Tape
from fastbook.types import Category, Instrument, OrderEvent

from .bybit.gateway import BATCH_MAX, RestGateway
from .bybit.private import TOPICS, PrivateStream, PrivateStreamConfig
from .bybit.public import PublicFeed, PublicFeedConfig
from .bybit.rest import RestClient
from .bybit.trade_stream import TradeStream, TradeStreamConfig
from .config import Config, Credentials, Endpoints
from .world import World

DEMO = "demo"

OnEvents = Callable[[Sequence[OrderEvent], int], None]
OnLink = Callable[[bool], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueLinks:
    """Makes each of them from the configuration; keeps none, begins none."""

    config: Config
    endpoints: Endpoints
    world: World
    instruments: Sequence[Instrument]

    @property
    def category(self) -> Category:
        return Category(self.config.venue.category)

    def feed(
        self,
        topics: Sequence[str],
        decoder: BookDecoder,
        on_books: Callable[[list[int], int], None],
        on_message: Callable[..., None],
        *,
        on_link: Callable[[str, bool, int], None],
        tape: Tape | None,
        latency: Histogram,
    ) -> PublicFeed:
        """Books of `topics`, and public trades where they are wanted."""
        market = self.config.market_data
        trades = [f"publicTrade.{i.symbol}" for i in self.instruments] if market.trades else []
        return PublicFeed(
            PublicFeedConfig(
                url=self.endpoints.public(self.category.value),
                topics=(*topics, *trades),
                topics_per_connection=market.topics_per_connection,
                connections_max=market.connections_max,
                ping_interval_s=market.ping_interval_s,
                pong_timeout_s=market.pong_timeout_s,
                stale_after_s=market.stale_after_s,
                backoff_cap_s=market.backoff_cap_s,
                attempts_per_5min=market.attempts_per_5min,
                ca_file=self.config.venue.ca_file,
            ),
            decoder,
            on_books,
            on_message,
            self.world.stamps,
            on_link=on_link,
            rng=self.world.rng,
            make_listener=self.world.make_listener,
            tape=tape,
            connect_ws=self.world.connect_ws,
            latency=latency,
        )

    def trade(
        self, rest: RestClient, credentials: Credentials, on_link: OnLink
    ) -> TradeStream | None:
        """None where orders are to leave by REST alone."""
        url = self.endpoints.ws_trade
        if self.config.execution.entry != "ws" or not url:
            return None
        return TradeStream(
            TradeStreamConfig(url=url, recv_window_ms=self.config.venue.recv_window_ms),
            credentials,
            self.world.stamps,
            rest.pacer,
            venue_now_ms=rest.venue_time.now_ms,
            resync=rest.sync_time,
            on_link=on_link,
            ca_file=self.config.venue.ca_file,
            rng=self.world.rng,
            connect_ws=self.world.connect_ws,
        )

    def gateway(
        self,
        rest: RestClient,
        trade: TradeStream | None,
        on_events: OnEvents,
        on_fatal: Callable[[BaseException], None],
    ) -> RestGateway:
        execution = self.config.execution
        # Demo accounts have no batches on spot.
        demo_spot = self.config.venue.environment == DEMO and self.category is Category.SPOT
        return RestGateway(
            rest,
            self.instruments,
            self.category,
            on_events,
            self.world.stamps,
            on_fatal=on_fatal,
            trade=trade,
            requests_in_flight_max=execution.requests_in_flight_max,
            cancels_in_flight_max=execution.cancels_in_flight_max,
            queue_max=execution.queue_max,
            batch_max=1 if demo_spot else BATCH_MAX,
        )

    def private(
        self,
        rest: RestClient,
        credentials: Credentials,
        on_events: OnEvents,
        on_link: OnLink,
        *,
        topic: str = "",
    ) -> PrivateStream:
        """`topic` is listened to beside the usual ones."""
        return PrivateStream(
            PrivateStreamConfig(
                url=self.endpoints.ws_private, topics=(*TOPICS, topic) if topic else TOPICS
            ),
            credentials,
            PrivateDecoder(self.instruments, self.category),
            on_events,
            on_link,
            self.world.stamps,
            venue_now_ms=rest.venue_time.now_ms,
            ca_file=self.config.venue.ca_file,
            rng=self.world.rng,
            connect_ws=self.world.connect_ws,
        )
