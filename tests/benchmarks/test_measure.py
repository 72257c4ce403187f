"""The benchmark's arithmetic: intervals, the order of the runs, ratios."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.measure import Interval, Pairs, Subject, interleave, median, speedup


@pytest.mark.parametrize(
    ("count", "place"),
    # the tables of the sign test: n, and the rank of the lower bound of the interval
    [(6, 1), (8, 1), (9, 2), (15, 4), (20, 6), (30, 10), (50, 18)],
)
def test_the_interval_matches_the_tables(count: int, place: int) -> None:
    values = list(range(1, count + 1))
    assert median(values[::-1]) == Interval((count + 1) / 2, place, count + 1 - place)


def test_few_values_give_their_range() -> None:
    assert median([3.0]) == Interval(3, 3, 3)
    assert median([4.0, 1.0, 2.0]) == Interval(2, 1, 4)
    with pytest.raises(ValueError, match="an empty sequence has no median"):
        median([])


def test_the_interval_has_its_nominal_coverage() -> None:
    random = np.random.default_rng(0)
    samples = random.exponential(size=(4000, 30))  # skewed, as times are
    intervals = [median(list(sample)) for sample in samples]
    covered = np.mean([one.low <= math.log(2) <= one.high for one in intervals])
    assert 0.95 <= covered <= 0.97  # the binomial distribution gives 0.957


class Machine:
    """A clock that only runs advance, and the order of the runs."""

    def __init__(self) -> None:
        self.time, self.ran = 0.0, list[str]()

    def run(self, name: str, seconds: Callable[[int], float]) -> Callable[[int], object]:
        def run(iteration: int) -> None:
            self.ran.append(name)
            self.time += seconds(iteration)

        return run


def measured(machine: Machine, rounds: int, warm_up: int) -> dict[str, Pairs]:
    unit = machine.run("unit", lambda i: 2.0 + i)
    subjects = {
        name: Subject(machine.run(name, lambda i, k=k: k * (2.0 + i)), unit)  # type: ignore[misc]
        for name, k in (("a", 1), ("b", 3))
    }
    return interleave(subjects, rounds, warm_up=warm_up, pause=0, clock=lambda: machine.time)


def test_every_round_pairs_each_subject_with_its_unit() -> None:
    machine = Machine()
    times = measured(machine, rounds=6, warm_up=0)
    assert times["a"] == Pairs((2, 3, 4, 5, 6, 7), (2, 3, 4, 5, 6, 7))
    assert times["b"].units == times["a"].units
    assert times["b"].ratios == [3] * 6
    rounds = [machine.ran[i : i + 4] for i in range(0, 24, 4)]
    for i, ran in enumerate(rounds):
        assert sorted(ran) == ["a", "b", "unit", "unit"]
        assert [name == "unit" for name in ran] == [i % 2 == 0, i % 2 == 1] * 2
    assert {tuple(name for name in ran if name != "unit") for ran in rounds} == {
        ("a", "b"),
        ("b", "a"),
    }


def test_warm_up_runs_are_not_counted() -> None:
    machine = Machine()
    times = measured(machine, rounds=1, warm_up=4)
    assert len(times["a"].times) == 1
    assert machine.ran.count("a") == 5


def test_speedups_are_taken_within_a_round() -> None:
    # the second round is slow for both; the ratio of the medians would not be 4
    ours = Pairs((1, 50, 1), (1, 10, 1))
    theirs = Pairs((4, 200, 8), (1, 10, 2))
    assert speedup(theirs, ours) == Interval(4, 4, 4)
