"""What the exporter and the runtime agree on: the artifact's tensors and its metadata.

An artifact is a plain ONNX model. Beside the network's own inputs it takes the question,

    class_weights  float32 [K, N or 1, C]
    region         float32 [K or 1, N or 1, *space], each extent of space full or 1

and beside the network's own outputs it gives, for every feature layer ``L``, the features ``L``
and the pooled gradients ``L.weights`` float32 [K, N, C_L]: the spatial mean of dy[k, n]/dL with

    y[k, n] = sum over c, space of class_weights[k, n, c] * region[k, n, ...] * score[n, c, ...].

On request it gives the maps too, ``L.map`` float32 [K, N, *space]: the sum over c of weights times
features, after its ReLU, on the layer's own grid; and for methods that take more than Grad-CAM the
whole gradients, ``L.grad`` [K, N, C_L, *space], those of the picture that enters among them, which
then counts as one more layer, the last.

An artifact of several layers takes one input more,

    layers         bool [layers], in the metadata's order: those that are asked for,

and what only the others need costs nothing: their weights may then come with no row, K = 0.

An artifact may be split in two: the network, among whose outputs is then what the gradient needs,
and the gradient, whose inputs are the question's and these. The first part's metadata name the
second.

What else a runtime must know stands as JSON in the model's ``metadata_props`` under
:data:`METADATA_KEY`. A plain network may carry the same key with the part that describes what the
network expects and means (classes, colours, preprocessing); an artifact is known by its layers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ortcam.errors import ArtifactError, ModelError, PlainNetworkError

__all__ = [
    "CLASS_WEIGHTS",
    "ENGINES",
    "FORMAT",
    "LAYERS",
    "METADATA_KEY",
    "REGION",
    "Artifact",
    "Color",
    "Expectations",
    "Gradient",
    "Layer",
    "Preprocessing",
    "Score",
    "Verification",
    "drops_name",
    "grad_name",
    "gradient_json",
    "keep_name",
    "map_name",
    "weights_name",
]

METADATA_KEY = "ortcam"
FORMAT = 1
CLASS_WEIGHTS = "class_weights"
REGION = "region"
LAYERS = "layers"

ENGINES = {"ortcam": "onnxruntime", "ort-training": "onnxruntime-training"}
"""The engines that build gradient graphs, and for each the runtime that its artifacts need."""

_DAMAGE = (KeyError, TypeError, ValueError, OverflowError)
"""What reading JSON of another structure raises."""


def weights_name(layer: str) -> str:
    """The output that holds a feature layer's pooled gradients, [K, N, C]."""
    return f"{layer}.weights"


def map_name(layer: str) -> str:
    """The output that holds a feature layer's maps, [K, N, *space]."""
    return f"{layer}.map"


def grad_name(layer: str) -> str:
    """The output that holds a feature layer's whole gradients, [K, N, C, *space]."""
    return f"{layer}.grad"


def keep_name(layer: str) -> str:
    """The input that says what is kept of a feature layer's channels, [B, C]."""
    return f"{layer}.keep"


def drops_name(layer: str) -> str:
    """The output that holds by how much the answers drop with that, [K, B, N]."""
    return f"{layer}.drops"


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a picture becomes the network's input: ``x = (pixel * scale - mean) / std``.

    Attributes:
        color_order: ``"RGB"``, ``"BGR"`` or ``"L"`` (one grey channel).
        layout: ``"NCHW"`` or ``"NHWC"``.
        scale: what a pixel of 0 to 255 is multiplied by first.
        mean, std: one value a channel, on the scaled pixel.
        size: the working size (width, height) pictures are resized to, or None to keep theirs.
        divisor: width and height of what enters the network are multiples of it.
        assumed: nobody said what the network expects; these values are a guess.
    """

    color_order: str = "RGB"
    layout: str = "NCHW"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    size: tuple[int, int] | None = None
    divisor: int = 1
    assumed: bool = False

    def __post_init__(self) -> None:
        if self.color_order not in ("RGB", "BGR", "L"):
            raise ModelError(f"color_order is {self.color_order!r}; it is RGB, BGR or L")
        if self.layout not in ("NCHW", "NHWC"):
            raise ModelError(f"layout is {self.layout!r}; it is NCHW or NHWC")
        channels = len(self.color_order)
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != channels or not all(math.isfinite(v) for v in values):
                raise ModelError(
                    f"{name} is {values}; it takes {channels} finite numbers, one a channel"
                )
        if not all(self.std) or not math.isfinite(self.scale) or not self.scale:
            raise ModelError(f"scale is {self.scale} and std {self.std}; both are finite and not 0")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ModelError(f"size is {self.size}; it is a width and a height of 1 or more")
        if self.divisor < 1:
            raise ModelError(f"divisor is {self.divisor}; it is 1 or more")


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """What a network expects and means; any ONNX network may carry it in its metadata.

    Attributes:
        classes: the class names in the order of the score's channels, or None.
        colors: a label colour (r, g, b) for each class, or None.
        preprocess: how a picture becomes the input, or None.
    """

    classes: tuple[str, ...] | None = None
    colors: tuple[tuple[int, int, int], ...] | None = None
    preprocess: Preprocessing | None = None


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A feature layer of an artifact.

    Attributes:
        name: the features' tensor, [N, C, *space] or with the channels elsewhere.
        weights: the pooled gradients' tensor, [K, N, C].
        channel_axis: where the features keep their channels.
        map: the maps' tensor, [K, N, *space], or None where the graph leaves them to the program.
        grad: the whole gradients' tensor, [K, N, C, *space], or None where there is none.
        keep: the tensor that says what is kept of the channels, [B, C], or None where there is
            none.
        drops: the tensor of what the answers drop by with that, [K, B, N], likewise.
        together: whether B may be more than 1.
        pooled: whether no tensor on the gradient's way has all of space for each question, where
            the questions share a region.
    """

    name: str
    weights: str
    channel_axis: int = 1
    map: str | None = None
    grad: str | None = None
    keep: str | None = None
    drops: str | None = None
    together: bool = False
    pooled: bool = False

    def __post_init__(self) -> None:
        _check_types(self, name=str, weights=str, channel_axis=int, together=bool, pooled=bool)
        for name in ("map", "grad", "keep", "drops"):
            _check_types(self, **({} if getattr(self, name) is None else {name: str}))
        if (self.keep is None) != (self.drops is None):
            raise ModelError("keep and drops come together, or neither does")


