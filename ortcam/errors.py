"""The errors that ortcam raises on purpose.

::

    OrtcamError
    ├── ModelError            a file or proto is not a usable ONNX network
    │   ├── ArtifactError     a file is no usable artifact, or is one where a network is expected
    │   │   └── PlainNetworkError   a plain network, to be exported first
    │   ├── OperatorError     an operator on the gradient's way has no rule
    │   └── VerificationError the exported gradient disagrees with central differences
    ├── LayerError            no such feature or reduction layer, or no gradient reaches it
    ├── ClassError            no such class
    ├── RegionError           a region has the wrong size, or is empty
    ├── PictureError          a picture cannot be read, or does not fit the network
    ├── InputError            an option or a further network input is missing or does not fit
    ├── ProviderError         an execution provider does not start
    ├── OutputError           a path cannot be written
    └── DependencyError       an optional package is not installed

Each message is one sentence or two: what is wrong, where, and what to do. It names an option by an
:class:`~ortcam.messages.Option` among its parts, so that each interface spells it in its own way:
Python as ``size=``, the command line as ``--size``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from ortcam.messages import Message, Option

__all__ = [
    "ArtifactError",
    "ClassError",
    "DependencyError",
    "InputError",
    "LayerError",
    "ModelError",
    "OperatorError",
    "OrtcamError",
    "OutputError",
    "PictureError",
    "PlainNetworkError",
    "ProviderError",
    "RegionError",
    "VerificationError",
]


class OrtcamError(Exception):
    """The base class of all errors that ortcam raises on purpose.

    Attributes:
        message: the text with its options.
        options: the options that the message names.

    Example:
        >>> from ortcam.messages import Option
        >>> error = InputError("a picture has no slices; leave ", Option("slice"), " out")
        >>> str(error), error.options
        ('a picture has no slices; leave slice= out', (Option(name='slice', value=None),))
    """

    def __init__(self, *parts: str | Option) -> None:
        """Joins the parts of the message: text, options, and messages of other errors."""
        self.message = Message(*parts)
        super().__init__(self.message)

    @property
    def options(self) -> tuple[Option, ...]:
        """The options that the message names, in order."""
        return tuple(part for part in self.message.parts if isinstance(part, Option))


class ModelError(OrtcamError):
    """A file or proto is not a usable ONNX network."""


class ArtifactError(ModelError):
    """A file is no usable artifact, or is one where a plain network is expected."""


class PlainNetworkError(ArtifactError):
    """A plain network was given instead of an artifact; export it first."""


class OperatorError(ModelError):
    """An operator between the feature layer and the score has no gradient rule."""


class VerificationError(ModelError):
    """The exported gradient disagrees with central differences through the network."""


class LayerError(OrtcamError):
    """There is no such layer, or the score's gradient does not reach it.

    Attributes:
        candidates: where the choice of the score stops in ``ortcam_export.layers``, the candidates
            (:class:`ortcam_export.Candidate`) for it, else empty.
    """

    candidates: Sequence[Any] = ()


class ClassError(OrtcamError):
    """There is no such class."""


class RegionError(OrtcamError):
    """A region has the wrong size, or selects no pixel."""


class PictureError(OrtcamError):
    """A picture cannot be read, or does not fit the network."""


class InputError(OrtcamError):
    """An option or a further input of the network is missing or does not fit."""


class ProviderError(OrtcamError):
    """A requested execution provider of onnxruntime does not start."""


class OutputError(OrtcamError):
    """A path cannot be written."""


class DependencyError(OrtcamError, ImportError):
    """An optional package that this call needs is not installed."""


def nearest(name: str, names: Iterable[str], *, most: int = 3) -> str:
    """Return the end of a sentence about an unknown name: the most similar names.

    Returns:
        The nearest names; the first few names if none is similar; "" if there are no names.

    Example:
        >>> nearest("Kar", ["Sky", "Car"])
        "; the nearest is 'Car'"
    """
    candidates = list(names)
    if not candidates:
        return ""
    folded = {k.casefold(): k for k in reversed(candidates)}
    matches = [folded[m] for m in difflib.get_close_matches(name.casefold(), folded, most, 0.4)]
    *rest, last = [repr(k) for k in matches or candidates[:most]]
    listed = f"{', '.join(rest)} and {last}" if rest else last
    verb = "are" if rest else "is"
    if matches:
        return f"; the nearest {verb} {listed}"
    if len(candidates) > most:
        return f"; there are {len(candidates)}, among them {listed}"
    return f"; there {verb} {listed}"
