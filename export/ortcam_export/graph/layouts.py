"""The layout of a network's input: the kind of each of its axes."""

from __future__ import annotations

import onnx_ir as ir

from ortcam.errors import InputError
from ortcam_export.graph.values import PICTURE_CHANNELS, extents, rank

__all__ = ["LAYOUTS", "input_layout"]

#: The kinds of the axes of each layout that has a name.
LAYOUTS: dict[str, tuple[str, ...]] = {
    "NCHW": ("batch", "class", "space", "space"),
    "NHWC": ("batch", "space", "space", "class"),
    "NCL": ("batch", "class", "space"),
    "NLC": ("batch", "space", "class"),
    "NCDHW": ("batch", "class", "space", "space", "space"),
    "NDHWC": ("batch", "space", "space", "space", "class"),
    "NTCHW": ("batch", "time", "class", "space", "space"),
    "NTHWC": ("batch", "time", "space", "space", "class"),
    "NFT": ("batch", "space", "time"),
    "NTF": ("batch", "time", "space"),
}


def input_layout(model: ir.Model, value: ir.Value, layout: str | None = None) -> str | None:
    """Return the layout of an input: one of :data:`LAYOUTS`, or None if it is unknown.

    Args:
        model: a prepared network.
        value: its input.
        layout: the user's statement, which counts for more than what the network shows.

    Raises:
        InputError: ``layout`` is none of :data:`LAYOUTS`, or has another rank than the input.
    """
    if layout is not None:
        _refuse_misfit(value, layout)
        return layout
    first, last = {3: ("NCL", "NLC"), 4: ("NCHW", "NHWC"), 5: ("NCDHW", "NDHWC")}.get(
        rank(value), (None, None)
    )
    if first is None or value.shape is None:
        return None
    is_first, is_last = (value.shape[axis] in PICTURE_CHANNELS for axis in (1, -1))
    return None if is_first == is_last else first if is_first else last


def _refuse_misfit(value: ir.Value, layout: str) -> None:
    if layout not in LAYOUTS:
        raise InputError(f"layout is {layout!r}; it is one of {', '.join(LAYOUTS)}")
    if value.shape is not None and rank(value) != len(layout):
        listed = ", ".join(map(str, extents(value)))
        raise InputError(
            f"layout {layout} does not fit: it has {len(layout)} axes, but the input "
            f"{value.name!r} [{listed}] has {rank(value)}"
        )
