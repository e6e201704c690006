"""The table of one connection: what it asks, when, and what it makes of the answers."""

from __future__ import annotations

import math
from random import Random

import pytest

from fastbook.runtime.bybit.subscriptions import (
    OUTSTANDING_MAX,
    Request,
    SubscriptionLimits,
    SubscriptionTable,
    TopicState,
)

LIMITS = SubscriptionLimits(
    args_per_request=10,
    requests_per_s=10,
    snapshot_timeout_s=5.0,
    resync_min_interval_s=1.0,
    resyncs_per_min=3,
)
BTC, ETH, SOL = "orderbook.50.BTCUSDT", "orderbook.50.ETHUSDT", "orderbook.50.SOLUSDT"
TRADES = "publicTrade.BTCUSDT"


def table(*topics: str, limits: SubscriptionLimits = LIMITS) -> SubscriptionTable:
    return SubscriptionTable(topics, [t for t in topics if t.startswith("orderbook.")], limits)


def ack(
    request: Request, *, success: bool = True, text: str = "", req_id: bool = True
) -> dict[str, object]:
    answer: dict[str, object] = {"success": success, "ret_msg": text, "op": request.op}
    return answer | ({"req_id": request.req_id} if req_id else {})


def state(subject: SubscriptionTable, topic: str) -> TopicState:
    return subject.states()[topic][0]


def live(*topics: str) -> SubscriptionTable:
    """A table whose topics all came up at time 0."""
    subject = table(*topics)
    for request in subject.poll(0.0):
        subject.on_answer(ack(request))
    for topic in topics:
        subject.on_data(topic)
    return subject


def test_asks_in_requests_of_ten_and_paces_them() -> None:
    topics = [f"orderbook.50.S{i}" for i in range(125)]
    subject = table(*topics)

    first = subject.poll(0.0)
    assert [len(r.topics) for r in first] == [10] * 10
    assert subject.poll(0.5) == []
    assert subject.due_in_s(0.5) == pytest.approx(0.5)
    second = subject.poll(1.0)
    assert [len(r.topics) for r in second] == [10, 10, 5]
    assert [t for r in first + second for t in r.topics] == topics
    assert len({r.req_id for r in first + second}) == 13


def test_a_book_is_live_by_its_snapshot_and_not_by_the_answer() -> None:
    subject = table(BTC)
    (request,) = subject.poll(0.0)

    subject.on_answer(ack(request))
    assert state(subject, BTC) is TopicState.REQUESTED
    subject.on_data(BTC)
    assert state(subject, BTC) is TopicState.LIVE
    assert not subject.waiting


def test_data_may_come_before_the_answer() -> None:
    subject = table(BTC, TRADES)
    (request,) = subject.poll(0.0)

    subject.on_data(BTC)
    subject.on_data(TRADES)
    assert state(subject, BTC) is state(subject, TRADES) is TopicState.LIVE
    subject.on_answer(ack(request))
    assert subject.counters.acks == 1
    assert subject.due_in_s(0.0) == math.inf


def test_trades_are_live_by_the_answer() -> None:
    subject = table(TRADES)
    (request,) = subject.poll(0.0)

    subject.on_answer(ack(request))
    assert state(subject, TRADES) is TopicState.LIVE


def test_answers_without_req_id_are_taken_in_order() -> None:
    subject = table(*(f"publicTrade.S{i}" for i in range(20)))
    first, second = subject.poll(0.0)

    subject.on_answer(ack(first, req_id=False) | {"req_id": ""})
    assert {state(subject, t) for t in first.topics} == {TopicState.LIVE}
    assert {state(subject, t) for t in second.topics} == {TopicState.REQUESTED}


def test_an_answer_to_nothing_is_counted() -> None:
    subject = live(BTC)

    subject.on_answer({"success": True, "ret_msg": "", "req_id": "other", "op": "subscribe"})
    subject.on_answer({"type": "COMMAND_RESP", "data": None})
    assert subject.counters.acks_unmatched == 2
    assert state(subject, BTC) is TopicState.LIVE


