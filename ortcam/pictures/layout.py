"""The axes of the network's input: its channels, and the grid that maps lie on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Artifact
from ortcam.errors import InputError
from ortcam.messages import Option

__all__ = ["channel_axis", "greys", "grid"]

_NO_GRID = "NC"
"""The letters of a layout that are neither places nor times: batch and channels."""


def channel_axis(artifact: Artifact, rank: int) -> int | None:
    """Return the channel axis of one picture or array of this rank, without its batch axis.

    Returns:
        None if it has no channels, as a spectrogram of frequencies and times.
    """
    layout = _layout(artifact, rank + 1) or "NC"
    return layout.index("C") - 1 if "C" in layout else None


def grid(artifact: Artifact, x: NDArray[np.generic]) -> tuple[int, ...]:
    """Return the extents of the input [1, ...] in space and time, the grid of its maps.

    Returns:
        (height, width), (depth, height, width), (time, height, width), (frequency, time), and so
        on, in the order of the input's axes.

    Raises:
        InputError: the axes are unknown, or there is one only.
    """
    layout = _layout(artifact, x.ndim)
    if layout is None:
        raise InputError(
            f"the axes of the input {artifact.picture!r}, a tensor of {list(x.shape)}, are "
            "unknown; export the network again with its ",
            Option("layout"),
        )
    extents = tuple(
        extent for letter, extent in zip(layout, x.shape, strict=True) if letter not in _NO_GRID
    )
    if len(extents) < 2:
        raise InputError(
            f"the input {artifact.picture!r}, a tensor of {list(x.shape)}, has no rows and columns "
            "for the maps; maps along a single axis are not made"
        )
    return extents


def greys(artifact: Artifact, x: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return the first channel of a volume or clip as greys, [D, H, W, 3], from black to white."""
    axis = channel_axis(artifact, x.ndim - 1)
    values = x[0] if axis is None else x[0].take(0, axis)
    finite = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
    low = finite.min(initial=np.inf)
    span = finite.max(initial=-np.inf) - low
    grey = np.rint((finite - low) * (255 / span if span > 0 else 0)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _layout(artifact: Artifact, rank: int) -> str | None:
    """The layout of the input; None if it is unknown.

    An artifact from before layouts were recorded has its channels in axis 1, or, for a volume,
    where the score has its classes.
    """
    layout = artifact.expects.input_layout
    if layout is not None and len(layout) == rank:
        return layout
    if rank == 5:
        return "NDHWC" if artifact.score.class_axis == 4 else "NCDHW"
    return "NCHW" if rank == 4 else None
