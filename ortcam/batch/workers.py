"""A thread pool that works on several pictures at once, returns results in order, and can stop.

Threads suffice: NumPy and onnxruntime release the interpreter while they compute, so one picture
uses the processor time that another leaves idle.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ortcam.errors import InputError

__all__ = ["CancelCheck", "Stopped", "default_jobs", "in_order"]

T = TypeVar("T")

CancelCheck = Callable[[], None]
"""Cancellation check: raises :class:`Stopped` once the caller has gone."""

MAX_DEFAULT_JOBS = 4
"""The largest default: each job takes memory, and onnxruntime has threads of its own."""


class Stopped(Exception):  # noqa: N818, a signal within this package
    """The caller no longer waits for the result."""


def default_jobs() -> int:
    """Return the default number of jobs: one per available core, at most four."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(MAX_DEFAULT_JOBS, cores or 1)


def in_order(tasks: Iterable[Callable[[CancelCheck], T]], jobs: int) -> Iterator[T]:
    """Yield the results of tasks in order, while a few tasks run ahead.

    If the iteration ends early, on Ctrl-C too, running tasks end at their next cancellation check.

    Args:
        tasks: each takes a cancellation check, which it calls regularly.
        jobs: how many tasks run at once; 1 runs them in the caller's thread.

    Raises:
        InputError: ``jobs`` is less than 1.

    Example:
        >>> list(in_order([lambda check, i=i: i * i for i in range(4)], jobs=2))
        [0, 1, 4, 9]
    """
    if jobs < 1:
        raise InputError(f"jobs must be at least 1, got {jobs}")
    if jobs == 1:
        for task in tasks:
            yield task(lambda: None)
        return
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise Stopped

    pending: deque[Future[T]] = deque()
    with ThreadPoolExecutor(jobs, thread_name_prefix="ortcam") as pool:
        try:
            for task in tasks:
                pending.append(pool.submit(task, check))
                if len(pending) == 2 * jobs:  # twice, so that a slow task does not stall the rest
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
