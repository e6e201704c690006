"""Pings and silence, on a clock of the test."""

from fastbook.runtime.bybit.heartbeat import Beat, Heartbeat
from fastbook.runtime.bybit.staleness import StalenessWatch


def heartbeat() -> Heartbeat:
    return Heartbeat(ping_interval_s=20.0, pong_timeout_s=10.0, silence_s=5.0)


def test_pings_at_once_and_then_every_interval() -> None:
    heart, pinged_s = heartbeat(), list[int]()
    for now_s in range(65):
        if heart.poll(float(now_s), now_s) is Beat.PING:
            pinged_s.append(now_s)
            heart.on_pong()

    assert pinged_s == [0, 20, 40, 60]
    assert heart.pongs_missed == 0


def test_no_pong_and_no_data_is_death() -> None:
    heart = heartbeat()

    assert heart.poll(0.0, 0) is Beat.PING
    assert heart.poll(9.9, 0) is Beat.NOTHING
    assert heart.poll(10.0, 0) is Beat.DEAD


def test_a_missing_pong_while_data_flows_is_only_counted() -> None:
    heart = heartbeat()

    beats = [heart.poll(float(now_s), now_s) for now_s in range(300)]

    assert Beat.DEAD not in beats
    assert beats.count(Beat.PING) == 15
    assert heart.pongs_missed == 15


def test_silence_is_asked_about_before_the_interval_is_over() -> None:
    heart = heartbeat()
    heart.poll(0.0, 0)
    heart.poll(0.5, 1)  # the pong
    heart.on_pong()

    assert heart.due_in_s(0.5) == 5.0
    assert heart.poll(5.4, 1) is Beat.NOTHING
    assert heart.poll(5.5, 1) is Beat.PING
    assert heart.due_in_s(5.5) == 10.0
    assert heart.poll(15.5, 1) is Beat.DEAD


def test_a_quiet_peer_that_answers_is_alive() -> None:
    heart, frames = heartbeat(), 0
    pings = 0
    for tick in range(1200):
        beat = heart.poll(tick / 4, frames)
        assert beat is not Beat.DEAD
        if beat is Beat.PING:
            pings += 1
            frames += 1
            heart.on_pong()

    assert 15 <= pings <= 60  # 300 s: at least one an interval, at most one a silence


def test_a_book_is_stale_after_its_silence_and_only_then() -> None:
    watch = StalenessWatch(stale_after_s=4.0)

    assert watch.look(0.0, [("a", 1), ("b", 1)]) == []
    assert watch.look(3.0, [("a", 1), ("b", 2)]) == []
    assert watch.look(4.0, [("a", 1), ("b", 2)]) == ["a"]
    assert watch.look(6.9, [("a", 5), ("b", 2)]) == []
    assert watch.look(7.0, [("a", 5), ("b", 2)]) == ["b"]


def test_a_jump_of_the_wall_clock_makes_nothing_stale() -> None:
    watch = StalenessWatch(stale_after_s=4.0)
    watch.look(0.0, [("a", 1_000)])

    assert watch.look(3.9, [("a", 1)]) == []  # stamped an hour ago by a clock set back
    assert watch.look(7.8, [("a", 1)]) == []
    assert watch.look(8.0, [("a", 1)]) == ["a"]