@dataclass(frozen=True, kw_only=True)
class Score:
    """The reduction layer: the tensor whose channels are the classes' scores.

    Attributes:
        name: its tensor, [N, C, *space], or [N, C] for a classifier.
        class_axis: where it keeps its classes.
        kind: ``"softmax"``, ``"sigmoid"`` or ``"logits"``.
    """

    name: str
    class_axis: int = 1
    kind: str = "softmax"

    def __post_init__(self) -> None:
        _check_types(self, name=str, class_axis=int)
        if self.kind not in ("softmax", "sigmoid", "logits"):
            raise ModelError(f"a score is softmax, sigmoid or logits, not {self.kind!r}")


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What the exporter measured: central differences against the artifact.

    Attributes:
        error: the largest relative error of a directional derivative.
        directions: how many directions were tried, over all layers.
        isolation: the largest relative change of picture 1's weights when picture 2 was changed,
            or None where the network takes one picture only.
        form: what the network was checked as, where not as it is: ``"in float32"`` for one in half
            precision, ``"without the rounding of its quantizers"`` for one in whole numbers.
    """

    error: float
    directions: int
    isolation: float | None = None
    form: str = ""


@dataclass(frozen=True, kw_only=True)
class Gradient:
    """The second part of an artifact that is split in two.

    Attributes:
        sha256: of its file, in hexadecimal.
        file: its file's name, in the folder of the first part's; None where it was never written.
    """

    sha256: str
    file: str | None = None

    def __post_init__(self) -> None:
        _check_types(self, sha256=str, **({} if self.file is None else {"file": str}))
        # What a file says is no reason to read another folder.
        if self.file is not None and not re.fullmatch(r"(?!\.)[^/\\:\0]{1,255}", self.file):
            raise ModelError(f"file is {self.file!r}; it is the name of a file beside this one")


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """An artifact's metadata.

    Attributes:
        layers: the feature layers, from early to late.
        score: the reduction layer.
        picture: the name of the input that takes the picture.
        pixels: that input as one more layer, where the gradient reaches down to it.
        expects: classes, colours and preprocessing.
        class_weights, region: the names of the question's inputs.
        mask: the name of the input that says which layers are asked for, or None where it has none.
        gradient: where the gradient is, if not in the same graph.
        numbers: the formats of the numbers that the network computes in, in words.
        engine: which engine built the gradient graph, one of :data:`ENGINES`.
        source_sha256: of the network's file, in hexadecimal.
        verification: what the exporter measured, or None where it was told not to.
    """

    layers: tuple[Layer, ...]
    score: Score
    picture: str
    pixels: Layer | None = None
    expects: Expectations = field(default_factory=Expectations)
    class_weights: str = CLASS_WEIGHTS
    region: str = REGION
    mask: str | None = None
    gradient: Gradient | None = None
    numbers: str = ""
    engine: str = "ortcam"
    source_sha256: str = ""
    verification: Verification | None = None

    @property
    def targets(self) -> tuple[Layer, ...]:
        """All layers with gradients: the feature layers, then the picture where it is one."""
        return self.layers if self.pixels is None else (*self.layers, self.pixels)

    @property
    def question(self) -> tuple[str, ...]:
        """The names of the inputs that are not the network's own."""
        keeps = (layer.keep for layer in self.layers)
        named = (self.class_weights, self.region, self.mask, *keeps)
        return tuple(name for name in named if name is not None)

    @property
    def answers(self) -> tuple[str, ...]:
        """The names of the outputs that depend on the question."""
        named = (n for x in self.targets for n in (x.weights, x.map, x.grad, x.drops))
        return tuple(name for name in named if name is not None)

    @property
    def needs(self) -> str:
        """The runtime that the artifact needs: ``"onnxruntime"``, or its training build."""
        return ENGINES.get(self.engine, "onnxruntime")

    def to_json(self) -> str:
        """The metadata as it stands in the file."""
        data = {**asdict(self), "needs": self.needs}
        data.update(data.pop("expects"))
        return json.dumps({"format": FORMAT, **data}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, *, source: str) -> Artifact:
        """Reads the metadata back.

        Args:
            text: the JSON value under :data:`METADATA_KEY`.
            source: what to call the file in an error.

        Raises:
            ArtifactError: the text is no metadata of an artifact that this version reads; a
                :class:`~ortcam.errors.PlainNetworkError` where it is a plain network's.
        """
        data = _parse(text, source)
        if data.get("part") == "gradient":
            raise ArtifactError(
                f"{source} is the gradient of an artifact in two parts; open the other part, the "
                "network, which names this one"
            )
        if "layers" not in data:
            raise PlainNetworkError(
                f"{source} is a plain network, not an artifact; "
                "export it first: ortcam export NETWORK -o ARTIFACT"
            )
        try:
            verification = data.get("verification")
            return cls(
                layers=tuple(Layer(**layer) for layer in data["layers"]),
                score=Score(**data["score"]),
                picture=str(data["picture"]),
                pixels=Layer(**data["pixels"]) if data.get("pixels") else None,
                expects=_expectations(data),
                class_weights=str(data["class_weights"]),
                region=str(data["region"]),
                mask=None if data.get("mask") is None else str(data["mask"]),
                gradient=Gradient(**data["gradient"]) if data.get("gradient") else None,
                numbers=str(data.get("numbers", "")),
                engine=str(data["engine"]),
                source_sha256=str(data["source_sha256"]),
                verification=Verification(**verification) if verification else None,
            )
        except (*_DAMAGE, ModelError) as error:
            raise ArtifactError(
                f"{source} has damaged metadata ({error}); export the network again"
            ) from error


