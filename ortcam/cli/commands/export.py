"""``ortcam export``: a plain network in, an artifact out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ortcam import exporter
from ortcam.artifact import ENGINES
from ortcam.cli.options.decorators import renamed_option
from ortcam.cli.options.sections import Command, section
from ortcam.cli.options.shared import (
    description_options,
    head_option,
    network_argument,
    output_option,
    score_option,
    score_options,
    token_options,
)
from ortcam.cli.spelling import spell
from ortcam.results import describe_artifact

if TYPE_CHECKING:
    from ortcam.exporter import Exported

artifact_option = section("Artifact")


@click.command(
    "export", cls=Command, short_help="Export a network, with gradients, as an artifact."
)
@network_argument
@output_option(
    "-o",
    "--output",
    metavar="OUT",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Artifact to write, such as network.cam.onnx.",
)
@score_option(
    "-l",
    "--layer",
    "layers",
    metavar="LAYER",
    multiple=True,
    show_default="the last before the scorer",
    help="Feature layer. Repeatable.",
)
@score_options
@head_option
@token_options
@description_options
@renamed_option("--picture", "--picture-input", "picture_input")
@artifact_option(
    "--methods",
    metavar="METHOD,...",
    default="",
    help="Methods to support besides Grad-CAM, or all.",
)
@artifact_option(
    "--maps",
    is_flag=True,
    help="Add the map of each layer as an output LAYER.map, for other programs.",
)
@artifact_option(
    "--split",
    is_flag=True,
    help="Write the gradient to a second file beside OUT, so that one run of the network can "
    "answer many questions.",
)
@artifact_option(
    "--static",
    is_flag=True,
    help="Fix the input at one picture of --size and compute all layers together, as CUDA graphs "
    "require.",
)
@artifact_option(
    "--engine",
    type=click.Choice(list(ENGINES)),
    default="ortcam",
    show_default=True,
    help="Builder of the gradient graph. ort-training is ONNX Runtime's own; it needs the training "
    "build here and wherever the artifact runs.",
)
@artifact_option("--no-verify", is_flag=True, help="Skip the check against central differences.")
def command(
    network: Path,
    output: Path,
    layers: tuple[str, ...],
    methods: str,
    no_verify: bool,
    **options: Any,
) -> None:
    """Export NETWORK, an ONNX file, as an artifact that segments and explains pictures.

    The artifact is the network, with its feature layers as additional outputs and with the
    gradients of the class scores appended, in standard ONNX operators. Class names and
    preprocessing are read from the network's metadata; options override them.
    """
    exporter.require_exporter()
    if output.exists() and output.samefile(network):
        raise click.UsageError(f"{output} is the network itself and would be overwritten.")
    exported = exporter.export(
        network,
        output,
        feature_layers=layers or None,
        methods=methods.split(",") if methods else (),
        verify=not no_verify,
        **options,
    )
    click.echo("\n".join(_report(exported, output)))


def _report(exported: Exported, output: Path) -> list[str]:
    artifact = exported.artifact
    files = [f"{output}: {len(exported.model) / 1e6:.1f} MB"]
    if exported.gradient is not None and artifact.gradient is not None:
        second = output.with_name(artifact.gradient.file or "")
        files.append(f"{second}: {len(exported.gradient) / 1e6:.1f} MB")
    return [
        *files,
        f"feature layers: {', '.join(layer.name for layer in artifact.layers)}",
        f"reduction layer: {describe_artifact.reduction_layer(artifact.score)}",
        f"verification: {describe_artifact.verification(artifact.verification)}",
        *(f"note: {spell(note)}" for note in exported.notes),
    ]
