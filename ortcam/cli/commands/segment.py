"""``ortcam segment``: the class of every pixel, painted over the picture or as an array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ortcam.batch.lookahead import Together, at_once
from ortcam.cli import per_picture as each
from ortcam.cli.open_artifact import open_artifact
from ortcam.cli.options import output as destinations
from ortcam.cli.options.shared import (
    batch_option,
    destination_options,
    picture_arguments,
    run_options,
)
from ortcam.files.formats import VECTORS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ortcam import Segmentation
    from ortcam.inference.query import Progress


@click.command("segment", short_help="Paint the class of every pixel over pictures.")
@picture_arguments
@destination_options
@run_options
@batch_option
def command(
    artifact: Path,
    pictures: tuple[Path, ...],
    output: Path,
    suffix: str,
    size: tuple[int, int] | str | None,
    inputs: tuple[tuple[str, NDArray[np.generic]], ...],
    slice: int | None,
    providers: tuple[str, ...],
    quiet: bool,
    batch: int | None,
) -> None:
    """Segment each PICTURE with ARTIFACT; one in a .npy file is the network's input as it is.

    A .png, .jpg, .svg or .pdf shows the labels over the picture beside a colour bar that names the
    classes; a .npz holds the labels on the picture's grid and the scores.
    """
    files = destinations.plan(output, pictures, kind="segment", suffix=suffix)
    destinations.require_matplotlib(
        files, VECTORS, "a .svg or .pdf file needs matplotlib", "write a .png or .jpg file"
    )
    cam = open_artifact(artifact, providers=providers, quiet=quiet, verify=False)
    how: dict[str, Any] = {"inputs": dict(inputs), "size": size}
    together = at_once(cam, batch)

    def one(picture: Path, progress: Progress | None = None) -> Segmentation:
        return cam.segment(**each.seen(picture), **how)

    def many(pictures: Sequence[Path]) -> list[Segmentation]:
        return cam.segment_batch(pictures, **how, batch=together)

    segment = Together(pictures, together, one, many)

    def work(picture: Path, file: Path) -> list[str]:
        segmentation = segment(picture)
        segmentation.save(file, slice=slice)
        return list(segmentation.notes)

    each.for_each(pictures, files, work, quiet=quiet)
