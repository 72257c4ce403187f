"""The contract between exporter and runtime: an artifact's tensors and its metadata.

An artifact is a plain ONNX model. Besides the network's own inputs it takes the question,

    class_weights  float32 [K, N or 1, C]
    region         float32 [K or 1, N or 1, *space], each extent of space full or 1

and besides the network's own outputs it returns, for every feature layer ``L``, the features ``L``
and the pooled gradients ``L.weights`` float32 [K, N, C_L]: the spatial mean of dy[k, n]/dL with

    y[k, n] = sum over c, space of class_weights[k, n, c] * region[k, n, ...] * score[n, c, ...].

It can also return the maps, ``L.map`` float32 [K, N, *space]: the sum over c of weights times
features, after its ReLU, on the layer's own grid; and for methods that need them the whole
gradients, ``L.grad`` [K, N, C_L, *space], including those of the picture, which then counts as one
more layer, the last.

An artifact of several layers takes one more input,

    layers         bool [layers], in the metadata's order: the layers to compute.

Unselected layers are skipped; their weights may then have K = 0 rows.

An artifact may be split in two: the network, whose outputs include the tensors that the gradient
reads, and the gradient, whose inputs are these and the question's. The first part's metadata name
the second.

The rest of what a runtime needs is JSON in the model's ``metadata_props`` under
:data:`METADATA_KEY`. A plain network may have the same key with a description of its classes,
colours and preprocessing; an artifact is recognized by its layers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ortcam.errors import ArtifactError, ModelError, PlainNetworkError

__all__ = [
    "AXES",
    "CLASS_WEIGHTS",
    "ENGINES",
    "FLOAT32_DIGIT",
    "FORMAT",
    "LAYERS",
    "LAYOUTS",
    "METADATA_KEY",
    "REGION",
    "SCORES",
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

Color = tuple[int, int, int]
"""Red, green and blue, each from 0 to 255."""

ENGINES = {"ortcam": "onnxruntime", "ort-training": "onnxruntime-training"}
"""The engines that build gradient graphs, each with the runtime that its artifacts need."""

SCORES = ("softmax", "sigmoid", "logits", "linear")
"""The kinds of score: class scores after a softmax, after a sigmoid or before either; or linear,
values that are no class scores as far as is known, such as a depth or an embedding."""

AXES = ("batch", "class", "space", "list", "time")
"""The kinds of a score's axes. A list is of anchors, queries, frames or tiles, without places."""

LAYOUTS = (
    *("NCHW", "NHWC", "NCL", "NLC", "NCDHW", "NDHWC"),
    *("NTCHW", "NTHWC", "NFT", "NTF"),
)
"""The layouts of an input, a letter for each axis: batch N, channels C, depth D, height H, width W,
length L, time T, frequency F."""

FLOAT32_DIGIT = 2.0**-23
"""The relative size of the last digit in float32."""

_DAMAGE = (KeyError, TypeError, ValueError, OverflowError)
"""The errors of reading JSON of another structure."""


def weights_name(layer: str) -> str:
    """The output with a feature layer's pooled gradients, [K, N, C]."""
    return f"{layer}.weights"


def map_name(layer: str) -> str:
    """The output with a feature layer's maps, [K, N, *space]."""
    return f"{layer}.map"


def grad_name(layer: str) -> str:
    """The output with a feature layer's whole gradients, [K, N, C, *space]."""
    return f"{layer}.grad"


def keep_name(layer: str) -> str:
    """The input with the factors of a feature layer's channels in B ablations, [B, C]."""
    return f"{layer}.keep"


