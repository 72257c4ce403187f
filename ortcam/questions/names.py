"""Classes and layers by the names that users give."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

from ortcam.artifact import Artifact, Layer
from ortcam.errors import ClassError, LayerError, nearest

__all__ = ["Classes", "class_indices", "class_names", "named_layers"]

Classes = Iterable[str | int] | str | int
"""Classes by name or 0-based index."""


def class_names(artifact: Artifact, count: int) -> tuple[str, ...]:
    """Return the names of all classes, by their numbers where the artifact has none.

    The channels of a linear score are no classes: one is named ``"value"``, several
    ``"channel 0"`` and so on.

    Example:
        >>> from ortcam.artifact import Score
        >>> score = Score(name="age", kind="linear")
        >>> class_names(Artifact(layers=(), score=score, picture="image"), 1)
        ('value',)
    """
    if artifact.expects.classes:
        return artifact.expects.classes
    if artifact.score.kind != "linear":
        return tuple(f"class {i}" for i in range(count))
    return ("value",) if count == 1 else tuple(f"channel {i}" for i in range(count))


def class_indices(entries: Classes, classes: Sequence[str]) -> tuple[int, ...]:
    """Return the 0-based indices of classes.

    Args:
        entries: one class or several, by name or 0-based index.
        classes: the names of all classes.

    Raises:
        ClassError: there is no such class, or the list is empty.

    Example:
        >>> class_indices(["Car", 0], ("Sky", "Road", "Car"))
        (2, 0)
    """
    if isinstance(entries, str) or not isinstance(entries, Iterable):
        entries = [entries]
    listed = list(entries)
    if not listed:
        raise ClassError("the list of classes is empty; leave it out for those in the picture")
    return tuple(_index(entry, classes) for entry in listed)


def named_layers(names: Iterable[str] | str | None, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return layers by name, all for None.

    Raises:
        LayerError: the artifact has no such layer, or the list is empty.
    """
    if names is None:
        return tuple(layers)
    listed = [names] if isinstance(names, str) else list(names)
    if not listed:
        raise LayerError("the list of layers is empty; leave it out for all of the artifact's")
    by_name = {layer.name: layer for layer in layers}
    for name in listed:
        if name not in by_name:
            raise LayerError(
                f"the artifact has no layer {name!r}{nearest(name, by_name)}; for another layer of "
                "the network, export it again"
            )
    return tuple(by_name[name] for name in listed)


def _index(entry: str | int, classes: Sequence[str]) -> int:
    if isinstance(entry, str):
        matches = [i for i, name in enumerate(classes) if name == entry]
        if len(matches) > 1:
            raise ClassError(
                f"{len(matches)} classes are named {entry!r}; give one of the 0-based indices "
                f"{', '.join(map(str, matches))}"
            )
        if not matches:
            raise ClassError(f"there is no class {entry!r}{nearest(entry, classes)}")
        return matches[0]
    try:
        index = operator.index(entry)
    except TypeError:
        raise ClassError(f"a class is given by name or 0-based index, not {entry!r}") from None
    if not 0 <= index < len(classes):
        raise ClassError(f"there is no class {index}; there are {len(classes)}, counted from 0")
    return index
