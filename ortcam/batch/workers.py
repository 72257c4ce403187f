"""Several pictures worked on at once: results in order, and work that can be broken off.

By threads, as NumPy and onnxruntime leave Python to others while they compute: what one picture
takes of the processor fills what another leaves of it, or of a GPU.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ortcam.errors import InputError

__all__ = ["CancelCheck", "Stopped", "in_order", "usual"]

T = TypeVar("T")


CancelCheck = Callable[[], None]
"""Work calls it now and then; it raises :class:`Stopped` where nobody waits for it any more."""


MOST = 4
"""At once where nobody says how many: each takes memory, and onnxruntime has threads of its own."""


class Stopped(Exception):  # noqa: N818, a signal within this package
    """Nobody waits for this work any more."""


def usual() -> int:
    """How many at once where nobody says: one for each core that there is to use, up to four."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(MOST, cores or 1)


def in_order(tasks: Iterable[Callable[[CancelCheck], T]], jobs: int) -> Iterator[T]:
    """The results of tasks in their order, a few of which are worked on ahead.

    Where the iteration ends early, by Ctrl-C too, what is being worked on
    ends where it next asks whether to go on.

    Args:
        tasks: each is given what it is to call now and then.
        jobs: how many are worked on at once; 1 works in the caller's own thread.

    Raises:
        InputError: ``jobs`` is below 1.
    """
    if jobs < 1:
        raise InputError(f"jobs is {jobs}; it is 1 or more")
    if jobs == 1:
        for task in tasks:
            yield task(lambda: None)
        return
    stop = threading.Event()

    def going() -> None:
        if stop.is_set():
            raise Stopped

    ahead: deque[Future[T]] = deque()
    with ThreadPoolExecutor(jobs, thread_name_prefix="ortcam-evaluate") as pool:
        try:
            for task in tasks:
                ahead.append(pool.submit(task, going))
                if len(ahead) == 2 * jobs:  # a slow one does not keep the others waiting
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
