"""Times of things that are done in turns, and what can be said of their ratios."""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Contestant", "Interval", "Pairs", "interleave", "median", "speedup"]

PAUSE = 0.03
"""Seconds before each run: threads that the run before has left spinning go to sleep in them.
(With 0.005 instead, PyTorch's inference after onnxruntime's took 12 % longer.)"""


@dataclass(frozen=True)
class Contestant:
    """Something that is timed, and what it is measured by.

    Attributes:
        run: does it once; it is told which iteration this is, so that it can ask something new.
        unit: what one run is divided by, a plain inference.
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
    """The times of one contestant, seconds; one pair a round.

    Attributes:
        times: its own.
        units: those of its unit, run directly before or after.
    """

    times: tuple[float, ...]
    units: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """Pair by pair: what slows the machine for a while slows both."""
        return [time / unit for time, unit in zip(self.times, self.units, strict=True)]


def interleave(
    contestants: Mapping[str, Contestant],
    rounds: int,
    *,
    warm_up: int = 3,
    pause: float = PAUSE,
    progress: Callable[[str], object] = lambda line: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Pairs]:
    """Runs every contestant once a round, each beside its unit.

    The order of the contestants is drawn anew in every round, from a fixed seed, and the unit goes
    first in every second round. Warm-up runs are not counted. Garbage is collected between runs
    and not within them.
    """
    for name, contestant in contestants.items():
        progress(f"warming up: {name}")
        for iteration in range(warm_up):
            contestant.unit(iteration)
            contestant.run(iteration)
    gc.collect()
    gc.freeze()  # what is there already is looked through no more, or it costs more than some runs
    order = list(contestants)
    draw = random.Random(0)  # noqa: S311 - an order, no secret
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
        draw.shuffle(order)
        for name in order:
            contestant = contestants[name]
            if iteration % 2:
                times[name].append(timed(contestant.run, iteration))
                units[name].append(timed(contestant.unit, iteration))
            else:
                units[name].append(timed(contestant.unit, iteration))
                times[name].append(timed(contestant.run, iteration))
    return {name: Pairs(tuple(times[name]), tuple(units[name])) for name in contestants}


def median(values: Sequence[float]) -> Interval:
    """The median with its 95 % interval by order statistics, free of any distribution.

    The r-th smallest and the r-th largest of n independent values enclose the median with
    probability 1 - 2 P(B < r), B binomial (n, 1/2); r is the largest that leaves 95 %. Below 6
    values none does, and the interval is their range.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("there is no median of no values")
    ordered, n = sorted(values), len(values)
    r, below = 0, 0.0
    while below + math.comb(n, r) / 2**n <= 0.025:
        below += math.comb(n, r) / 2**n
        r += 1
    place = max(r - 1, 0)
    return Interval(statistics.median(ordered), ordered[place], ordered[n - 1 - place])


def speedup(slow: Pairs, fast: Pairs) -> Interval:
    """How many times ``fast`` is faster than ``slow``, round by round."""
    return median([s / f for s, f in zip(slow.ratios, fast.ratios, strict=True)])
