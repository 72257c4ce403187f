"""Every error ortcam raises on purpose.

::

    OrtcamError
    ├── ModelError            a file or proto is not a usable ONNX network
    │   ├── ArtifactError     an artifact was meant and this is none, or the reverse
    │   │   └── PlainNetworkError   a plain network, which an export would make one
    │   ├── OperatorError     an operator on the way has no gradient rule
    │   └── VerificationError the exported gradient disagrees with central differences
    ├── LayerError            no such feature or reduction layer, or no gradient reaches it
    ├── ClassError            no such class
    ├── RegionError           a region of the wrong size, or empty
    ├── PictureError          a picture that cannot be read, or does not fit the network
    ├── InputError            an option or a further network input is missing or does not fit
    ├── ProviderError         an execution provider that does not start
    ├── OutputError           a path that cannot be written
    └── DependencyError       an optional package that this call needs is not installed

Each message is one sentence or two: what is wrong, where, and what to do about it. A message names
an option by an :class:`~ortcam.messages.Option` among its parts, so that every interface spells it
its own way: Python as ``size=``, the command line as ``--size``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

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
    """The base of every error that ortcam raises on purpose.

    Attributes:
        message: what is wrong, where, and what to do.
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
    """An artifact was meant and this is none, or the reverse."""


class PlainNetworkError(ArtifactError):
    """A plain network where an artifact was meant: exporting it makes one."""


class OperatorError(ModelError):
    """An operator between the feature layer and the score has no gradient rule."""


class VerificationError(ModelError):
    """The exported gradient disagrees with central differences through the network itself."""


class LayerError(OrtcamError):
    """There is no such layer, or the gradient of the score does not reach it."""


class ClassError(OrtcamError):
    """There is no such class."""


class RegionError(OrtcamError):
    """A region has the wrong size, or selects no pixel."""


class PictureError(OrtcamError):
    """A picture cannot be read, or does not fit the network."""


class InputError(OrtcamError):
    """An option or a further input of the network is missing, or does not fit."""


class ProviderError(OrtcamError):
    """An execution provider of onnxruntime that was asked for does not start."""


class OutputError(OrtcamError):
    """A path cannot be written."""


class DependencyError(OrtcamError, ImportError):
    """An optional package that this call needs is not installed."""


def nearest(name: str, names: Iterable[str], *, most: int = 3) -> str:
    """The end of a sentence about a name that is not there: the names most like it.

    Returns:
        For example ``"; the nearest are 'dec_relu4' and 'dec_relu3'"``, or where nothing is
        alike the first few names, or an empty string where there are none.
    """
    known = list(names)
    if not known:
        return ""
    folded = {k.casefold(): k for k in reversed(known)}
    alike = [folded[m] for m in difflib.get_close_matches(name.casefold(), folded, most, 0.4)]
    shown = [repr(k) for k in alike or known[:most]]
    listed = shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]
    if not alike:
        return (
            f"; there are {len(known)}, among them {listed}"
            if len(known) > most
            else (f"; there is {listed}" if len(known) == 1 else f"; there are {listed}")
        )
    return f"; the nearest is {listed}" if len(shown) == 1 else f"; the nearest are {listed}"
