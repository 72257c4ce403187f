"""Options that several commands share, as decorators."""

from __future__ import annotations

from pathlib import Path

import click

from ortcam.artifact import LAYOUTS
from ortcam.cli.options import types
from ortcam.cli.options.decorators import renamed_option, stack
from ortcam.cli.options.sections import section
from ortcam.files.formats import SUFFIXES

score_option = section("Layers and score")
preprocessing_option = section("Classes and preprocessing")
output_option = section("Output")
running_option = section("Running")

network_argument = click.argument("network", type=types.FILE)
artifact_argument = click.argument("artifact", type=types.FILE)
picture_arguments = stack(
    artifact_argument,
    click.argument("pictures", metavar="PICTURE...", type=types.FILE, nargs=-1, required=True),
)

json_option = output_option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of a table."
)

score_options = stack(
    score_option(
        "-r",
        "--reduction-layer",
        metavar="LAYER",
        show_default="detected",
        help="Tensor whose channels are the class scores.",
    ),
    score_option(
        "--score",
        type=click.Choice(["softmax", "sigmoid", "logits", "linear"]),
        show_default="detected",
        help="Kind of score. Logits of classes get a softmax, or a sigmoid for one channel, unless "
        "this is logits; values without evidence that they score classes are linear.",
    ),
    score_option(
        "--class-axis",
        metavar="N",
        type=int,
        show_default="detected",
        help="Axis of the reduction layer that holds the classes.",
    ),
)
"""The score to explain, as arguments of the export step."""

head_option = score_option(
    "--head",
    metavar="FILE.onnx",
    type=types.FILE,
    help="Small network that computes the score; its inputs bear the names of the network's "
    "tensors.",
)
"""A score of the user's own."""

token_options = stack(
    score_option(
        "--token-grid",
        metavar="WxH",
        type=types.size,
        show_default="that of the patch convolution",
        help="Grid that a layer's tokens are folded into.",
    ),
    score_option(
        "--leading-tokens",
        metavar="N",
        type=click.IntRange(min=0),
        show_default="tokens minus grid cells",
        help="Number of class and register tokens before the patch tokens.",
    ),
)
"""The grid that layers of tokens are folded into, as arguments of the export step."""

description_options = stack(
    preprocessing_option(
        "--labels", "classes", type=types.FILE, help="Class names: one per line, or JSON."
    ),
    preprocessing_option(
        "--colors", type=types.FILE, help="Label colours: one R,G,B per line, or JSON."
    ),
    preprocessing_option(
        "--rescale",
        metavar="X",
        type=types.factor,
        help="Factor that scales pixels of 0 to 255 first, such as 1/255.",
    ),
    renamed_option("--scale", "--rescale", "rescale"),
    preprocessing_option(
        "--mean",
        metavar="R,G,B",
        type=types.numbers,
        help="Per-channel mean, subtracted from the rescaled pixels; for pictures only, as arrays "
        "enter unchanged.",
    ),
    preprocessing_option(
        "--std",
        metavar="R,G,B",
        type=types.numbers,
        help="Per-channel standard deviation.",
    ),
    preprocessing_option(
        "--bgr",
        "color_order",
        flag_value="BGR",
        default=None,
        help="Order the channels blue, green, red.",
    ),
    preprocessing_option(
        "--layout",
        type=click.Choice(LAYOUTS),
        metavar="LAYOUT",
        show_default="detected",
        help="Axes of the input, a letter each: NCHW, NHWC; for arrays also NCL, NLC, NCDHW, "
        "NDHWC, NTCHW, NTHWC (clips), NFT, NTF (spectrograms).",
    ),
    preprocessing_option(
        "--size",
        metavar="WxH",
        type=types.size,
        show_default="the input's, or the picture's if that varies",
        help="Size that pictures are resized to.",
    ),
    preprocessing_option(
        "--divisor",
        metavar="N",
        type=click.IntRange(min=1),
        show_default="detected",
        help="Number that the input's width and height must be multiples of.",
    ),
    preprocessing_option(
        "--picture-input",
        metavar="NAME",
        show_default="detected",
        help="Network input that takes the picture.",
    ),
)
"""The network's classes and preprocessing, as arguments of the export step."""

destination_options = stack(
    output_option(
        "-o",
        "--output",
        metavar="OUT",
        type=click.Path(path_type=Path),
        required=True,
        help="File for one picture (.png, .jpg, .svg, .pdf or .npz), or a folder.",
    ),
    output_option(
        "--format",
        "suffix",
        type=click.Choice([suffix[1:] for suffix in SUFFIXES if suffix != ".jpeg"]),
        default="png",
        show_default=True,
        help="Format of the files in a folder.",
    ),
)
"""The file of each picture's result; :mod:`ortcam.cli.options.output` plans it."""

input_option = running_option(
    "--input",
    "inputs",
    metavar="NAME=FILE",
    type=types.named_input,
    multiple=True,
    help="Value of an additional network input: a .npy file, of one row for all pictures or one "
    "for each, or a picture. Repeatable; for several pictures, once for each.",
)

entering_options = stack(
    running_option(
        "--size",
        metavar="native|WxH",
        type=types.size_or_native,
        show_default="the artifact's",
        help="Size at which pictures enter the network; native: their own.",
    ),
    input_option,
)
"""The inputs of the network."""

provider_option = running_option(
    "--provider",
    "providers",
    metavar="NAME",
    multiple=True,
    show_default="CUDA if it starts, else CPU",
    help="ONNX Runtime execution provider, such as CUDAExecutionProvider. Repeatable.",
)

session_options = stack(
    provider_option,
    running_option("-q", "--quiet", is_flag=True, help="Print only warnings and errors."),
)
"""Execution provider and verbosity."""

run_options = stack(
    entering_options,
    running_option(
        "--batch",
        metavar="N",
        type=click.IntRange(min=1),
        show_default="8 on CUDA, else 1",
        help="Maximum number of pictures of one size per run; memory grows with it.",
    ),
    session_options,
)
"""Inputs, batch size, execution provider and verbosity."""

slice_option = section("Drawing")(
    "--slice",
    metavar="N",
    type=click.IntRange(min=0),
    help="Slice of a volume to draw, from 0 along its depth.",
)
