"""A network's preprocessing, and the names and colours of its classes.

Options come first, then the network's own metadata under ``ortcam``, then what common exporters
write (:mod:`ortcam_export.reading.known_exporters`). If none states how pixels become the
input, the module assumes it and notes so.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from ortcam.artifact import METADATA_KEY, Expectations, Preprocessing, expectations_from_json
from ortcam.errors import InputError, ModelError
from ortcam.messages import Message, Option
from ortcam_export.reading.known_exporters import hugging_face, ultralytics
from ortcam_export.reading.label_files import Color, checked_names, read_colors, read_labels
from ortcam_export.reading.model_file import Network
from ortcam_export.reading.picture_input import (
    InputLayout,
    channel_count,
    find_layout,
    find_picture,
)

__all__ = ["Options", "expectations", "find_picture", "input_layouts"]

#: The options of a picture's preprocessing; arrays enter unchanged.
_OF_PICTURES = ("color_order", "rescale", "mean", "std", "size", "divisor")

PathOr = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The user's statements about a network; None for what is not stated.

    Attributes:
        classes: names in the order of the score's channels, or the path of a label file.
        colors: (r, g, b) a class, or the path of a colour file.
        layout: the input's, one of :data:`ortcam.artifact.LAYOUTS`.
        color_order, rescale, mean, std, size, divisor: as in
            :class:`ortcam.artifact.Preprocessing`; one number for ``mean`` or ``std`` counts for
            every channel.
    """

    classes: Sequence[str] | PathOr | None = None
    colors: Sequence[Sequence[int]] | PathOr | None = None
    color_order: str | None = None
    layout: str | None = None
    rescale: float | None = None
    mean: Sequence[float] | float | None = None
    std: Sequence[float] | float | None = None
    size: tuple[int, int] | None = None
    divisor: int | None = None


def input_layouts(network: Network, picture: ir.Value, options: Options) -> dict[str, str]:
    """Return the stated or assumed layout of the input that takes the picture, by its name.

    Returns:
        An empty mapping if the network shows the layout, or it is unknown.

    Raises:
        InputError: the layout that the user states does not fit.
        ModelError: the network's own metadata are damaged.
    """
    layout = _layout(network, picture, options, _statements(network, []))
    if layout.name is None or layout.source == "shown":
        return {}
    return {picture.name or "": layout.name}


def expectations(
    network: Network,
    picture: ir.Value,
    options: Options,
    *,
    classes: int | None = None,
    notes: list[str] | None = None,
) -> Expectations:
    """Return all statements about a network, checked against its picture and its score.

    Args:
        network: the network as it was read.
        picture: its input.
        options: what the user says.
        classes: how many classes the score has, where that is known.
        notes: takes a sentence on what was assumed or left out.

    Raises:
        InputError: an option does not fit the network, or a file beside it is damaged.
        ModelError: the network's own metadata are damaged.
    """
    notes = [] if notes is None else notes
    statements = _statements(network, notes)
    names = _classes(options, statements, classes, notes)
    colors = _colors(options, statements, names, classes, notes)
    layout = _layout(network, picture, options, statements)
    inputs = dict(statements.inputs)
    of_picture = inputs.pop(picture.name or "", statements.preprocess)
    preprocess = _preprocess(options, of_picture, picture, layout, notes)
    return Expectations(
        classes=names,
        colors=colors,
        preprocess=preprocess,
        layout=layout.name if preprocess is None else None,
        inputs=_of_further(network, inputs),
    )


def _statements(network: Network, notes: list[str]) -> Expectations:
    """Return the network's statements: its own metadata before those of its exporter."""
    metadata = network.model.metadata_props
    statements = Expectations()
    if METADATA_KEY in metadata:
        statements = expectations_from_json(metadata[METADATA_KEY], source=network.name)
        checked_names(statements.classes or (), network.name)
    others = [("Ultralytics' metadata", ultralytics(metadata))]
    if network.folder is not None:
        others.append(("Hugging Face's files beside the network", hugging_face(network.folder)))
    for source, other in others:
        if other is None or (statements.classes and statements.preprocess):
            continue
        parts = [
            what
            for what, mine, theirs in (
                ("class names", statements.classes, other.classes),
                ("preprocessing", statements.preprocess, other.preprocess),
            )
            if mine is None and theirs is not None
        ]
        if parts:
            notes.append(f"{' and '.join(parts)} from {source}")
        statements = dataclasses.replace(
            statements,
            classes=statements.classes or other.classes,
            preprocess=statements.preprocess or other.preprocess,
        )
    return statements


