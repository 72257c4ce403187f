"""The command: ``python -m benchmarks``."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import click

from benchmarks.machine import machine, take_two_cores
from benchmarks.networks import NETWORKS
from benchmarks.record import Record
from benchmarks.table import LABELS

OUT = Path("out")


@click.command()
@click.option(
    "--only",
    "names",
    multiple=True,
    type=click.Choice([*NETWORKS, "processes", "installed"]),
    help="Measure only this; repeatable.",
)
@click.option(
    "--row",
    "only",
    multiple=True,
    type=click.Choice(list(LABELS)),
    help="Measure only this row of the networks, even if it has results; repeatable.",
)
@click.option("--rounds", default=30, show_default=True, type=click.IntRange(1))
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
@click.option("--again", is_flag=True, help="Measure again even if there are results.")
@click.option("--short", is_flag=True, help="Only the few ratios that CI watches.")
@click.option(
    "--out",
    default=OUT,
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for benchmark.json, .md and .png, and for the networks, in benchmark/.",
)
def main(
    names: tuple[str, ...],
    only: tuple[str, ...],
    rounds: int,
    device: str,
    again: bool,
    short: bool,
    out: Path,
) -> None:
    """Measure the cost of Grad-CAM relative to plain inference.

    Networks with random weights and the peers need PyTorch; without it, only the shipped network
    is measured. Results are saved after each network, and an interrupted run resumes.
    """
    threads = take_two_cores()  # before anything counts the cores
    if short:
        from benchmarks.ci_check import check

        raise SystemExit(check(out))
    from benchmarks.run import installed, network, processes
    from benchmarks.table import write

    (out / "benchmark").mkdir(parents=True, exist_ok=True)
    torch = importlib.util.find_spec("torch") is not None
    record = Record(out / "benchmark.json", device, machine(threads))
    begin = time.monotonic()

    def progress(line: str) -> None:
        click.echo(f"{time.monotonic() - begin:6.0f} s  {line}", err=True)

    for name, one in NETWORKS.items():
        earlier = record.get("networks", name)
        if (names and name not in names) or (earlier and not again and not only):
            continue
        if one.needs_torch and not torch:
            progress(f"{name}: skipped, since PyTorch is not installed")
            continue
        result = network(one, out / "benchmark", device, threads, rounds, torch, progress, only)
        if only and earlier:
            result["rows"] = earlier["rows"] | result["rows"]
        record.put(result, "networks", name)
    for name, work in (("processes", processes), ("installed", installed)):
        if (not names or name in names) and not only and (again or not record.get(name)):
            record.put(work(out / "benchmark", device, threads, rounds, torch, progress), name)
    for path in write(record.data, out):
        click.echo(path)


if __name__ == "__main__":
    main()
