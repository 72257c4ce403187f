"""``ortcam export``: a plain network in, an artifact out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ortcam.artifact import ENGINES
from ortcam.cli.options.shared import (
    description_options,
    network_argument,
    score_options,
    token_options,
)
from ortcam.cli.spelling import spell
from ortcam.exporter import require_exporter
from ortcam.results import describe_artifact as identity

if TYPE_CHECKING:
    from ortcam_export import Exported


@click.command("export", short_help="Make an artifact of a network.")
@network_argument
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The artifact, such as network.cam.onnx.",
)
@click.option(
    "-l",
    "--layer",
    "layers",
    metavar="LAYER",
    multiple=True,
    help="A feature layer; may be given several times.  [default: the last one before the scorer]",
)
@token_options
@score_options
@description_options
@click.option(
    "--picture-input",
    "--picture",
    "picture_input",
    metavar="INPUT",
    help="The input that takes the picture.",
)
@click.option(
    "--engine",
    type=click.Choice(list(ENGINES)),
    default="ortcam",
    show_default=True,
    help="What builds the gradient graph; ort-training, ONNX Runtime's own builder, needs its "
    "training build here and wherever the artifact runs.",
)
@click.option(
    "--split",
    is_flag=True,
    help="Write two files, OUT and beside it the gradient, so that a picture that went through the "
    "network once can be asked about often.",
)
@click.option(
    "--static",
    is_flag=True,
    help="Fix the artifact at one picture of --size, and ask all its layers together, as CUDA "
    "graphs need it.",
)
@click.option(
    "--maps",
    is_flag=True,
    help="Let the artifact give the maps too, each layer's as LAYER.map, for other programs.",
)
@click.option(
    "--methods",
    metavar="METHOD,...",
    default="",
    help="Methods other than Grad-CAM that the artifact shall serve, or all.",
)
@click.option("--no-verify", is_flag=True, help="Leave out the check by central differences.")
def command(
    network: Path,
    output: Path,
    layers: tuple[str, ...],
    methods: str,
    no_verify: bool,
    **options: Any,
) -> None:
    """Export NETWORK, an ONNX file, as an artifact that segments and explains pictures.

    The artifact is the network with its feature layers as further outputs and the gradient of
    the classes' scores appended, in standard ONNX operators. What the network expects of a
    picture and how its classes are called is read from its metadata, as far as it stands there,
    and given by options otherwise.
    """
    require_exporter()
    import ortcam_export

    if output.exists() and output.samefile(network):
        raise click.UsageError(f"{output} is the network itself, and would be replaced.")
    exported = ortcam_export.export(
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
        beside = output.with_name(artifact.gradient.file or "")
        files.append(f"{beside}: {len(exported.gradient) / 1e6:.1f} MB")
    return [
        *files,
        f"feature layers: {', '.join(layer.name for layer in artifact.layers)}",
        f"reduction layer: {identity.reduction_layer(artifact.score)}",
        f"verification: {identity.verification(artifact.verification)}",
        *(f"note: {spell(note)}" for note in exported.notes),
    ]
