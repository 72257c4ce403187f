"""The command: ``python -m benchmarks.lowerings``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.lowerings.alternatives import CHOICES, Choice
from benchmarks.machine import THREADS, machine, take_two_cores
from benchmarks.measure import Subject, interleave, median
from benchmarks.record import Record, dumped, interval, read
from benchmarks.table import format_interval, machine_lines
from ortcam.inference.session import Session

DOCS = Path(__file__).parents[2] / "docs"
PAGE, RESULTS = DOCS / "lowerings.md", DOCS / "lowerings.json"
MARK = "<!-- from here on written by benchmarks/lowerings -->\n"
DEVICES = {"cpu": "CPU", "cuda": "CUDA"}
TOLERANCE = 1e-5
"""Relative to the maximum. Alternatives compute the same, but CUDA may round to TF32."""


@click.command()
@click.option("--device", default="cpu", show_default=True, type=click.Choice(list(DEVICES)))
@click.option("--rounds", default=30, show_default=True, type=click.IntRange(1))
@click.option(
    "--out",
    default=Path("out/lowerings.json"),
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of times; those of another device remain in it.",
)
@click.option(
    "--page",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure nothing; copy these times to docs/ and write the page.",
)
@click.option("--check", is_flag=True, help="Measure nothing; check that the page is up to date.")
def main(device: str, rounds: int, out: Path, page: Path | None, check: bool) -> None:
    """Time the alternative lowerings of each gradient in turns."""
    if page is not None:
        RESULTS.write_text(dumped(read(page)), encoding="utf-8")
        PAGE.write_text(new_page(), encoding="utf-8")
    elif check:
        if PAGE.read_text(encoding="utf-8") != new_page():
            sys.exit(
                "docs/lowerings.md is out of date; "
                "run python -m benchmarks.lowerings --page docs/lowerings.json"
            )
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        record = Record(out, device, machine(take_two_cores()))
        for name, make in CHOICES.items():
            click.echo(name, err=True)
            record.put(measure(make(), device, rounds), "choices", name)


def measure(choice: Choice, device: str, rounds: int) -> dict[str, Any]:
    """The times of each alternative, in one run.

    Raises:
        ValueError: their results differ.
    """
    feeds, results, subjects = choice.feeds, {}, {}
    for way, model in choice.alternatives.items():
        session = Session(model.SerializeToString(), device, THREADS)
        inputs = {name: feeds[name] for name in session.inputs}
        names = list(session.outputs)
        results[way] = session.run(names, inputs)

        def run(
            _: int, session: Session = session, inputs: Any = inputs, names: Any = names
        ) -> object:
            return session.run(names, inputs)

        subjects[way] = Subject(run, lambda _: None)
    first, *others = results.values()
    for other in others if device == "cpu" else ():
        for name, values in first.items():
            if not np.abs(values - other[name]).max() <= TOLERANCE * np.abs(values).max():
                raise ValueError(f"the alternatives of {choice.name} differ at {name}")
    times = {way: pair.times for way, pair in interleave(subjects, rounds).items()}
    return {
        "title": choice.title,
        "taken": choice.module,
        "ways": {way: asdict(median([1e3 * t for t in each])) for way, each in times.items()},
    }


def new_page() -> str:
    """The current text above the mark, followed by a new table."""
    data = read(RESULTS)
    lines = ["| gradient of | way | CPU, ms | CUDA, ms |", "| --- | --- | --- | --- |"]
    for name in CHOICES:
        entries = [data.get(d, {}).get("choices", {}).get(name) for d in DEVICES]
        one = next((entry for entry in entries if entry), None)
        for place, way in enumerate(one["ways"] if one else ()):
            cells = [format_interval(interval(e["ways"][way]) if e else None) for e in entries]
            title = f"{one['title']} (`{one['taken']}`)" if one and not place else ""
            lines.append(f"| {title} | {way if place else f'**{way}**'} | {' | '.join(cells)} |")
    above = PAGE.read_text(encoding="utf-8").split(MARK)[0]
    return f"{above}{MARK}\n{machine_lines(data)}\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
