"""The picture itself as one more layer with a gradient, for methods about its pixels."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from ortcam.artifact import LAYERS, Artifact, Layer, grad_name, weights_name
from ortcam.errors import LayerError
from ortcam_export.choosing.channel_axes import channel_axes
from ortcam_export.gradient import reachable
from ortcam_export.graph.names import tensor, unused
from ortcam_export.graph.values import rank

__all__ = ["with_pixels"]


def with_pixels(
    artifact: Artifact, prepared: ir.Model, *, required: bool, masked: bool, notes: list[str]
) -> Artifact:
    """The metadata with the picture's input among the layers, the last.

    Args:
        artifact: the metadata without it.
        prepared: the network.
        required: whether it is an error where no gradient reaches it; else a note tells.
        masked: whether layers that are not asked for are to cost nothing.
        notes: what is to be told.

    Raises:
        LayerError: no gradient reaches the picture, and it is required.
    """
    picture = tensor(prepared, artifact.picture)
    why = _why_not(picture, reachable(prepared, artifact.score.name))
    if why and required:
        raise LayerError(f"{why}: export without the methods about the picture itself")
    if why:
        notes.append(f"{why}, so the methods about the picture itself are left out")
        return artifact
    how = artifact.expects.preprocess
    axis = channel_axes(prepared)[artifact.picture] or 1
    if how is not None:
        axis = rank(picture) - 1 if how.layout == "NHWC" else 1
    pixels = Layer(
        name=artifact.picture,
        weights=unused(prepared, weights_name(artifact.picture)),
        grad=unused(prepared, grad_name(artifact.picture)),
        channel_axis=axis,
    )
    mask = (artifact.mask or unused(prepared, LAYERS)) if masked else None
    return dataclasses.replace(artifact, pixels=pixels, mask=mask)


def _why_not(picture: ir.Value, reached: set[str]) -> str:
    """Why no gradient of the picture is to be had; nothing where one is."""
    if picture.dtype is not None and not picture.dtype.is_floating_point():
        kind = picture.dtype.name.lower()
        return f"the picture enters as {kind}, and what is made of whole numbers has no gradient"
    if rank(picture) < 4:
        return f"the input {picture.name!r} has no rows and columns"
    if picture.name not in reached:
        return f"an operator stops the gradient on its way to the picture {picture.name!r}"
    return ""