def expectations_from_json(text: str, *, source: str) -> Expectations:
    """What a plain network's metadata says; see :meth:`Artifact.from_json`.

    Raises:
        ModelError: the metadata are damaged.
    """
    data = _parse(text, source)
    try:
        return _expectations(data)
    except (*_DAMAGE, ModelError) as error:
        raise ModelError(
            f"{source} has damaged metadata under {METADATA_KEY!r} ({error}); "
            "remove that entry or say what the network expects by options"
        ) from error


def is_artifact(metadata: Mapping[str, str]) -> bool:
    """Whether a model with these ``metadata_props`` is an artifact rather than a plain network."""
    try:
        data = json.loads(metadata.get(METADATA_KEY, "null"))
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and ("layers" in data or data.get("part") == "gradient")


def gradient_json(artifact: Artifact) -> str:
    """The metadata of the second part of an artifact that is split in two."""
    data = {"format": FORMAT, "part": "gradient", "source_sha256": artifact.source_sha256}
    return json.dumps(data)


def _check_types(entry: Layer | Score | Gradient, **types: type) -> None:
    """What stands in a file is not trusted to have the types that it should have."""
    for name, kind in types.items():
        value = getattr(entry, name)
        if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
            raise ModelError(f"{name} is {value!r}; it is of type {kind.__name__}")


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:  # the latter of brackets without end
        raise ArtifactError(f"{source} has damaged metadata under {METADATA_KEY!r}") from error
    if not isinstance(data, dict) or not isinstance(data.get("format"), int):
        raise ArtifactError(f"{source} has damaged metadata under {METADATA_KEY!r}")
    if data["format"] > FORMAT:
        raise ArtifactError(
            f"{source} has format {data['format']} and this ortcam reads up to {FORMAT}; "
            "upgrade ortcam, or export the network again"
        )
    return data


def _expectations(data: Mapping[str, Any]) -> Expectations:
    classes, colors, preprocess = (data.get(k) for k in ("classes", "colors", "preprocess"))
    return Expectations(
        classes=tuple(str(c) for c in classes) if classes else None,
        colors=tuple(_color(c) for c in colors) if colors else None,
        preprocess=_preprocessing(preprocess) if preprocess else None,
    )


def _color(values: Any) -> tuple[int, int, int]:
    r, g, b = (int(v) for v in values)
    if not all(0 <= v <= 255 for v in (r, g, b)):
        raise ValueError(f"colour {values} is not three numbers from 0 to 255")
    return r, g, b


def _preprocessing(data: Mapping[str, Any]) -> Preprocessing:
    fields = dict(data)
    for name, kind in (("mean", float), ("std", float), ("size", int)):
        if fields.get(name) is not None:
            fields[name] = tuple(kind(v) for v in fields[name])
    return Preprocessing(**fields)


Color = tuple[int, int, int]
