"""Times of subjects that run in turns, and the statistics of their ratios."""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Interval", "Pairs", "Subject", "interleave", "median", "speedup"]

PAUSE = 0.03
"""Seconds before each run, in which spinning threads of the previous run go to sleep.
(With 0.005 instead, PyTorch's inference after onnxruntime's took 12 % longer.)"""


@dataclass(frozen=True)
class Subject:
    """A subject, and the unit of its times.

    Attributes:
        run: runs it once; takes the number of the iteration, so that questions can vary.
        unit: the run by whose time its own is divided, a plain inference.
    """

    run: Callable[[int], object]
    unit: Callable[[int], object]


@dataclass(frozen=True)
class Interval:
    """A median and its 95 % confidence interval."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Pairs:
    """The times of one subject in seconds, one pair per round.

    Attributes:
        times: the times of the subject.
        units: the times of its unit, run directly before or after.
    """

    times: tuple[float, ...]
    units: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """The ratios, pair by pair, since a slow phase of the machine slows both."""
        return [time / unit for time, unit in zip(self.times, self.units, strict=True)]


def interleave(
    subjects: Mapping[str, Subject],
    rounds: int,
    *,
    warm_up: int = 3,
    pause: float = PAUSE,
    progress: Callable[[str], object] = lambda line: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Pairs]:
    """Run every subject once per round, directly before or after its unit.

    The order of the subjects is random in every round, with a fixed seed; the unit comes first in
    every second round. Warm-up runs are not counted. Garbage is collected only between runs.
    """
    for name, subject in subjects.items():
        progress(f"warming up: {name}")
        for iteration in range(warm_up):
            subject.unit(iteration)
            subject.run(iteration)
    gc.collect()
    gc.freeze()  # exclude existing objects from collection, which would take longer than some runs
    order = list(subjects)
    generator = random.Random(0)  # noqa: S311 - not for cryptography
    times: dict[str, list[float]] = {name: [] for name in order}
    units: dict[str, list[float]] = {name: [] for name in order}

    def timed(run: Callable[[int], object], iteration: int) -> float:
        gc.collect()
        time.sleep(pause)
        gc.disable()
        try:
            begin = clock()
            run(iteration)
            return clock() - begin
        finally:
            gc.enable()

    for iteration in range(rounds):
        progress(f"round {iteration + 1} of {rounds}")
        generator.shuffle(order)
        for name in order:
            subject = subjects[name]
            if iteration % 2:
                times[name].append(timed(subject.run, iteration))
                units[name].append(timed(subject.unit, iteration))
            else:
                units[name].append(timed(subject.unit, iteration))
                times[name].append(timed(subject.run, iteration))
    return {name: Pairs(tuple(times[name]), tuple(units[name])) for name in subjects}


def median(values: Sequence[float]) -> Interval:
    """The median with its distribution-free 95 % interval, by order statistics.

    The r-th smallest and the r-th largest of n independent values enclose the median with
    probability 1 - 2 P(B < r), B binomial (n, 1/2); r is the largest that keeps 95 %. For fewer
    than 6 values the interval is their range.

    Raises:
        ValueError: the sequence is empty.
    """
    if not values:
        raise ValueError("an empty sequence has no median")
    ordered, n = sorted(values), len(values)
    r, below = 0, 0.0
    while below + math.comb(n, r) / 2**n <= 0.025:
        below += math.comb(n, r) / 2**n
        r += 1
    rank = max(r - 1, 0)
    return Interval(statistics.median(ordered), ordered[rank], ordered[n - 1 - rank])


def speedup(slow: Pairs, fast: Pairs) -> Interval:
    """The speed-up of ``fast`` over ``slow``, round by round."""
    return median([s / f for s, f in zip(slow.ratios, fast.ratios, strict=True)])
