"""Several tasks at once: their results in order, and their end where nobody waits for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from ortcam.batch.workers import CancelCheck, Stopped, in_order
from ortcam.errors import InputError

WAIT = 10.0


def numbered(
    do: Callable[[int, CancelCheck], int], count: int
) -> list[Callable[[CancelCheck], int]]:
    return [lambda going, i=i: do(i, going) for i in range(count)]  # type: ignore[misc]


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_results_are_in_order_whoever_ends_first(jobs: int) -> None:
    def do(i: int, _: CancelCheck) -> int:
        time.sleep(0.02 if i % 3 == 0 else 0)
        return i

    assert list(in_order(numbered(do, 12), jobs)) == list(range(12))


def test_as_many_work_at_once_as_asked_and_no_more_are_begun_than_are_needed() -> None:
    together, begun = threading.Barrier(3), []

    def do(i: int, _: CancelCheck) -> int:
        begun.append(i)
        together.wait(WAIT)  # breaks unless three are at it
        return i

    results = in_order(numbered(do, 30), 3)
    assert next(results) == 0
    assert len(begun) <= 6
    assert list(results) == list(range(1, 30))


def test_one_job_works_in_the_caller() -> None:
    threads = list(in_order([lambda _: threading.current_thread()], 1))
    assert threads == [threading.current_thread()]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_work_ends_where_nobody_waits_for_it(error: type[BaseException]) -> None:
    begun, ended = threading.Event(), threading.Event()

    def do(i: int, going: CancelCheck) -> int:
        if i == 0:
            assert begun.wait(WAIT)
            raise error
        begun.set()
        try:
            for _ in range(1000):
                time.sleep(WAIT / 1000)
                going()
        except Stopped:
            ended.set()
            raise
        return i

    start = time.monotonic()
    with pytest.raises(error):
        list(in_order(numbered(do, 2), 2))
    assert ended.is_set()
    assert time.monotonic() - start < WAIT / 2


def test_what_has_not_begun_is_never_begun_where_the_iteration_ends() -> None:
    begun: list[int] = []

    def do(i: int, going: CancelCheck) -> int:
        begun.append(i)
        while i:
            time.sleep(0.001)
            going()
        return i

    results = in_order(numbered(do, 100), 2)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert set(begun) <= {0, 1, 2}


def test_no_jobs_are_refused() -> None:
    with pytest.raises(InputError, match="jobs is 0; it is 1 or more"):
        next(in_order([lambda _: 0], 0))
