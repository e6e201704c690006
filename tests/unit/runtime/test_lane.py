"""Bounds, order and endings of a lane."""

from __future__ import annotations

import asyncio

from fastbook.runtime.bybit.lane import Lane


def test_bounds_and_order() -> None:
    async def run() -> None:
        errors: list[BaseException] = []
        lane = Lane("t", in_flight_max=2, queue_max=2, on_error=errors.append)
        gates = [asyncio.Event() for _ in range(5)]
        began: list[int] = []

        def job(n: int):  # type: ignore[no-untyped-def]  # a coroutine function, made for offer
            async def work() -> None:
                began.append(n)
                await gates[n].wait()

            return work

        assert [lane.offer(job(n)) for n in range(5)] == [True, True, True, True, False]
        assert lane.refused == 1
        await asyncio.sleep(0)
        assert began == [0, 1]
        assert lane.waiting == 2
        gates[1].set()
        await asyncio.sleep(0.01)
        assert began == [0, 1, 2]
        for gate in gates:
            gate.set()
        await lane.close(1.0)
        assert began == [0, 1, 2, 3]
        assert (lane.done, lane.idle, errors) == (4, True, [])
        assert not lane.offer(job(0))

    asyncio.run(run())


def test_error_of_a_job_is_told_and_the_lane_goes_on() -> None:
    async def run() -> None:
        errors: list[BaseException] = []
        lane = Lane("t", in_flight_max=1, queue_max=5, on_error=errors.append)
        done = asyncio.Event()

        async def bad() -> None:
            raise ZeroDivisionError

        async def good() -> None:
            done.set()

        lane.offer(bad)
        lane.offer(good)
        async with asyncio.timeout(5):
            await done.wait()
        assert [type(e) for e in errors] == [ZeroDivisionError]
        await lane.close(0)

    asyncio.run(run())


def test_close_starts_what_waits_so_that_it_can_say_so() -> None:
    async def run() -> None:
        lane = Lane("t", in_flight_max=1, queue_max=5, on_error=lambda e: None)
        told: list[int] = []

        def job(n: int):  # type: ignore[no-untyped-def]  # a coroutine function, made for offer
            async def work() -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    told.append(n)

            return work

        for n in range(4):
            assert lane.offer(job(n))
        async with asyncio.timeout(5):
            await lane.close(0.01)
        assert sorted(told) == [0, 1, 2, 3]

    asyncio.run(run())
