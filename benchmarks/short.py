"""The few ratios that CI watches, in a minute or two and without PyTorch.

A busy machine disturbs single runs and whole tries, a slower program every one of them: so it is
the best try that counts, and only where all are too slow is something wrong.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from benchmarks import contestants
from benchmarks.agreement import TOLERANCE, difference
from benchmarks.bounds import short
from benchmarks.measure import Pairs, interleave, median
from benchmarks.networks import NETWORKS, tensor

__all__ = ["check", "too_slow"]

ROUNDS = 7
TRIES = 4
PROVIDER = "CPUExecutionProvider"


def check(out: Path) -> int:
    """Measures, says what it found, and gives the exit status: 0, or 1 where a row is too slow."""
    expected, more = short()
    one, folder = dataclasses.replace(NETWORKS["shipped"], batches=False), out / "benchmark"
    folder.mkdir(parents=True, exist_ok=True)
    plain = folder / "short.onnx"
    one.build(one, plain)
    unit = contestants.Plain(plain, tensor(one), PROVIDER)
    rows = contestants.rows(one, plain, folder, PROVIDER, unit)
    (last, four) = (rows[name].maps for name in ("last-2", "four-2"))
    assert last is not None
    assert four is not None
    if not difference(last(), four()) <= TOLERANCE:
        click.echo("the maps of the last layer differ between the artifacts of one and four layers")
        return 1
    waiting = {name: rows[name].contestant for name in expected}
    for attempt in range(1, TRIES + 1):
        there = {name: row for name, row in waiting.items() if row is not None}
        measured = interleave(there, ROUNDS, warm_up=2 if attempt == 1 else 1)
        late = too_slow(measured, expected, more)
        for name, pair in measured.items():
            said = "too slow" if name in late else "ok"
            click.echo(
                f"try {attempt}: {name} {median(pair.ratios).median:.2f} times plain inference, "
                f"at most {expected[name] * more:.2f}: {said}"
            )
        if not late:
            return 0
        waiting = {name: waiting[name] for name in late}
    click.echo(f"too slow in {TRIES} tries: {', '.join(waiting)}")
    return 1


def too_slow(measured: dict[str, Pairs], expected: dict[str, float], more: float) -> set[str]:
    """The rows whose median ratio is above what is expected by more than it may be."""
    return {
        name
        for name, pair in measured.items()
        if median(pair.ratios).median > expected[name] * more
    }