def test_a_refusal_fails_what_it_names_and_asks_for_the_others_one_by_one() -> None:
    subject = table(BTC, ETH, SOL)
    (request,) = subject.poll(0.0)

    text = f"error:handler not found,topic:{ETH}"
    subject.on_answer(ack(request, success=False, text=text))
    assert subject.states()[ETH] == (TopicState.FAILED, text)
    again = subject.poll(0.0)
    assert [r.topics for r in again] == [(BTC,), (SOL,)]
    for topic in (BTC, SOL):
        subject.on_data(topic)
    assert state(subject, BTC) is state(subject, SOL) is TopicState.LIVE
    assert subject.due_in_s(0.0) == math.inf  # the failed one is left alone
    assert subject.poll(59.9) == []
    assert [r.topics for r in subject.poll(60.0)] == [(ETH,)]  # for a while


def test_a_refusal_names_a_topic_and_not_the_start_of_another() -> None:
    longer = BTC + "-27MAR26"
    subject = table(BTC, longer)
    (request,) = subject.poll(0.0)

    subject.on_answer(ack(request, success=False, text=f"Invalid symbol :[{longer}]"))
    assert state(subject, longer) is TopicState.FAILED
    assert state(subject, BTC) is TopicState.WANTED


def test_a_refusal_that_names_nothing_is_split_until_it_is_known() -> None:
    subject = table(BTC, ETH)
    (request,) = subject.poll(0.0)

    subject.on_answer(ack(request, success=False, text="Params Error"))
    first, second = subject.poll(0.0)
    subject.on_answer(ack(first, success=False, text="Params Error"))
    subject.on_answer(ack(second))
    assert state(subject, first.topics[0]) is TopicState.FAILED
    assert state(subject, second.topics[0]) is TopicState.REQUESTED


def test_already_subscribed_is_success() -> None:
    subject = table(TRADES, BTC)
    (request,) = subject.poll(0.0)

    text = f"error:already subscribed,topic:{TRADES}"
    subject.on_answer(ack(request, success=False, text=text))
    assert state(subject, TRADES) is TopicState.LIVE
    assert [r.topics for r in subject.poll(0.0)] == [(BTC,)]


def test_the_other_dialect_names_what_it_answers() -> None:
    subject = table(BTC, ETH, TRADES)
    subject.poll(0.0)

    subject.on_answer(
        {
            "success": True,
            "type": "COMMAND_RESP",
            "data": {"successTopics": [BTC, TRADES], "failTopics": [ETH, "unknown"]},
        }
    )
    assert state(subject, BTC) is TopicState.REQUESTED
    assert state(subject, TRADES) is TopicState.LIVE
    assert state(subject, ETH) is TopicState.FAILED


def test_a_resync_unsubscribes_and_subscribes_once() -> None:
    subject = live(BTC, ETH)

    assert subject.resync(BTC, 10.0)
    assert not subject.resync(BTC, 10.0)
    assert [(r.op, r.topics) for r in subject.poll(10.0)] == [
        ("unsubscribe", (BTC,)),
        ("subscribe", (BTC,)),
    ]
    assert state(subject, ETH) is TopicState.LIVE
    assert subject.poll(10.1) == []
    subject.on_data(BTC)
    assert state(subject, BTC) is TopicState.LIVE


def test_resyncs_of_one_topic_keep_their_distance() -> None:
    subject = live(BTC)
    subject.resync(BTC, 10.0)
    subject.poll(10.0)
    subject.on_data(BTC)

    assert subject.resync(BTC, 10.2)
    assert subject.poll(10.9) == []
    assert subject.due_in_s(10.9) == pytest.approx(0.1)
    assert len(subject.poll(11.0)) == 2


def test_a_loss_right_behind_the_snapshot_is_not_forgotten() -> None:
    subject = table(BTC)
    subject.poll(0.0)

    assert subject.resync(BTC, 0.1)
    assert subject.poll(0.9) == []  # one subscribe a second and topic
    assert [r.op for r in subject.poll(1.0)] == ["unsubscribe", "subscribe"]


def test_too_many_resyncs_in_a_minute_end_the_connection() -> None:
    subject = live(BTC)
    for now_s in (10.0, 20.0, 30.0):
        assert subject.resync(BTC, now_s)
        subject.poll(now_s)
        subject.on_data(BTC)
        assert not subject.exhausted

    subject.resync(BTC, 40.0)
    assert BTC in subject.exhausted
    subject.restart()
    assert not subject.exhausted


