"""The command: ``python -m benchmarks.zoo``."""

from __future__ import annotations

import dataclasses
import json
import textwrap
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import machine, take_two_cores
from benchmarks.zoo.table import table

PAGE = Path("docs/networks_table.md")


@click.command()
@click.argument("pattern", default="")
@click.option("--again", is_flag=True, help="Compare again even if there are results.")
@click.option("--keep", is_flag=True, help="Keep the exported networks, about 10 GB.")
@click.option(
    "--out",
    default=Path("out/zoo"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for the results, a file each.",
)
@click.option("--page", default=PAGE, show_default=True, type=click.Path(path_type=Path))
def main(pattern: str, again: bool, keep: bool, out: Path, page: Path) -> None:
    """Compare the networks whose names contain PATTERN with PyTorch, and write the table.

    Results are saved after each network, and an interrupted run resumes.
    """
    from benchmarks.zoo import networks  # imports torch

    threads = take_two_cores()
    out.mkdir(parents=True, exist_ok=True)
    selection = [network for network in networks.NETWORKS if pattern in network.name]
    for index, network in enumerate(selection, 1):
        for exporter in networks.EXPORTERS:
            result = out / f"{_slug(network.name)}.{exporter}.json"
            if result.exists() and not again:
                continue
            started = time.perf_counter()
            row = _row(network, exporter, result.with_suffix(".onnx"), keep)
            row["seconds"] = round(time.perf_counter() - started)
            row["machine"] = machine(threads)
            result.write_text(json.dumps(row, indent=1))
            outcome = row.get("failure") or "{picture:.0e} {weights:.0e} {layer}".format(**row)
            click.echo(f"{index}/{len(selection)} {network.name} ({exporter}): {outcome}")
    rows = [
        json.loads(path.read_text())
        for network in networks.NETWORKS
        for exporter in networks.EXPORTERS
        if (path := out / f"{_slug(network.name)}.{exporter}.json").exists()
    ]
    page.write_text(table(rows))
    click.echo(f"{page}: {len(rows)} rows")


def _slug(name: str) -> str:
    return name.replace(" ", "_").replace("(", "").replace(")", "")


def _row(network: Any, exporter: str, path: Path, keep: bool) -> dict[str, Any]:
    """The measurement, or the reason of its failure, which is a row as well."""
    from benchmarks.zoo import networks
    from benchmarks.zoo.compare import compare

    row: dict[str, Any] = {"network": network.name, "side": network.side, "exporter": exporter}
    try:
        model, x = networks.build(network), networks.picture(network)
        if not path.exists():
            networks.to_onnx(model, x, path, exporter)
        row.update(dataclasses.asdict(compare(model, x, path)))
    except Exception as error:
        message = f"{type(error).__name__}: {error}"  # torch appends its whole graph
        row["failure"] = textwrap.shorten(message, 240, placeholder=" ...")
    finally:
        if not keep:
            path.unlink(missing_ok=True)
    return row


if __name__ == "__main__":
    main()