def drops_name(layer: str) -> str:
    """The output with the drops of the answers in these ablations, [K, B, N]."""
    return f"{layer}.drops"


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """From a picture to the network's input: ``x = (pixel * scale - mean) / std``.

    Attributes:
        color_order: ``"RGB"``, ``"BGR"`` or ``"L"`` (one grey channel).
        layout: ``"NCHW"`` or ``"NHWC"``.
        scale: the factor of a pixel value from 0 to 255.
        mean, std: one value a channel, for scaled pixels.
        size: the working size (width, height) of pictures, or None for their own.
        divisor: the width and height of the network's input are multiples of it.
        assumed: True if these values are a guess.
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
            raise ModelError(f"color_order must be RGB, BGR or L, got {self.color_order!r}")
        if self.layout not in ("NCHW", "NHWC"):
            raise ModelError(f"layout must be NCHW or NHWC, got {self.layout!r}")
        channels = len(self.color_order)
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != channels or not all(math.isfinite(v) for v in values):
                raise ModelError(
                    f"{name} must be {channels} finite numbers, one a channel, got {values}"
                )
        if not all(self.std) or not math.isfinite(self.scale) or not self.scale:
            raise ModelError(
                f"scale and std must be finite and not 0, got {self.scale} and {self.std}"
            )
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ModelError(f"size must be a width and a height of at least 1, got {self.size}")
        if self.divisor < 1:
            raise ModelError(f"divisor must be at least 1, got {self.divisor}")


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """A network's classes and preprocessing, which any ONNX network may have in its metadata.

    Attributes:
        classes: the class names in the order of the score's channels, or None.
        colors: a label colour (r, g, b) for each class, or None.
        preprocess: the preprocessing of pictures, or None if the input takes arrays.
        layout: the layout of an input that takes arrays, one of :data:`LAYOUTS`, or None.
        inputs: the preprocessing of pictures that enter by further inputs, by their names.
    """

    classes: tuple[str, ...] | None = None
    colors: tuple[tuple[int, int, int], ...] | None = None
    preprocess: Preprocessing | None = None
    layout: str | None = None
    inputs: Mapping[str, Preprocessing] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.layout is not None and self.layout not in LAYOUTS:
            raise ModelError(f"layout must be {_alternatives(LAYOUTS)}, got {self.layout!r}")

    @property
    def input_layout(self) -> str | None:
        """The layout of the input, whether it takes pictures or arrays; None if unknown."""
        return self.layout if self.preprocess is None else self.preprocess.layout


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A feature layer of an artifact.

    Attributes:
        name: the features' tensor, [N, C, *space], or with the channels on another axis.
        weights: the pooled gradients' tensor, [K, N, C].
        channel_axis: the channels' axis in the features.
        map: the maps' tensor, [K, N, *space], or None if the runtime computes them.
        grad: the whole gradients' tensor, [K, N, C, *space], or None.
        keep: the tensor of the channels' factors in B ablations, [B, C], or None.
        drops: the tensor of the answers' drops in these ablations, [K, B, N], or None.
        together: True if B may be more than 1.
        pooled: True if no tensor on the gradient's way has axes of space for each question, as
            long as the questions share a region.
        frames: True if the first axis holds the frames or tiles of each picture, one picture's
            after the other's, so that N is a multiple of the number of pictures.
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
    frames: bool = False

    def __post_init__(self) -> None:
        _check_types(self, name=str, weights=str, channel_axis=int)
        _check_types(self, together=bool, pooled=bool, frames=bool)
        for name in ("map", "grad", "keep", "drops"):
            _check_types(self, **({} if getattr(self, name) is None else {name: str}))
        if (self.keep is None) != (self.drops is None):
            raise ModelError("a layer has both keep and drops, or neither")


@dataclass(frozen=True, kw_only=True)
class Score:
    """The reduction layer: the tensor whose channels are the classes' scores.

    The first axis is the batch, one row for each picture.

    Attributes:
        name: its tensor, [N, C, *space], [N, C] for a classifier, or [N, *list, C] and the like.
        class_axis: its classes' axis.
        kind: one of :data:`SCORES`.
        axes: the kind of each axis, one of :data:`AXES`; empty in artifacts before it was kept,
            whose axes beside batch and class are all space.
        reason: the evidence for ``kind``, in words; "" if there is none.
    """

    name: str
    class_axis: int = 1
    kind: str = "softmax"
    axes: tuple[str, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        _check_types(self, name=str, class_axis=int, reason=str)
        if self.kind not in SCORES:
            raise ModelError(f"a score must be {_alternatives(SCORES)}, got {self.kind!r}")
        unknown = [axis for axis in self.axes if axis not in AXES]
        if unknown or (self.axes and self.axes[0] != "batch"):
            raise ModelError(
                f"the axes of a score must be batch, then {_alternatives(AXES[1:])}, "
                f"got {list(self.axes)}"
            )

    @property
    def is_over_list(self) -> bool:
        """True if the score has an axis that is neither a place nor a class, such as queries."""
        return any(axis in ("list", "time") for axis in self.axes)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The exporter's comparison of the artifact with central differences.

    Attributes:
        error: the largest relative error of a directional derivative.
        directions: the number of directions, over all layers.
        isolation: the largest relative change of picture 1's weights when picture 2 changes, or
            None if the network takes one picture only.
        form: the form in which a low-precision network was verified, such as ``"in float32"`` or
            ``"without the rounding of its quantizers"``; "" for the network itself.
        uncertainty: the largest uncertainty of a measured derivative, relative likewise; 0 in
            artifacts before it was kept.
    """

    error: float
    directions: int
    isolation: float | None = None
    form: str = ""
    uncertainty: float = 0.0

    @property
    def bound(self) -> float:
        """The relative error that no directional derivative exceeds, as far as was measured."""
        return max(self.error + self.uncertainty, FLOAT32_DIGIT)


