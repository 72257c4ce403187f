"""The command: ``python -m benchmarks.lowerings``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import machine as machines
from benchmarks.lowerings.ways import CHOICES, Choice
from benchmarks.measure import Contestant, interleave, median
from benchmarks.record import Record, dumped, interval, read
from benchmarks.table import machines_of, said
from ortcam.inference.session import Session

DOCS = Path(__file__).parents[2] / "docs"
PAGE, RESULTS = DOCS / "lowerings.md", DOCS / "lowerings.json"
MARK = "<!-- from here on written by benchmarks/lowerings -->\n"
DEVICES = {"cpu": "CPU", "cuda": "CUDA"}
TOLERANCE = 1e-5
"""Of the largest value: all ways of a choice are the same function. CUDA may round to TF32."""


@click.command()
@click.option("--device", default="cpu", show_default=True, type=click.Choice(list(DEVICES)))
@click.option("--rounds", default=30, show_default=True, type=click.IntRange(1))
@click.option(
    "--out",
    default=Path("out/lowerings.json"),
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the times go; those of another device stay.",
)
@click.option(
    "--page",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure nothing; take these times into docs/ and write the page.",
)
@click.option("--check", is_flag=True, help="Measure nothing; say whether the page is current.")
def main(device: str, rounds: int, out: Path, page: Path | None, check: bool) -> None:
    """Times the ways in which a gradient can be written, each against those it was chosen from."""
    if page is not None:
        RESULTS.write_text(dumped(read(page)), encoding="utf-8")
        PAGE.write_text(written(), encoding="utf-8")
    elif check:
        if PAGE.read_text(encoding="utf-8") != written():
            sys.exit("docs/lowerings.md is not current; benchmarks.lowerings --page writes it")
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        record = Record(out, device, machines.machine(machines.take_two_cores()))
        for name, make in CHOICES.items():
            click.echo(name, err=True)
            record.put(measured(make(), device, rounds), "choices", name)


def measured(choice: Choice, device: str, rounds: int) -> dict[str, Any]:
    """The times of each way, in one run.

    Raises:
        ValueError: they do not compute the same.
    """
    feeds, found, waiting = choice.feeds, {}, {}
    for way, model in choice.ways.items():
        session = Session(model.SerializeToString(), device, machines.THREADS)
        own = {name: feeds[name] for name in session.inputs}
        names = list(session.outputs)
        found[way] = session.run(names, own)

        def run(_: int, session: Session = session, own: Any = own, names: Any = names) -> object:
            return session.run(names, own)

        waiting[way] = Contestant(run, lambda _: None)
    first, *others = found.values()
    for other in others if device == "cpu" else ():
        for name, values in first.items():
            if not np.abs(values - other[name]).max() <= TOLERANCE * np.abs(values).max():
                raise ValueError(f"the ways of {choice.name} differ at {name}")
    times = {way: pair.times for way, pair in interleave(waiting, rounds).items()}
    return {
        "title": choice.title,
        "taken": choice.taken,
        "ways": {way: asdict(median([1e3 * t for t in own])) for way, own in times.items()},
    }


def written() -> str:
    """The page as it should be: what stands above the mark, and the table below it."""
    data = read(RESULTS)
    lines = ["| gradient of | way | CPU, ms | CUDA, ms |", "| --- | --- | --- | --- |"]
    for name in CHOICES:
        each = {d: data.get(d, {}).get("choices", {}).get(name) for d in DEVICES}
        one = next((found for found in each.values() if found), None)
        for place, way in enumerate(one["ways"] if one else ()):
            cells = [said(interval(f["ways"][way]) if f else None) for f in each.values()]
            title = f"{one['title']} (`{one['taken']}`)" if one and not place else ""
            lines.append(f"| {title} | {way if place else f'**{way}**'} | {' | '.join(cells)} |")
    above = PAGE.read_text(encoding="utf-8").split(MARK)[0]
    return f"{above}{MARK}\n{machines_of(data)}\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
