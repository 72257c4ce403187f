"""The options of the commands that explain: the question, the region and the method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ortcam.batch.lookahead import Explain, Lookahead
from ortcam.cli.options.decorators import stack
from ortcam.cli.options.regions import RegionOptions, region, region_options
from ortcam.cli.options.sections import section
from ortcam.cli.options.types import NamedInput, by_name, network_input
from ortcam.drawing import presets
from ortcam.grids.resample import METHODS as FILTERS
from ortcam.methods.registry import GRAD_CAM, METHODS
from ortcam.questions.question import parse

if TYPE_CHECKING:
    from ortcam.cam import Cam
    from ortcam.inference.query import Progress
    from ortcam.results.explanation import Explanation

question_option = section("Question")
method_option = section("Method")


class QuestionOptions(RegionOptions):
    """The values of :data:`question_options`, and of the options of what enters the network."""

    classes: tuple[str, ...]
    layers: tuple[str, ...]
    method: str
    preset: str
    upsample: str | None
    size: tuple[int, int] | str | None
    inputs: tuple[NamedInput, ...]


question_options = stack(
    question_option(
        "-c",
        "--class",
        "classes",
        metavar="CLASS",
        multiple=True,
        show_default="the classes predicted in the picture",
        help="Class to explain: a name, a 0-based index, or a weighted sum such as "
        "'Car - 0.5*Road', with spaces around the signs; -Car for what lowers it. Repeatable.",
    ),
    question_option(
        "-l",
        "--layer",
        "layers",
        metavar="LAYER",
        multiple=True,
        show_default="all",
        help="Feature layer. Repeatable.",
    ),
    region_options,
    method_option(
        "--method",
        metavar="METHOD[:OPTION=VALUE,...]",
        default=GRAD_CAM,
        show_default=True,
        help=f"{', '.join(METHODS)}. Some need an artifact exported with --methods.",
    ),
    method_option(
        "--preset",
        metavar="PRESET",
        type=click.Choice(list(presets.PRESETS)),
        default=presets.DEFAULT,
        show_default=True,
        help=f"{', '.join(presets.PRESETS)}. Reproduce another tool's maps and figures: its order "
        "of ReLU, scaling and resizing. raw: signed sums at the layer's resolution.",
    ),
    method_option(
        "--upsample",
        type=click.Choice(FILTERS),
        show_default="bicubic, or the preset's",
        help="Filter that resizes maps to the picture.",
    ),
)
"""The question; :func:`explainer` answers it."""


def explainer(
    cam: Cam, options: QuestionOptions, pictures: Sequence[Path], batch: int
) -> Explain[Explanation]:
    """A function that answers the question of the options about one of the pictures.

    Args:
        cam: the artifact.
        options: the question, which :func:`ortcam.cli.options.regions.check` has passed.
        pictures: all pictures, in order.
        batch: how many of them enter the network together.

    Raises:
        ClassError: the network has no such class.
        InputError: a class cannot be parsed, or a further input has neither one row nor one for
            each picture.
    """
    rows = cam.inputs_of_each(by_name(options["inputs"]), len(pictures))
    inputs = dict(zip(pictures, rows, strict=True))
    classes = [parse(text, cam.classes) for text in options["classes"]] or None
    arguments: dict[str, Any] = {
        "layers": options["layers"] or None,
        "index": options["index"],
        "size": options["size"],
        "method": options["method"],
        "preset": options["preset"],
        "upsample": options["upsample"],
    }

    def explain(picture: Path, progress: Progress | None = None) -> Explanation:
        return cam.explain(
            **network_input(picture),
            classes=classes,
            region=region(options, picture),
            inputs=inputs[picture],
            progress=progress,
            **arguments,
        )

    def explain_batch(pictures: Sequence[Path]) -> list[Explanation]:
        regions = [region(options, picture) for picture in pictures]
        return cam.explain_batch(
            pictures,
            classes,
            regions=regions,
            inputs=[inputs[picture] for picture in pictures],
            batch=batch,
            **arguments,
        )

    return Lookahead(pictures, batch, explain, explain_batch)
