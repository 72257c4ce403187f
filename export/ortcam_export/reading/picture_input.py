"""The input that takes the picture, or the array in its place: which it is, and its axes."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from ortcam.errors import InputError
from ortcam.messages import Option
from ortcam_export.graph.layouts import LAYOUTS, input_layout, kinds_by_readers
from ortcam_export.graph.values import PICTURE_CHANNELS, rank

__all__ = ["InputLayout", "channel_count", "find_layout", "find_picture"]

#: The kinds of a plane without channels; of the layouts with its grid, one is as good as another.
_PLANE = ("batch", "space", "space")

_BYTES = (ir.DataType.UINT8, ir.DataType.INT8)

#: Operators behind which an input still has its channels.
_KEEPING_CHANNELS = ("Add", "Cast", "Clip", "Div", "Identity", "Mul", "Pad", "Sub", "Transpose")


def find_picture(model: ir.Model, picture: str | None = None) -> ir.Value:
    """The input that takes the picture.

    That is the one of rank 4 with one or three channels, first or last, or of rank 5; else the only
    one of rank 4, or of rank 3. Whole numbers count only as pixels.

    Args:
        model: a prepared network.
        picture: the input's name, instead of the choice.

    Raises:
        InputError: there is no such input, none, or several that could be it.
    """
    inputs = {value.name or "": value for value in model.graph.inputs}
    if picture is not None:
        if picture not in inputs:
            names = ", ".join(repr(name) for name in inputs)
            raise InputError(f"the network has no input {picture!r}; it has {names}")
        return inputs[picture]
    possible = _possible(list(inputs.values()))
    if len(possible) == 1:
        return possible[0]
    unranked = [name for name, value in inputs.items() if value.shape is None]
    if unranked and not possible:
        raise InputError(
            f"the network does not declare the shape of its input {unranked[0]!r}; export it again "
            "with inputs of known rank, such as [N, C, H, W]"
        )
    names = ", ".join(f"{value.name!r} {value.shape}" for value in possible or inputs.values())
    if possible:
        raise InputError(
            f"several inputs could take the picture: {names}; say which by ",
            Option("picture_input"),
        )
    raise InputError(f"no input takes a picture [N, C, H, W]; the network has {names or 'none'}")


def _possible(values: list[ir.Value]) -> list[ir.Value]:
    """The inputs that could take the picture, by the strongest evidence that there is."""
    numeric = [value for value in values if not _holds_tokens(value)]
    pictures = [value for value in numeric if _has_picture_channels(value)]
    arrays = [value for value in numeric if rank(value) == 5]
    return (
        ([*pictures, *arrays] if pictures else [])
        or [value for value in numeric if rank(value) in (4, 5)]
        or [value for value in numeric if rank(value) == 3]
    )


def _holds_tokens(value: ir.Value) -> bool:
    """True for text, and for whole numbers of more than a byte, such as tokens."""
    dtype = value.dtype
    return dtype is not None and not dtype.is_floating_point() and dtype not in _BYTES


def _has_picture_channels(value: ir.Value) -> bool:
    if value.shape is None or len(value.shape) != 4:
        return False
    return value.shape[1] in PICTURE_CHANNELS or value.shape[3] in PICTURE_CHANNELS


# ---- Its axes -------------------------------------------------------------------------------


@dataclass(frozen=True)
class InputLayout:
    """The layout of an input.

    Attributes:
        name: one of :data:`ortcam.artifact.LAYOUTS`, or None if it is unknown.
        source: ``"stated"`` by the user or the metadata, ``"shown"`` by the network, ``"assumed"``.
    """

    name: str | None
    source: str

    @property
    def channel_axis(self) -> int | None:
        """The axis of channels, or None."""
        return self.name.index("C") if self.name is not None and "C" in self.name else None


def find_layout(
    model: ir.Model, picture: ir.Value, stated: str | None, assumed: str | None = None
) -> InputLayout:
    """Return the layout of an input: as it is stated, else as the network shows it.

    Args:
        model: a prepared network.
        picture: its input.
        stated: the layout by the user, or by the network's metadata.
        assumed: the layout where nothing shows it; by default that of most inputs of this shape.

    Raises:
        InputError: the stated layout does not fit the input.
    """
    if stated is not None:
        input_layout(model, picture, stated)  # refuses another rank
        _refuse_other_readers(model, picture, stated)
        return InputLayout(stated, "stated")
    evidence = input_layout(model, picture)
    if evidence is None and kinds_by_readers(model, picture) == _PLANE:
        evidence = "NFT"
    if evidence is not None:
        return InputLayout(evidence, "shown")
    if assumed is None or len(assumed) != rank(picture):
        assumed = _assumed(picture)
    return InputLayout(assumed, "assumed")


def channel_count(picture: ir.Value, layout: InputLayout) -> int | None:
    """Return an input's number of channels, by its shape or by the convolution that reads it."""
    axis = layout.channel_axis
    if axis is None or picture.shape is None:
        return None
    extent = picture.shape[axis]
    return extent if isinstance(extent, int) and extent > 0 else _channels_read(picture)


def _channels_read(value: ir.Value, steps: int = 8) -> int | None:
    """The number of channels that a convolution behind a value reads, or None."""
    for node in value.consumers() if steps else ():
        weights = node.inputs[1] if node.op_type == "Conv" else None
        if weights is not None and node.inputs[0] is value and weights.const_value is not None:
            channels = int(weights.const_value.shape.numpy()[1])
            return channels * (node.attributes.get_int("group", 1) or 1)
        if node.op_type in _KEEPING_CHANNELS:
            channels_behind = _channels_read(node.outputs[0], steps - 1)
            if channels_behind is not None:
                return channels_behind
    return None


def _assumed(picture: ir.Value) -> str | None:
    """The layout of an input that nothing shows; None for rank 3, where several are as likely."""
    if rank(picture) == 4:
        return "NCHW"
    if rank(picture) != 5 or picture.shape is None:
        return None
    is_clip = picture.shape[2] in PICTURE_CHANNELS and picture.shape[1] not in PICTURE_CHANNELS
    return "NTCHW" if is_clip else "NCDHW"


def _refuse_other_readers(model: ir.Model, picture: ir.Value, layout: str) -> None:
    """Refuse a layout where the operators that read the input have its channels elsewhere."""
    readers = kinds_by_readers(model, picture) or ()
    kinds = LAYOUTS[layout]
    for axis, (kind, kind_read) in enumerate(zip(kinds, readers, strict=False)):
        if kind_read is None or (kind == "class") == (kind_read == "class"):
            continue
        nouns = {"class": "channels", "space": "places", "time": "times"}
        raise InputError(
            f"layout {layout} does not fit: the network reads axis {axis} of the input "
            f"{picture.name!r} {picture.shape} as {nouns.get(kind_read, kind_read)}"
        )
