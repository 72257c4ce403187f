"""Two artifacts compared, as before and after quantization or retraining.

Classes and feature layers correspond by name. In a network in the QDQ form, a layer has the name of
its DequantizeLinear's output. If each artifact has a single layer, the two are compared whatever
their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ortcam import metrics
from ortcam.batch.dataset import Item
from ortcam.batch.journal import Record, Row, rounded
from ortcam.batch.workers import CancelCheck
from ortcam.errors import ClassError, LayerError
from ortcam.evaluation.measure_picture import NO_CLASSES
from ortcam.evaluation.options import Options, is_segmented
from ortcam.evaluation.sample import Sample, read_sample
from ortcam.grids.resample import upsample
from ortcam.messages import Option

if TYPE_CHECKING:
    from ortcam.cam import Cam

__all__ = ["Correspondence", "compare", "correspondence"]

_DEQUANTIZED = "_DequantizeLinear_Output"


@dataclass(frozen=True)
class Correspondence:
    """The classes and layers that two artifacts share.

    Attributes:
        classes: the indices in the second artifact, by those in the first.
        layers: likewise, by name.
        notes: the classes and layers without a counterpart, and the layers whose names differ.
    """

    classes: dict[int, int]
    layers: dict[str, str]
    notes: tuple[str, ...]


def correspondence(cam: Cam, against: Cam, options: Options) -> Correspondence:
    """Match the selected classes and layers with those of a second artifact.

    Raises:
        ClassError, LayerError: none of them has a counterpart.
    """
    indices = {name: i for i, name in enumerate(against.classes)}
    classes = {i: indices[cam.classes[i]] for i in options.classes if cam.classes[i] in indices}
    layers = {a: b for a in options.layers if (b := _counterpart(a, cam, against)) is not None}
    if not classes:
        raise ClassError(
            f"the two artifacts have no class in common: one has {', '.join(cam.classes[:4])} and "
            f"the other {', '.join(against.classes[:4])}; export both with the same ",
            Option("classes"),
        )
    if not layers:
        raise LayerError(
            f"the two artifacts have no layer in common: one has {', '.join(options.layers)} and "
            f"the other {', '.join(against.layers)}; export both with the same feature layers"
        )
    notes = [f"layer {a} is compared with {b}" for a, b in layers.items() if a != b]
    notes += [f"the other artifact has no layer {a}" for a in options.layers if a not in layers]
    notes += [
        f"the other artifact has no class {cam.classes[i]}"
        for i in options.classes
        if i not in classes
    ]
    return Correspondence(classes, layers, tuple(notes))


def compare(
    cam: Cam,
    against: Cam,
    shared: Correspondence,
    options: Options,
    item: Item,
    check: CancelCheck,
) -> Record:
    """Compare the maps of two artifacts in one picture.

    The classes are those of the label image, or without one those that the first network predicts.

    Raises:
        PictureError, RegionError: the picture cannot be evaluated.
        Stopped: the run was cancelled.
    """
    classes, layers = tuple(shared.classes), tuple(shared.layers)
    sample = read_sample(cam, replace(options, classes=classes, layers=layers), item)
    if not sample.classes:
        return Record(item.name, notes=(NO_CLASSES,))
    other_options = replace(options, layers=tuple(shared.layers.values()))
    other = Sample(against, other_options, item.name, sample.rgb, None)
    counterparts = [shared.classes[i] for i in sample.classes]
    rows = list(_predictions(sample, other, counterparts))
    grid = sample.rgb.shape[:2]
    for first, second in zip(
        sample.explanations(sample.classes), other.explanations(counterparts), strict=True
    ):
        for k, index in enumerate(sample.classes):
            check()
            for layer, counterpart in shared.layers.items():
                key = (item.name, cam.classes[index], layer, first.method)
                one = upsample(first.raw[layer][k], grid)
                two = upsample(second.raw[counterpart][k], grid)
                values = {
                    "against-spearman": metrics.spearman(one, two),
                    "against-pearson": metrics.pearson(one, two),
                    "against-top-iou": metrics.top_iou(one, two),
                    "against-difference": metrics.difference(one, two),
                }
                rows += [Row(*key, name, "", rounded(v)) for name, v in values.items()]
    return Record(item.name, tuple(rows))


def _predictions(sample: Sample, other: Sample, counterparts: Sequence[int]) -> Iterator[Row]:
    """The IoU of the two predictions of each class, where pixels have classes."""
    if not (is_segmented(sample.cam) and is_segmented(other.cam)):
        return
    for index, counterpart in zip(sample.classes, counterparts, strict=True):
        one = sample.segmentation.labels == index
        two = other.segmentation.labels == counterpart
        key = (sample.name, sample.cam.classes[index], "", "", "against-prediction", "")
        yield Row(*key, rounded(metrics.iou(one, two)))


def _counterpart(layer: str, cam: Cam, against: Cam) -> str | None:
    for name in (layer, layer + _DEQUANTIZED, layer.removesuffix(_DEQUANTIZED)):
        if name in against.layers:
            return name
    single = len(cam.layers) == len(against.layers) == 1
    return against.layers[0] if single else None
