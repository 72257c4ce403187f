"""``ortcam segment``: the class of every pixel, painted over the picture or as an array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
from ortcam.cli.options.types import NamedInput, by_name, network_input
from ortcam.cli.per_picture import for_each
from ortcam.files.formats import VECTORS

if TYPE_CHECKING:
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
    inputs: tuple[NamedInput, ...],
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
    rows = cam.inputs_of_each(by_name(inputs), len(pictures))
    inputs_of = dict(zip(pictures, rows, strict=True))
    batch = batch_size(cam.provider, batch)

    def segment_one(picture: Path, progress: Progress | None = None) -> Segmentation:
        return cam.segment(**network_input(picture), inputs=inputs_of[picture], size=size)

    def segment_batch(pictures: Sequence[Path]) -> list[Segmentation]:
        of_each = [inputs_of[picture] for picture in pictures]
        return cam.segment_batch(pictures, inputs=of_each, size=size, batch=batch)

    segment = Lookahead(pictures, batch, segment_one, segment_batch)

    def work(picture: Path, file: Path) -> list[str]:
        segmentation = segment(picture)
        segmentation.save(file, slice=slice)
        return list(segmentation.notes)

    for_each(pictures, files, work, quiet=quiet)
