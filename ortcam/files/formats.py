"""The formats of result files, by the ending of the file's name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.artifact import FORMAT, Artifact
from ortcam.errors import OutputError
from ortcam.files.atomic import check_writable, whole_file, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "ARRAYS",
    "PICTURES",
    "SUFFIXES",
    "VECTORS",
    "WRITERS",
    "Result",
    "figure_bytes",
    "image_bytes",
    "listed",
    "save_arrays",
    "suffix_of",
    "write",
    "write_arrays",
    "write_figure",
]

PICTURES = (".png", ".jpg", ".jpeg")
VECTORS = (".svg", ".pdf")
ARRAYS = (".npz",)
SUFFIXES = (*PICTURES, *VECTORS, *ARRAYS)
"""The formats of a single result."""

WRITERS = {
    **dict.fromkeys((*PICTURES, *VECTORS), "ortcam.files.formats:write_figure"),
    **dict.fromkeys(ARRAYS, "ortcam.files.formats:write_arrays"),
    ".html": "ortcam.report.writer:write_report",
}
"""The writer of each format: a function of a path, a result and drawing options.

It is a name, resolved on use, because reports import results, and results this module.
"""

_QUALITY = 92  # of JPEG: no visible blocks, and a third of a PNG
_PRINT = 300  # dots per inch of the pictures within a page

_DATES = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


class Result(Protocol):
    """A result that can be drawn and saved."""

    @property
    def artifact(self) -> Artifact:
        """The metadata of the artifact that it was computed with."""

    @property
    def figure(self) -> Callable[..., Figure]:
        """Draws the result; takes drawing options."""

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The arrays of a .npz file."""


def write(
    path: str | os.PathLike[str],
    result: Result,
    *,
    suffixes: Sequence[str] = tuple(WRITERS),
    **options: Any,
) -> None:
    """Write a result in the format that the path ends with.

    Args:
        path: the file.
        result: an explanation or a segmentation.
        suffixes: the formats allowed, of :data:`WRITERS`.
        **options: of drawing.

    Raises:
        DependencyError: the format needs a package that is not installed.
        OutputError: the path cannot be written, or has another format.
    """
    resolve_name(WRITERS[suffix_of(path, suffixes)])(path, result, **options)


def write_figure(path: str | os.PathLike[str], result: Result, **options: Any) -> None:
    """Write a picture or a page: the figure of a result."""
    check_writable(path)  # before the drawing
    write_whole(path, figure_bytes(result.figure(**options), suffix_of(path)))


def write_arrays(path: str | os.PathLike[str], result: Result, **_: Any) -> None:
    """Write the arrays of a result; there is nothing to draw."""
    save_arrays(path, result.artifact, result.arrays())


def suffix_of(path: str | os.PathLike[str], suffixes: Sequence[str] = SUFFIXES) -> str:
    """The ending of a file's name, in lower case.

    Raises:
        OutputError: it is none of the suffixes.

    Example:
        >>> suffix_of("Map.PNG")
        '.png'
    """
    suffix = Path(path).suffix.lower()
    if suffix not in suffixes:
        raise OutputError(f"{path} has no known format; name a {listed(suffixes)} file")
    return suffix


def listed(suffixes: Sequence[str] = SUFFIXES) -> str:
    """The formats, for a sentence.

    Example:
        >>> listed()
        '.png, .jpg, .svg, .pdf or .npz'
    """
    *most, last = (suffix for suffix in suffixes if suffix != ".jpeg")
    return f"{', '.join(most)} or {last}"


def image_bytes(image: Image.Image, suffix: str) -> bytes:
    """A picture as a .png or .jpg file."""
    buffer = BytesIO()
    if suffix == ".png":
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()


def figure_bytes(figure: Figure, suffix: str) -> bytes:
    """A figure as a file: a picture, or a page.

    A page's text stays text: in SVG named by its font, in PDF with the font embedded as TrueType.
    The same figure gives the same bytes, without dates or random names.
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
    """Write a .npz: the arrays, and ``artifact`` (JSON: the network's SHA-256, the score).

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
