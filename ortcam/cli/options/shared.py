"""Options that several commands share, as decorators."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ortcam.cli.options import types as parameters
from ortcam.cli.options.types import FILE
from ortcam.files.formats import SUFFIXES

if TYPE_CHECKING:
    pass


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def stack(*decorators: Decorator) -> Decorator:
    """One decorator that adds all of these, to be listed in this order."""
    return lambda command: reduce(lambda c, add: add(c), reversed(decorators), command)


network_argument = click.argument("network", type=FILE)
artifact_argument = click.argument("artifact", type=FILE)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")

score_options = stack(
    click.option(
        "-r",
        "--reduction-layer",
        metavar="LAYER",
        help="The tensor whose channels are the classes' scores.  [default: found by itself]",
    ),
    click.option(
        "--score",
        type=click.Choice(["softmax", "sigmoid", "logits"]),
        help="What the score is; a network that ends in logits gets a softmax (one channel: a "
        "sigmoid) unless this says logits.",
    ),
)
"""What is explained: the arguments ``reduction_layer`` and ``score`` of the export step."""

description_options = stack(
    click.option("--labels", "classes", type=FILE, help="The class names, one a line."),
    click.option("--colors", type=FILE, help="The label colours, R,G,B one class a line."),
    click.option(
        "--mean",
        metavar="R,G,B",
        type=parameters.numbers,
        help="Subtracted from the scaled pixel, one number a channel.",
    ),
    click.option(
        "--std",
        metavar="R,G,B",
        type=parameters.numbers,
        help="Divides it then, one number a channel.",
    ),
    click.option(
        "--rescale",
        "--scale",
        "rescale",
        metavar="X",
        type=parameters.scale,
        help="What a pixel of 0 to 255 is multiplied by first, such as 1/255.",
    ),
    click.option(
        "--bgr",
        "color_order",
        flag_value="BGR",
        default=None,
        help="The network takes blue, green, red.",
    ),
    click.option(
        "--layout", type=click.Choice(["NCHW", "NHWC"]), help="Where the input has its channels."
    ),
    click.option(
        "--size",
        metavar="WxH",
        type=parameters.size,
        help="The size pictures are resized to.",
    ),
    click.option(
        "--divisor",
        metavar="N",
        type=click.IntRange(min=1),
        help="Width and height of the input are multiples of N.",
    ),
)
"""What the network expects and means, by the names of the export step's arguments."""

token_options = stack(
    click.option(
        "--token-grid",
        metavar="WxH",
        type=parameters.size,
        help="The width and height that layers of tokens are folded to.  [default: those of the "
        "convolution that the tokens come from]",
    ),
    click.option(
        "--leading-tokens",
        metavar="N",
        type=click.IntRange(min=0),
        help="How many class and register tokens stand before the picture's.  [default: all that "
        "are more than the grid has cells]",
    ),
)
"""How layers of tokens become maps."""

picture_arguments = stack(
    artifact_argument,
    click.argument("pictures", metavar="PICTURE...", type=FILE, nargs=-1, required=True),
)

destination_options = stack(
    click.option(
        "-o",
        "--output",
        metavar="OUT",
        type=click.Path(path_type=Path),
        required=True,
        help="A .png, .jpg, .svg, .pdf or .npz file for one picture; a folder for one or several.",
    ),
    click.option(
        "--format",
        "suffix",
        type=click.Choice([suffix[1:] for suffix in SUFFIXES if suffix != ".jpeg"]),
        default="png",
        show_default=True,
        help="What goes into a folder: figures, or arrays.",
    ),
)
"""Where the result of each picture goes; see :mod:`ortcam.cli.options.output`."""

input_option = click.option(
    "--input",
    "inputs",
    metavar="NAME=FILE.npy",
    type=parameters.named_array,
    multiple=True,
    help="A further input of the network; may be given several times.",
)

entering_options = stack(
    click.option(
        "--size",
        metavar="native|WxH",
        type=parameters.size_or_native,
        help="The size pictures enter the network at.  [default: the artifact's]",
    ),
    input_option,
)
"""What enters the network."""

provider_option = click.option(
    "--provider",
    "providers",
    metavar="NAME",
    multiple=True,
    help="An execution provider of onnxruntime, such as CUDAExecutionProvider; may be given "
    "several times.  [default: CUDA where it starts, else CPU]",
)

session_options = stack(
    provider_option,
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
)
"""What the network runs on, and whether it is told."""

run_options = stack(
    entering_options,
    click.option(
        "--slice",
        "slice",
        metavar="N",
        type=click.IntRange(min=0),
        help="Of a volume the slice that is shown, counted along its depth from 0.",
    ),
    session_options,
)
"""How the network is run, and what is shown of a volume."""


batch_option = click.option(
    "--batch",
    metavar="N",
    type=click.IntRange(min=1),
    help="How many pictures of one size enter the network together at most; they take the memory "
    "of all.  [default: 8 on CUDA, elsewhere 1]",
)
