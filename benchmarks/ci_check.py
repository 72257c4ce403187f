"""The few ratios that CI watches, in a minute or two and without PyTorch.

A busy machine slows single runs and whole tries, a slower program slows all of them. So the best
try counts, and the check fails only if all are too slow.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from benchmarks import subjects
from benchmarks.agreement import TOLERANCE, difference
from benchmarks.bounds import ci_ratios
from benchmarks.measure import Pairs, interleave, median
from benchmarks.networks import NETWORKS, tensor

__all__ = ["check", "too_slow"]

ROUNDS = 7
TRIES = 4
PROVIDER = "CPUExecutionProvider"


def check(out: Path) -> int:
    """Measure, print the results, and return the exit status: 1 if a row is too slow, else 0."""
    expected, factor = ci_ratios()
    network, folder = dataclasses.replace(NETWORKS["shipped"], batches=False), out / "benchmark"
    folder.mkdir(parents=True, exist_ok=True)
    plain = folder / "short.onnx"
    assert network.build is not None
    network.build(plain)
    unit = subjects.PlainInference(plain, tensor(network), PROVIDER)
    rows = subjects.rows(network, plain, folder, PROVIDER, unit)
    (last, four) = (rows[name].maps for name in ("last-2", "four-2"))
    assert last is not None
    assert four is not None
    if not difference(last(), four()) <= TOLERANCE:
        click.echo("the maps of the last layer differ between the artifacts of one and four layers")
        return 1
    pending = {name: row.subject for name in expected if (row := rows[name]).subject}
    for attempt in range(1, TRIES + 1):
        measurements = interleave(pending, ROUNDS, warm_up=2 if attempt == 1 else 1)
        slow = too_slow(measurements, expected, factor)
        for name, pair in measurements.items():
            verdict = "too slow" if name in slow else "ok"
            click.echo(
                f"try {attempt}: {name} {median(pair.ratios).median:.2f} times plain inference, "
                f"at most {expected[name] * factor:.2f}: {verdict}"
            )
        if not slow:
            return 0
        pending = {name: pending[name] for name in slow}
    click.echo(f"too slow in {TRIES} tries: {', '.join(pending)}")
    return 1


def too_slow(measurements: dict[str, Pairs], expected: dict[str, float], factor: float) -> set[str]:
    """The rows whose median ratio exceeds the expected one by more than a factor."""
    return {
        name
        for name, pair in measurements.items()
        if median(pair.ratios).median > expected[name] * factor
    }