def test_a_topic_ends_its_connection_once_and_is_then_left_alone() -> None:
    subject = live(BTC, ETH)
    reconnects, asked_s = 0, []
    for tenth in range(10, 3000):
        now_s = tenth / 10
        if state(subject, BTC) is TopicState.LIVE:
            subject.resync(BTC, now_s)  # spoilt again, whatever we do
        if subject.exhausted:
            reconnects += 1
            subject.restart()
        for request in subject.poll(now_s):
            asked_s += [now_s] * (request.op == "subscribe" and BTC in request.topics)
            for topic in request.topics:
                subject.on_data(topic)

    assert reconnects == 1
    assert subject.counters.quarantines > 0
    assert len(asked_s) < 25  # of 300, one a second, without the quarantine
    assert state(subject, ETH) is TopicState.LIVE


def test_a_topic_without_a_snapshot_ends_its_connection_once() -> None:
    subject = table(BTC)
    reconnects = 0
    for now_s in range(300):
        subject.poll(float(now_s))
        if subject.exhausted:
            reconnects += 1
            subject.restart()

    assert reconnects == 1
    assert subject.counters.quarantines > 0


def test_resyncs_spread_over_time_do_not() -> None:
    subject = live(BTC)
    for minute in range(1, 20):
        now_s = minute * 21.0
        subject.resync(BTC, now_s)
        subject.poll(now_s)
        subject.on_data(BTC)

    assert not subject.exhausted


def test_no_snapshot_is_asked_for_once_more_and_then_ends_the_connection() -> None:
    subject = table(BTC)
    subject.poll(0.0)

    assert subject.due_in_s(1.0) == pytest.approx(4.0)
    assert subject.poll(4.9) == []
    assert [r.op for r in subject.poll(5.0)] == ["unsubscribe", "subscribe"]
    assert not subject.exhausted
    assert subject.poll(10.0) == []
    assert "no snapshot" in subject.exhausted


def test_a_lost_answer_for_trades_is_asked_again_and_then_believed() -> None:
    subject = table(TRADES)
    subject.poll(0.0)

    assert [r.op for r in subject.poll(5.0)] == ["subscribe"]
    subject.poll(10.0)
    assert state(subject, TRADES) is TopicState.LIVE
    assert subject.counters.unconfirmed == 1
    assert not subject.exhausted


def test_a_new_connection_asks_for_everything_and_for_the_failed_alone() -> None:
    subject = table(BTC, ETH, SOL)
    (request,) = subject.poll(0.0)
    subject.on_answer(ack(request, success=False, text=f"not found: {ETH}"))

    subject.restart()
    assert [r.topics for r in subject.poll(100.0)] == [(BTC, SOL), (ETH,)]
    subject.on_answer(ack(request))  # of the old connection
    assert subject.counters.acks_unmatched == 1


def test_unanswered_requests_do_not_pile_up() -> None:
    limits = SubscriptionLimits(
        args_per_request=1,
        requests_per_s=2 * OUTSTANDING_MAX,
        snapshot_timeout_s=5.0,
        resync_min_interval_s=1.0,
        resyncs_per_min=3,
    )
    subject = table(*(f"publicTrade.S{i}" for i in range(OUTSTANDING_MAX + 7)), limits=limits)

    subject.poll(0.0)
    assert subject.counters.acks_given_up == 7


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_lost_every_topic_ends_live_or_the_connection_ends(seed: int) -> None:
    """A venue that loses answers and snapshots at random; never two requests in flight a topic."""
    rng = Random(seed)
    topics = [f"orderbook.50.S{i}" for i in range(30)] + [f"publicTrade.S{i}" for i in range(10)]
    subject, now_s = table(*topics), 0.0
    asked: dict[str, float] = {}
    while not subject.exhausted and now_s < 600.0:
        for request in subject.poll(now_s):
            if request.op == "subscribe":
                for topic in request.topics:
                    assert now_s - asked.get(topic, -math.inf) >= LIMITS.resync_min_interval_s
                    asked[topic] = now_s
            if rng.random() < 0.7:
                subject.on_answer(ack(request))
            for topic in request.topics if request.op == "subscribe" else ():
                if rng.random() < 0.9:
                    subject.on_data(topic)
        if rng.random() < 0.05:
            subject.resync(rng.choice(topics[:30]), now_s)
        if (due_in_s := subject.due_in_s(now_s)) == math.inf:
            break
        now_s += max(due_in_s, 0.05)

    if not subject.exhausted:
        assert {s for s, _ in subject.states().values()} == {TopicState.LIVE}
