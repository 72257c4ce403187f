"""The picture itself as one more layer with a gradient, for methods about its pixels.

A function, not a pass: it changes the artifact's metadata and leaves the model as it is.
"""

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
    artifact: Artifact,
    prepared: ir.Model,
    *,
    required: bool,
    masked: bool,
    notes: list[str],
    layout: str | None = None,
) -> Artifact:
    """Add the picture's input to an artifact's layers, as the last one.

    Args:
        artifact: the metadata without it.
        prepared: the network.
        required: raise an error if no gradient reaches the picture; otherwise add a note.
        masked: let layers that are not requested cost nothing.
        notes: the list that the note is appended to.
        layout: the input's layout, if it is stated.

    Raises:
        LayerError: no gradient reaches the picture, and it is required.
    """
    picture = tensor(prepared, artifact.picture)
    stated = artifact.expects.input_layout or layout
    layouts = {} if stated is None else {artifact.picture: stated}
    axis = channel_axes(prepared, layouts)[artifact.picture]
    obstacle = _obstacle(picture, axis, reachable(prepared, artifact.score.name))
    if obstacle and required:
        raise LayerError(f"{obstacle}: export without the methods about the picture itself")
    if obstacle:
        notes.append(f"{obstacle}, so the methods about the picture itself are left out")
        return artifact
    assert axis is not None  # or it were an obstacle
    pixels = Layer(
        name=artifact.picture,
        weights=unused(prepared, weights_name(artifact.picture)),
        grad=unused(prepared, grad_name(artifact.picture)),
        channel_axis=axis,
    )
    mask = (artifact.mask or unused(prepared, LAYERS)) if masked else None
    return dataclasses.replace(artifact, pixels=pixels, mask=mask)


def _obstacle(picture: ir.Value, axis: int | None, reached: set[str]) -> str:
    """The reason why no gradient reaches the picture; empty if one does."""
    if picture.dtype is not None and not picture.dtype.is_floating_point():
        kind = picture.dtype.name.lower()
        return f"the picture enters the network as {kind}, and integers have no gradient"
    if rank(picture) < 4:
        return f"the input {picture.name!r} has no rows and columns"
    if axis is None:
        return f"which axis of the input {picture.name!r} holds its channels is not known"
    if picture.name not in reached:
        return f"an operator stops the gradient before it reaches the picture {picture.name!r}"
    return ""
