"""Several tasks at once: results in order, and an early end if the caller stops."""

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
    return [lambda check, i=i: do(i, check) for i in range(count)]  # type: ignore[misc]


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_results_are_in_order_whichever_ends_first(jobs: int) -> None:
    def do(i: int, _: CancelCheck) -> int:
        time.sleep(0.02 if i % 3 == 0 else 0)
        return i

    assert list(in_order(numbered(do, 12), jobs)) == list(range(12))


def test_all_jobs_run_at_once_and_few_run_ahead() -> None:
    together, begun = threading.Barrier(3), []

    def do(i: int, _: CancelCheck) -> int:
        begun.append(i)
        together.wait(WAIT)  # breaks unless three run
        return i

    results = in_order(numbered(do, 30), 3)
    assert next(results) == 0
    assert len(begun) <= 6
    assert list(results) == list(range(1, 30))


def test_one_job_runs_in_the_callers_thread() -> None:
    threads = list(in_order([lambda _: threading.current_thread()], 1))
    assert threads == [threading.current_thread()]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_running_work_ends_if_the_caller_stops(error: type[BaseException]) -> None:
    begun, ended = threading.Event(), threading.Event()

    def do(i: int, check: CancelCheck) -> int:
        if i == 0:
            assert begun.wait(WAIT)
            raise error
        begun.set()
        try:
            for _ in range(1000):
                time.sleep(WAIT / 1000)
                check()
        except Stopped:
            ended.set()
            raise
        return i

    start = time.monotonic()
    with pytest.raises(error):
        list(in_order(numbered(do, 2), 2))
    assert ended.is_set()
    assert time.monotonic() - start < WAIT / 2


def test_pending_work_never_begins_once_the_iteration_ends() -> None:
    begun: list[int] = []

    def do(i: int, check: CancelCheck) -> int:
        begun.append(i)
        while i:
            time.sleep(0.001)
            check()
        return i

    results = in_order(numbered(do, 100), 2)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert set(begun) <= {0, 1, 2}


def test_no_jobs_are_refused() -> None:
    with pytest.raises(InputError, match="jobs must be at least 1, got 0"):
        next(in_order([lambda _: 0], 0))
