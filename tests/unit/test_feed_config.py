"""What the feed refuses to start with, and how topics spread over connections."""

import pytest

from fastbook.errors import ConfigError
from fastbook.runtime.bybit.feed_config import ARGS_CHARS_MAX, PublicFeedConfig, shard

URL = "ws://127.0.0.1:1/v5/public/linear"


def topics(count: int, padding: int = 0) -> tuple[str, ...]:
    return tuple(f"orderbook.50.S{i:04}{'X' * padding}" for i in range(count))


def test_all_problems_come_in_one_message() -> None:
    with pytest.raises(ConfigError) as error:
        PublicFeedConfig(
            url="https://x", topics=(), ping_interval_s=0.0, args_per_request=0, ca_file="a.pem"
        )

    text = str(error.value)
    for part in ("url", "topics", "ping_interval_s", "args_per_request", "ca_file"):
        assert part in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"topics": ("a", "a")},
        {"topics": ("a\n",)},
        {"topics": topics(3), "topics_per_connection": 1, "connections_max": 2},
        {"stale_after_s": float("nan")},
        {"backoff_cap_s": float("inf")},
        {"frame_bytes_max": 10, "topics": ("a",)},
        {"frame_bytes_max": 1 << 30},
        {"subscribe_requests_per_s": 1},
        {"resync_min_interval_s": -1.0},
    ],
)
def test_a_wrong_value_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        PublicFeedConfig(**{"url": URL, "topics": ("a",), **wrong})  # type: ignore[arg-type]


def test_topics_fill_as_few_connections_as_allowed_evenly() -> None:
    config = PublicFeedConfig(url=URL, topics=topics(25), topics_per_connection=10)

    shards = shard(config)

    assert sorted(len(s) for s in shards) == [8, 8, 9]
    assert sorted(t for s in shards for t in s) == sorted(config.topics)


def test_the_character_limit_of_a_connection_splits_too() -> None:
    config = PublicFeedConfig(url=URL, topics=topics(100, padding=300))

    shards = shard(config)

    assert len(shards) > 1
    assert all(sum(map(len, s)) <= ARGS_CHARS_MAX for s in shards)


def test_more_characters_than_the_connections_carry_is_refused() -> None:
    config = PublicFeedConfig(url=URL, topics=topics(100, padding=300), connections_max=1)

    with pytest.raises(ConfigError, match="more than 1 connections"):
        shard(config)
