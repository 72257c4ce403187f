"""``ortcam segment``: the class of every pixel, painted over the picture or as an array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ortcam.batch.lookahead import Lookahead, batch_size
from ortcam.cli.open_artifact import open_artifact
from ortcam.cli.options import output as outputs
from ortcam.cli.options.sections import Command
from ortcam.cli.options.shared import (
    destination_options,
    picture_arguments,
    run_options,
    slice_option,
)
from ortcam.cli.options.types import network_input
from ortcam.cli.per_picture import for_each
from ortcam.files.formats import VECTORS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ortcam.inference.query import Progress
    from ortcam.results.segmentation import Segmentation


@click.command("segment", cls=Command, short_help="Paint the class of every pixel over pictures.")
@picture_arguments
@destination_options
@slice_option
@run_options
def command(
    artifact: Path,
    pictures: tuple[Path, ...],
    output: Path,
    suffix: str,
    slice: int | None,
    size: tuple[int, int] | str | None,
    inputs: tuple[tuple[str, NDArray[np.generic]], ...],
    batch: int | None,
    providers: tuple[str, ...],
    quiet: bool,
) -> None:
    """Segment each PICTURE with ARTIFACT.

    Figures (.png, .jpg, .svg, .pdf) show the labels over the picture, beside a colour bar that
    names the classes. A .npz file holds the labels on the picture's grid, and the scores. A .npy
    PICTURE enters the network unchanged.
    """
    files = outputs.plan(output, pictures, kind="segment", suffix=suffix)
    outputs.require_matplotlib(
        files, VECTORS, "a .svg or .pdf file needs", "write a .png or .jpg file"
    )
    cam = open_artifact(artifact, providers=providers, quiet=quiet, verify=False)
    arguments: dict[str, Any] = {"inputs": dict(inputs), "size": size}
    batch = batch_size(cam.provider, batch)

    def segment_one(picture: Path, progress: Progress | None = None) -> Segmentation:
        return cam.segment(**network_input(picture), **arguments)

    def segment_batch(pictures: Sequence[Path]) -> list[Segmentation]:
        return cam.segment_batch(pictures, **arguments, batch=batch)

    segment = Lookahead(pictures, batch, segment_one, segment_batch)

    def work(picture: Path, file: Path) -> list[str]:
        segmentation = segment(picture)
        segmentation.save(file, slice=slice)
        return list(segmentation.notes)

    for_each(pictures, files, work, quiet=quiet)
