"""The statements of common exporters about a network, in metadata or files beside it."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ortcam.artifact import Expectations, Preprocessing
from ortcam.errors import InputError, ModelError
from ortcam_export.reading.label_files import by_index, checked_names, read_text

__all__ = ["hugging_face", "ultralytics"]

#: The longest Python literal that is read, as parsing takes many times its size.
LONGEST_LITERAL = 200_000


def ultralytics(metadata: Mapping[str, str]) -> Expectations | None:
    """Return Ultralytics' statements in a network's metadata, or None if there are none.

    ``names`` is a Python literal, a dict from indices to class names; ``imgsz`` is [height, width],
    and ``stride`` the number that both are multiples of. These networks take RGB pixels of 0 to 1.

    Raises:
        InputError: the entries are damaged.
    """
    if "names" not in metadata or not {"stride", "imgsz", "task"} & set(metadata):
        return None
    names = _literal(metadata["names"], "names")
    if not isinstance(names, dict):
        raise InputError("the metadata's 'names' is not a dict of class names")
    classes = checked_names((str(n) for n in by_index(names, "the metadata's 'names'")), "'names'")
    size, divisor = None, 1
    if "imgsz" in metadata:
        height, width = _two_ints(_literal(metadata["imgsz"], "imgsz"))
        size = width, height
    if "stride" in metadata:
        divisor = int(_literal(metadata["stride"], "stride"))
    try:
        preprocess = Preprocessing(size=size, divisor=divisor)
    except ModelError as error:
        raise InputError(f"the metadata's 'imgsz' or 'stride' is damaged: {error}") from error
    return Expectations(classes=classes, preprocess=preprocess)


def hugging_face(folder: Path) -> Expectations | None:
    """Return the statements of Hugging Face's files beside a network, or None without them.

    ``config.json`` has the class names as ``id2label``; ``preprocessor_config.json`` has
    ``image_mean`` and ``image_std``, on pixels times ``rescale_factor``, and ``size``.

    Raises:
        InputError: the files are damaged.
    """
    labels = _read_json(folder / "config.json").get("id2label")
    classes = None
    if isinstance(labels, dict) and labels:
        names = by_index(labels, "config.json")
        classes = checked_names((str(name) for name in names), "config.json")
    preprocess = _preprocessor(_read_json(folder / "preprocessor_config.json"))
    if classes is None and preprocess is None:
        return None
    return Expectations(classes=classes, preprocess=preprocess)


def _preprocessor(data: Mapping[str, Any]) -> Preprocessing | None:
    if not {"image_mean", "rescale_factor", "do_rescale"} & set(data):
        return None
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    try:
        if data.get("do_normalize", True) and "image_mean" in data:
            mean = tuple(float(v) for v in data["image_mean"])
            std = tuple(float(v) for v in data["image_std"])
        scale = float(data.get("rescale_factor", 1 / 255)) if data.get("do_rescale", True) else 1.0
        return Preprocessing(
            scale=scale,
            mean=mean,
            std=std,
            size=_size(data) if data.get("do_resize", True) else None,
            divisor=int(data.get("size_divisor") or 1),
        )
    except (KeyError, TypeError, ValueError, ModelError) as error:
        raise InputError(f"preprocessor_config.json is damaged: {error}") from error


def _size(data: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return a fixed working size; None if only one edge is stated, as that keeps the shape."""
    size = data.get("size")
    if isinstance(size, int):
        return size, size
    if isinstance(size, dict) and {"height", "width"} <= set(size):
        return int(size["width"]), int(size["height"])
    return None


def _read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; return an empty one if there is no file."""
    if path.is_symlink() or not path.is_file():  # a link may lead out of the network's folder
        return {}
    try:
        data = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} beside the network is not valid JSON: {error}") from error
    return data if isinstance(data, dict) else {}


def _literal(text: str, key: str) -> Any:
    if len(text) > LONGEST_LITERAL:
        raise InputError(f"the metadata's {key!r} has over {LONGEST_LITERAL} characters")
    try:
        return ast.literal_eval(text)  # parses numbers, strings and containers; runs nothing
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        raise InputError(f"the metadata's {key!r} is damaged") from error


def _two_ints(value: Any) -> tuple[int, int]:
    try:
        first, second = value
        return int(first), int(second)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the metadata's 'imgsz' is {value!r}, not a height and a width"
        ) from error