def _classes(
    options: Options, statements: Expectations, class_count: int | None, notes: list[str]
) -> tuple[str, ...] | None:
    option = options.classes
    if option is not None:
        if isinstance(option, (str, os.PathLike)):
            names, source = read_labels(option), str(option)
        else:
            names, source = checked_names(option, "classes"), "classes"
        if class_count is not None and len(names) != class_count:
            raise InputError(
                f"{source} names {_count(len(names), 'class')}, but the score has {class_count}"
            )
        return names
    if statements.classes is not None and class_count not in (None, len(statements.classes)):
        notes.append(
            f"the network's {_count(len(statements.classes), 'class name')} left out, "
            f"as the score has {_count(class_count or 0, 'class')}"
        )
        return None
    return statements.classes


def _colors(
    options: Options,
    statements: Expectations,
    names: tuple[str, ...] | None,
    classes: int | None,
    notes: list[str],
) -> tuple[Color, ...] | None:
    class_count = len(names) if names else classes
    option = options.colors
    if option is None:
        if statements.colors is not None and class_count not in (None, len(statements.colors)):
            notes.append(
                f"the network's {_count(len(statements.colors), 'colour')} left out, "
                f"as the score has {_count(class_count or 0, 'class')}"
            )
            return None
        return statements.colors
    if isinstance(option, (str, os.PathLike)):
        colors, source = read_colors(option, names), str(option)
    else:
        colors, source = tuple(_color(color) for color in option), "colors"
    if class_count is not None and len(colors) != class_count:
        raise InputError(
            f"{source} has {_count(len(colors), 'colour')}, but the score has "
            f"{_count(class_count, 'class')}"
        )
    return colors


def _color(values: Sequence[int]) -> Color:
    if len(values) != 3 or not all(0 <= int(v) <= 255 for v in values):
        raise InputError(f"colors has {values!r}; a colour is three numbers from 0 to 255")
    r, g, b = (int(v) for v in values)
    return r, g, b


def _layout(
    network: Network, picture: ir.Value, options: Options, statements: Expectations
) -> InputLayout:
    """Return the input's layout; that of preprocessing counts where nothing else shows it."""
    of_picture = statements.inputs.get(picture.name or "", statements.preprocess)
    return find_layout(
        network.model,
        picture,
        options.layout or statements.layout,
        None if of_picture is None else of_picture.layout,
    )


def _of_further(network: Network, inputs: Mapping[str, Preprocessing]) -> dict[str, Preprocessing]:
    """Return the preprocessing of further pictures, in the layouts that the network shows.

    Raises:
        ModelError: the metadata describe an input that the network lacks, or that takes no such
            picture.
    """
    values = {value.name: value for value in network.model.graph.inputs}
    described: dict[str, Preprocessing] = {}
    for name, preprocess in inputs.items():
        if name not in values:
            raise ModelError(
                f"{network.name}'s metadata describe pictures for the input {name!r}, which the "
                "network lacks"
            )
        layout = find_layout(network.model, values[name], None, preprocess.layout)
        channels = channel_count(values[name], layout)
        if layout.name not in ("NCHW", "NHWC") or channels not in (
            None,
            len(preprocess.color_order),
        ):
            raise ModelError(
                f"{network.name}'s metadata describe {preprocess.color_order} pictures for the "
                f"input {name!r} {values[name].shape}, which takes none"
            )
        described[name] = dataclasses.replace(preprocess, layout=layout.name)
    return described


def _preprocess(
    options: Options,
    statements: Preprocessing | None,
    picture: ir.Value,
    layout: InputLayout,
    notes: list[str],
) -> Preprocessing | None:
    if layout.source == "assumed":
        notes.append(_layout_note(picture, layout))
    channels = channel_count(picture, layout)
    if layout.name not in ("NCHW", "NHWC") or channels not in (None, 1, 3):
        _refuse_picture_options(options, picture)
        notes.append(
            Message(
                f"the input {picture.name!r} {picture.shape} takes no grey or colour picture, "
                "so it is to be given as an array (",
                Option("tensor"),
                ")",
            )
        )
        return None
    order = options.color_order or (statements.color_order if statements else None)
    order = order or ("L" if channels == 1 else "RGB")
    if channels is not None and len(order) != channels:
        raise InputError(
            f"color_order {order} does not fit the input {picture.name!r}, "
            f"which takes {_count(channels, 'channel')}"
        )
    is_stated = (options.rescale, options.mean, options.std) != (None, None, None)
    try:
        base = statements or _assumed(picture, order)
        if len(base.mean) != len(order):  # a grey network told in three values, or the reverse
            zeros, ones = _all(0, order), _all(1, order)
            base = dataclasses.replace(base, color_order=order, mean=zeros, std=ones)
        result = Preprocessing(
            color_order=order,
            layout=layout.name,
            scale=_scale(options, base, notes),
            mean=_per_channel(options.mean, base.mean),
            std=_per_channel(options.std, base.std),
            size=_size(options, base, picture, layout.name),
            divisor=base.divisor if options.divisor is None else options.divisor,
            assumed=base.assumed and not is_stated,
        )
    except ModelError as error:
        raise InputError(error.message) from error
    if result.assumed:
        notes.append(
            Message(
                "nothing says what the network expects of a picture: assumed "
                f"{_pixels(result)}; say it by ",
                Option("rescale"),
                ", ",
                Option("mean"),
                ", ",
                Option("std"),
                " and ",
                Option("color_order"),
            )
        )
    return result


