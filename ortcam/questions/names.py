"""Classes and layers as a user names them."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

from ortcam.artifact import Layer
from ortcam.errors import ClassError, LayerError, nearest

__all__ = ["Classes", "class_indices", "named_layers"]

Classes = Iterable[str | int] | str | int
"""Classes by name or 0-based index."""


def class_indices(asked: Classes, classes: Sequence[str]) -> tuple[int, ...]:
    """The 0-based indices of classes.

    Args:
        asked: by name or 0-based index, one or several.
        classes: all there are.

    Raises:
        ClassError: there is no such class, or none is asked for.
    """
    if isinstance(asked, str) or not isinstance(asked, Iterable):
        asked = [asked]
    listed = list(asked)
    if not listed:
        raise ClassError("no class was asked about; leave classes out for those in the picture")
    return tuple(_index(entry, classes) for entry in listed)


def named_layers(asked: Iterable[str] | str | None, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Layers by name; all where none is asked for by None.

    Raises:
        LayerError: the artifact has no such layer, or none is asked for.
    """
    if asked is None:
        return tuple(layers)
    listed = [asked] if isinstance(asked, str) else list(asked)
    if not listed:
        raise LayerError("no layer was asked for; leave layers out for all of the artifact's")
    known = {layer.name: layer for layer in layers}
    for name in listed:
        if name not in known:
            raise LayerError(
                f"the artifact has no layer {name!r}{nearest(name, known)}; another layer of the "
                "network takes an export of its own"
            )
    return tuple(known[name] for name in listed)


def _index(entry: str | int, classes: Sequence[str]) -> int:
    if isinstance(entry, str):
        matches = [i for i, name in enumerate(classes) if name == entry]
        if len(matches) > 1:
            raise ClassError(
                f"{len(matches)} classes are called {entry!r}; give one of the 0-based indices "
                f"{', '.join(map(str, matches))}"
            )
        if not matches:
            raise ClassError(f"there is no class {entry!r}{nearest(entry, classes)}")
        return matches[0]
    try:
        index = operator.index(entry)
    except TypeError:
        raise ClassError(f"a class goes by name or 0-based index, not {entry!r}") from None
    if not 0 <= index < len(classes):
        raise ClassError(f"there is no class {index}; there are {len(classes)}, counted from 0")
    return index
