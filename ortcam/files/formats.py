"""Results in files: the format is what the file's name ends with."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.artifact import FORMAT, Artifact
from ortcam.errors import OutputError
from ortcam.files.atomic import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "ARRAYS",
    "PICTURES",
    "SUFFIXES",
    "VECTORS",
    "encoded",
    "figure_bytes",
    "listed",
    "save_arrays",
    "suffix_of",
]

PICTURES = (".png", ".jpg", ".jpeg")
VECTORS = (".svg", ".pdf")
ARRAYS = (".npz",)
SUFFIXES = (*PICTURES, *VECTORS, *ARRAYS)

_QUALITY = 92  # of JPEG: no block to be seen, and a third of a PNG
_PRINT = 300  # dots per inch of the pictures within a page

_DATES = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def suffix_of(path: str | os.PathLike[str]) -> str:
    """What a file's name ends with, in small letters.

    Raises:
        OutputError: it is no format that is known.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputError(f"{path} is no {listed()} file, so its format is not known")
    return suffix


def listed() -> str:
    """The formats, for a sentence: ``".png, .jpg, .svg, .pdf or .npz"``."""
    *most, last = (suffix for suffix in SUFFIXES if suffix != ".jpeg")
    return f"{', '.join(most)} or {last}"


def encoded(image: Image.Image, suffix: str) -> bytes:
    """A picture as a .png or .jpg file's bytes."""
    buffer = BytesIO()
    if suffix == ".png":
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()


def figure_bytes(figure: Figure, suffix: str) -> bytes:
    """A figure as a file's bytes: a picture, or a page.

    A page's text stays text: in SVG named by its font, in PDF with the font embedded as TrueType.
    The same figure gives the same bytes, without a date or random names.
    """
    import matplotlib

    buffer = BytesIO()
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "ortcam", "pdf.fonttype": 42}
    ):
        if suffix in VECTORS:
            figure.savefig(buffer, format=suffix[1:], dpi=_PRINT, metadata=_DATES[suffix])
        elif suffix == ".png":
            figure.savefig(buffer, format="png")
        else:
            options = {"quality": _QUALITY, "subsampling": 0}
            figure.savefig(buffer, format="jpeg", pil_kwargs=options)
    return buffer.getvalue()


def save_arrays(
    path: str | os.PathLike[str], artifact: Artifact, arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Writes a .npz: the arrays, and ``artifact`` (JSON: the network's SHA-256, the score).

    Raises:
        OutputError: the path cannot be written.
    """
    identity = {
        "format": FORMAT,
        "source_sha256": artifact.source_sha256,
        "score": artifact.score.name,
        "kind": artifact.score.kind,
        "engine": artifact.engine,
    }
    with whole_file(path) as file:
        arrays = {**arrays, "artifact": np.array(json.dumps(identity))}
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # allow_pickle is not in it
