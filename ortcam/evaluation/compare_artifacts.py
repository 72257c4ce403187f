"""Two artifacts side by side, as before and after quantization or a retraining.

Classes and feature layers are matched by their names. A layer of a network in the QDQ form has the
name of what its DequantizeLinear gives; where each artifact has one layer, these two are compared
whatever they are called.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ortcam import metrics
from ortcam.batch.dataset import Item
from ortcam.batch.journal import Record, Row
from ortcam.batch.workers import CancelCheck
from ortcam.errors import ClassError, LayerError
from ortcam.evaluation.measure_picture import Looked, look, rounded
from ortcam.evaluation.options import Options
from ortcam.grids.resample import upsample
from ortcam.messages import Option

if TYPE_CHECKING:
    from ortcam.cam import Cam

__all__ = ["Match", "compare", "match"]

_DEQUANTIZED = "_DequantizeLinear_Output"


@dataclass(frozen=True)
class Match:
    """What two artifacts have in common.

    Attributes:
        classes: of the first artifact to those of the second, by index.
        layers: likewise, by name.
        notes: what they have not.
    """

    classes: dict[int, int]
    layers: dict[str, str]
    notes: tuple[str, ...]


def match(cam: Cam, against: Cam, asked: Options) -> Match:
    """What of the first artifact is in the second too.

    Raises:
        ClassError, LayerError: nothing is.
    """
    known = {name: i for i, name in enumerate(against.classes)}
    classes = {i: known[cam.classes[i]] for i in asked.classes if cam.classes[i] in known}
    layers = {a: b for a in asked.layers if (b := _counterpart(a, cam, against)) is not None}
    if not classes:
        raise ClassError(
            f"the two artifacts have no class in common: one has {', '.join(cam.classes[:4])} and "
            f"the other {', '.join(against.classes[:4])}; export both with the same ",
            Option("classes"),
        )
    if not layers:
        raise LayerError(
            f"the two artifacts have no layer in common: one has {', '.join(asked.layers)} and the "
            f"other {', '.join(against.layers)}; export both with the same feature layers"
        )
    notes = [f"{a} is compared with {b}" for a, b in layers.items() if a != b]
    notes += [f"the other artifact has no layer {a}" for a in asked.layers if a not in layers]
    notes += [
        f"the other artifact has no class {cam.classes[i]}"
        for i in asked.classes
        if i not in classes
    ]
    return Match(classes, layers, tuple(notes))


def compare(
    cam: Cam, against: Cam, matched: Match, asked: Options, item: Item, going: CancelCheck
) -> Record:
    """How far the maps of both differ in one picture.

    The classes are those that are there by the label image, or without one by the first network.

    Raises:
        PictureError, RegionError: it cannot be done for this picture.
        Stopped: nobody waits for it any more.
    """
    classes, layers = tuple(matched.classes), tuple(matched.layers)
    looked = look(cam, replace(asked, classes=classes, layers=layers), item)
    if not looked.classes:
        return Record(item.name, notes=("none of the classes asked about is there",))
    other = Looked(
        against,
        replace(asked, layers=tuple(matched.layers.values())),
        item.name,
        looked.rgb,
        None,
    )
    theirs = [matched.classes[i] for i in looked.classes]
    rows = list(_predictions(looked, other, theirs))
    grid = looked.rgb.shape[:2]
    for mine, its in zip(looked.explained(looked.classes), other.explained(theirs), strict=True):
        for k, index in enumerate(looked.classes):
            going()
            for layer, counterpart in matched.layers.items():
                about = (item.name, cam.classes[index], layer, mine.method)
                one, two = (
                    upsample(plane[k], grid) for plane in (mine.raw[layer], its.raw[counterpart])
                )
                found = {
                    "against-spearman": metrics.spearman(one, two),
                    "against-pearson": metrics.pearson(one, two),
                    "against-top-iou": metrics.top_iou(one, two),
                    "against-difference": metrics.difference(one, two),
                }
                rows += [Row(*about, name, "", rounded(v)) for name, v in found.items()]
    return Record(item.name, tuple(rows))


def _predictions(looked: Looked, other: Looked, theirs: Sequence[int]) -> Iterator[Row]:
    """How far what both predict differs."""
    for index, counterpart in zip(looked.classes, theirs, strict=True):
        one = looked.segmentation.labels == index
        two = other.segmentation.labels == counterpart
        about = (looked.name, looked.cam.classes[index], "", "", "against-prediction", "")
        yield Row(*about, rounded(metrics.iou(one, two)))


def _counterpart(layer: str, cam: Cam, against: Cam) -> str | None:
    for name in (layer, layer + _DEQUANTIZED, layer.removesuffix(_DEQUANTIZED)):
        if name in against.layers:
            return name
    alone = len(cam.layers) == len(against.layers) == 1
    return against.layers[0] if alone else None