@dataclass(frozen=True, kw_only=True)
class Gradient:
    """The second part of a split artifact.

    Attributes:
        sha256: its file's hash, in hexadecimal.
        file: its file's name, in the folder of the first part; None if it was never written.
    """

    sha256: str
    file: str | None = None

    def __post_init__(self) -> None:
        _check_types(self, sha256=str, **({} if self.file is None else {"file": str}))
        # A file must not make ortcam read from another folder.
        if self.file is not None and not re.fullmatch(r"(?!\.)[^/\\:\0]{1,255}", self.file):
            raise ModelError(f"file must be the name of a file beside this one, got {self.file!r}")


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """An artifact's metadata.

    Attributes:
        layers: the feature layers, from early to late.
        score: the reduction layer.
        picture: the name of the input that takes the picture.
        pixels: that input as one more layer, if the artifact has the gradient of the picture.
        expects: classes, colours and preprocessing.
        class_weights, region: the names of the question's inputs.
        mask: the name of the input that selects layers, or None.
        gradient: the second part, if the gradient is not in the same graph.
        numbers: the number formats in which the network computes, in words.
        engine: the engine that built the gradient graph, one of :data:`ENGINES`.
        source_sha256: the hash of the network's file, in hexadecimal.
        verification: the exporter's measurements, or None if it was not to verify.
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
        """All layers with gradients: the feature layers, then the picture if it is one."""
        return self.layers if self.pixels is None else (*self.layers, self.pixels)

    @property
    def question(self) -> tuple[str, ...]:
        """The names of the inputs that are not the network's own."""
        keeps = (layer.keep for layer in self.layers)
        names = (self.class_weights, self.region, self.mask, *keeps)
        return tuple(name for name in names if name is not None)

    @property
    def answers(self) -> tuple[str, ...]:
        """The names of the outputs that depend on the question."""
        names = (n for x in self.targets for n in (x.weights, x.map, x.grad, x.drops))
        return tuple(name for name in names if name is not None)

    @property
    def needs(self) -> str:
        """The runtime that the artifact needs: ``"onnxruntime"``, or its training build."""
        return ENGINES.get(self.engine, "onnxruntime")

    def to_json(self) -> str:
        """The metadata as the file has it."""
        data = {**asdict(self), "needs": self.needs}
        data.update(data.pop("expects"))
        return json.dumps({"format": FORMAT, **data}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, *, source: str) -> Artifact:
        """Read the metadata.

        Args:
            text: the JSON value under :data:`METADATA_KEY`.
            source: the file's name in error messages.

        Raises:
            ArtifactError: it is no metadata of an artifact that this version reads.
            PlainNetworkError: it is a plain network's metadata.
        """
        data = _parse(text, source)
        if data.get("part") == "gradient":
            raise ArtifactError(
                f"{source} is the second part, the gradient, of a split artifact; open the first "
                "part"
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
                score=_score(data["score"]),
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
    """Read a plain network's metadata; see :meth:`Artifact.from_json`.

    Raises:
        ModelError: the metadata are damaged.
    """
    data = _parse(text, source)
    try:
        return _expectations(data)
    except (*_DAMAGE, ModelError) as error:
        raise ModelError(
            f"{source} has damaged metadata under {METADATA_KEY!r} ({error}); "
            "remove that entry, or pass what the network expects as options"
        ) from error


def is_artifact(metadata: Mapping[str, str]) -> bool:
    """True if a model with these ``metadata_props`` is an artifact, False for a plain network."""
    try:
        data = json.loads(metadata.get(METADATA_KEY, "null"))
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and ("layers" in data or data.get("part") == "gradient")


def gradient_json(artifact: Artifact) -> str:
    """The metadata of a split artifact's second part."""
    data = {"format": FORMAT, "part": "gradient", "source_sha256": artifact.source_sha256}
    return json.dumps(data)


def _alternatives(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _check_types(entry: Layer | Score | Gradient, **types: type) -> None:
    """Checks the types of values, which come from an untrusted file."""
    for name, kind in types.items():
        value = getattr(entry, name)
        if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
            raise ModelError(f"{name} must be of type {kind.__name__}, got {value!r}")


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError for deeply nested brackets
        raise ArtifactError(f"{source} has damaged metadata under {METADATA_KEY!r}") from error
    if not isinstance(data, dict) or not isinstance(data.get("format"), int):
        raise ArtifactError(f"{source} has damaged metadata under {METADATA_KEY!r}")
    if data["format"] > FORMAT:
        raise ArtifactError(
            f"{source} has format {data['format']}, and this ortcam reads formats up to {FORMAT}; "
            "upgrade ortcam, or export the network again"
        )
    return data


def _expectations(data: Mapping[str, Any]) -> Expectations:
    classes, colors, preprocess = (data.get(k) for k in ("classes", "colors", "preprocess"))
    return Expectations(
        classes=tuple(str(c) for c in classes) if classes else None,
        colors=tuple(_color(c) for c in colors) if colors else None,
        preprocess=_preprocessing(preprocess) if preprocess else None,
        layout=data.get("layout"),
        inputs={str(k): _preprocessing(v) for k, v in dict(data.get("inputs") or {}).items()},
    )


def _score(fields: Mapping[str, Any]) -> Score:
    return Score(**{**fields, "axes": tuple(fields.get("axes", ()))})


def _color(values: Any) -> tuple[int, int, int]:
    r, g, b = (int(v) for v in values)
    if not all(0 <= v <= 255 for v in (r, g, b)):
        raise ValueError(f"a colour must be three numbers from 0 to 255, got {values}")
    return r, g, b


def _preprocessing(data: Mapping[str, Any]) -> Preprocessing:
    fields = dict(data)
    for name, kind in (("mean", float), ("std", float), ("size", int)):
        if fields.get(name) is not None:
            fields[name] = tuple(kind(v) for v in fields[name])
    return Preprocessing(**fields)