def _layout_note(picture: ir.Value, layout: InputLayout) -> str:
    noun = f"the layout of the input {picture.name!r} {picture.shape}"
    if layout.name is None:
        return Message(
            f"{noun} is unknown, so no maps can be drawn over it; say it by ", Option("layout")
        )
    return Message(f"nothing shows {noun}: assumed {layout.name}; say it by ", Option("layout"))


def _refuse_picture_options(options: Options, picture: ir.Value) -> None:
    """Refuse the options of a picture's preprocessing for an input that takes arrays."""
    names = [name for name in _OF_PICTURES if getattr(options, name) is not None]
    if names:
        options_listed = [part for name in names for part in (", ", Option(name))][1:]
        raise InputError(
            f"the input {picture.name!r} {picture.shape} takes no grey or colour picture, so "
            "arrays enter it unchanged; normalise them, and leave out the options of pictures: ",
            *options_listed,
        )


def _assumed(picture: ir.Value, order: str) -> Preprocessing:
    whole = picture.dtype is not None and not picture.dtype.is_floating_point()
    return Preprocessing(
        color_order=order,
        scale=1.0 if whole else 1 / 255,
        mean=_all(0, order),
        std=_all(1, order),
        assumed=True,
    )


def _all(value: float, channels: str) -> tuple[float, ...]:
    return (float(value),) * len(channels)


def _per_channel(
    option: Sequence[float] | float | None, base: tuple[float, ...]
) -> tuple[float, ...]:
    if option is None:
        return base
    values = (option,) if isinstance(option, (int, float)) else tuple(option)
    return tuple(float(v) for v in values) * (len(base) if len(values) == 1 else 1)


def _scale(options: Options, base: Preprocessing, notes: list[str]) -> float:
    """Mean and std above 1 are of pixels from 0 to 255: then these are not scaled first."""
    if options.rescale is not None:
        return float(options.rescale)
    mean, std = (_per_channel(v, ()) or (0.0,) for v in (options.mean, options.std))
    if base.assumed and (max(map(abs, mean)) > 1 or max(std) > 2):
        notes.append("mean and std are of pixels from 0 to 255, so pixels are not rescaled")
        return 1.0
    return base.scale


def _size(
    options: Options, base: Preprocessing, picture: ir.Value, layout: str
) -> tuple[int, int] | None:
    height, width = (1, 2) if layout == "NHWC" else (2, 3)
    extents = _extent(picture, width), _extent(picture, height)
    if options.size is not None:
        requested = tuple(options.size)
        if len(requested) == 2 and any(
            fixed not in (None, wish) for fixed, wish in zip(extents, requested, strict=True)
        ):
            fixed = "x".join("any" if extent is None else str(extent) for extent in extents)
            raise InputError(
                f"size {requested[0]}x{requested[1]} does not fit: the network's input is fixed at "
                f"{fixed}"
            )
        return options.size
    if extents[0] is not None and extents[1] is not None:
        return extents[0], extents[1]
    return base.size


def _extent(value: ir.Value, axis: int) -> int | None:
    extent = value.shape[axis] if value.shape is not None and len(value.shape) > axis else None
    return extent if isinstance(extent, int) and extent > 0 else None


def _pixels(preprocessing: Preprocessing) -> str:
    order = {"L": "grey"}.get(preprocessing.color_order, preprocessing.color_order)
    upper = f"{255 * preprocessing.scale:g}"
    return f"{order} pixels from 0 to {upper}, without mean and std"


def _count(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}es" if noun.endswith("s") else f"{number} {noun}s"
