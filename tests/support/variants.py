"""The same network written in other ways, and the comparison of their explanations.

A network and its variant compute the same, so the same score and layer are to be chosen, and the
maps are to be equal. Their names may differ: tensors are compared by their values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import networks
import numpy as np
import onnx
from lowering import UnwrittenError, lowered
from numpy.typing import NDArray
from onnx import helper, inliner, version_converter

import ortcam
from ortcam.errors import OrtcamError
from ortcam_export import export

__all__ = [
    "HALF_TOLERANCE",
    "NETWORKS",
    "NEWEST",
    "TOLERANCE",
    "VARIANTS",
    "Explained",
    "difference",
    "explained",
    "options_of",
    "outcome",
    "pictures",
]

Array = NDArray[Any]
Make = Callable[[], onnx.ModelProto]

#: The greatest difference of two maps, layers or scores, relative to the greatest value.
TOLERANCE = 1e-4

#: The same where the network computes in float16, whose numbers are 2^-10 apart.
HALF_TOLERANCE = 2**-10

#: The newest opset that the installed onnx knows.
NEWEST = onnx.defs.onnx_opset_version()

#: The IR version for opsets beyond those of ``networks``.
NEWEST_IR = onnx.helper.VERSION_TABLE[-1][1]

#: The height and width of the pictures.
SIZE = (32, 48)


# ---- The networks -----------------------------------------------------------------------------

#: The networks of the tests, by a name for the table: their kind, and options of the export.
NETWORKS: dict[str, tuple[Make, dict[str, Any]]] = {
    "anchors": (networks.anchors, {"reduction_layer": "class_4"}),
    "channels_last": (networks.channels_last, {}),
    "classifier": (networks.classifier, {}),
    "classifier, logits": (lambda: networks.classifier(softmax=False), {}),
    "deployed": (networks.deployed, {}),
    "deployed, no bias": (lambda: networks.deployed(bias=False), {}),
    "further_inputs": (networks.further_inputs, {}),
    "half_precision": (networks.half_precision, {}),
    "opset_11": (networks.opset_11, {}),
    "queries": (networks.queries, {"reduction_layer": "mask_queries"}),
    "queries, product": (
        lambda: networks.queries(product=True),
        {"reduction_layer": "segmentation"},
    ),
    "transformer": (networks.transformer, {}),
    "transformer, mean": (lambda: networks.transformer(head="mean"), {}),
    "transformer, map": (lambda: networks.transformer(head="map"), {}),
    "unet": (networks.unet, {}),
    "unet_argmax": (networks.unet_argmax, {}),
    "unet_argmax, softmax": (lambda: networks.unet_argmax(softmax=True), {}),
    "unet_logits": (networks.unet_logits, {}),
    "unet_resized": (networks.unet_resized, {}),
    "unet_sigmoid": (networks.unet_sigmoid, {}),
    "unet_two_heads": (networks.unet_two_heads, {"reduction_layer": "out"}),
    "volumes": (networks.volumes, {}),
    "with_functions": (networks.with_functions, {}),
}


#: The networks that take arrays, not pictures.
ARRAYS = {"volumes"}


def options_of(name: str) -> dict[str, Any]:
    """Return the options with which a network of the tests is exported."""
    of_pictures = {} if name in ARRAYS else {"size": SIZE[::-1], "divisor": 1}
    return {**of_pictures, **NETWORKS[name][1]}


def pictures(model: onnx.ModelProto) -> dict[str, Array]:
    """Return a value for each input of a network: [1, C, *space], smooth in no way."""
    random = np.random.default_rng(5)
    weights = {tensor.name for tensor in model.graph.initializer}
    feeds = {}
    for info in model.graph.input:
        if info.name in weights:
            continue
        dims = [dim.dim_value for dim in info.type.tensor_type.shape.dim]
        space = [*((8,) if len(dims) == 5 else ()), *SIZE]
        sizes = iter([1, *space])
        extents = [extent if extent > 0 else next(sizes) for extent in dims]
        dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
        feeds[info.name] = random.uniform(0.2, 1, extents).astype(dtype)
    return feeds


# ---- The variants -----------------------------------------------------------------------------


def _with_batch(model: onnx.ModelProto, extent: int) -> onnx.ModelProto:
    """The network with another first extent of its inputs and outputs wherever that is dynamic."""
    for info in (*model.graph.input, *model.graph.output):
        dims = info.type.tensor_type.shape.dim
        if dims and dims[0].dim_value <= 0:
            dims[0].dim_value = extent
    return model


def _raised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network in the newest opset."""
    try:
        model = version_converter.convert_version(inliner.inline_local_functions(model), NEWEST)
    except RuntimeError as error:
        raise UnwrittenError(
            f"onnx's converter: {str(error).split('failed: ')[-1].strip()}"
        ) from error
    model.ir_version = max(model.ir_version, NEWEST_IR)
    return model


def _channels_last(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network between Transposes of its picture and of its outputs of space."""
    graph = model.graph
    first, last = [], []
    picture = graph.input[0]
    if picture.type.tensor_type.shape.dim[-1].dim_value in (1, 3):
        raise UnwrittenError("its picture has channels last already")
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == picture.name:
                node.input[i] = f"{name}.nchw"
    first.append(_moved(picture, picture.name, f"{picture.name}.nchw", to_last=False))
    for output in graph.output:
        dims = output.type.tensor_type.shape.dim
        if len(dims) >= 4 and dims[1].dim_value > 0:
            name = output.name
            output.name = f"{name}.nhwc"
            last.append(_moved(output, name, output.name, to_last=True))
    nodes = [*first, *graph.node, *last]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _moved(info: onnx.ValueInfoProto, x: str, y: str, *, to_last: bool) -> onnx.NodeProto:
    """A Transpose of channels to the last axis or from it; the declared shape becomes the last."""
    shape = info.type.tensor_type.shape
    rank = len(shape.dim)
    order = [0, *range(2, rank), 1]
    dims = [onnx.TensorShapeProto.Dimension.FromString(d.SerializeToString()) for d in shape.dim]
    del shape.dim[:]
    shape.dim.extend(dims[axis] for axis in order)
    perm = order if to_last else [0, rank - 1, *range(1, rank - 1)]
    return helper.make_node("Transpose", [x], [y], perm=perm)


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network with the shape of each tensor in its file."""
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    if not model.graph.value_info and not model.functions:
        raise UnwrittenError("onnx infers no shapes")
    return model


def _without_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network without any shape but those of its inputs."""
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


#: The variants by their columns in the table. The networks of the tests have opset 18 and a dynamic
#: batch, and no shapes but those of their inputs and outputs.
VARIANTS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "batch 1": lambda model: _with_batch(model, 1),
    "batch -1": lambda model: _with_batch(model, -1),
    "batch 0": lambda model: _with_batch(model, 0),
    "opset 11": lambda model: lowered(model, 11),
    "opset 13": lambda model: lowered(model, 13),
    "opset 17": lambda model: lowered(model, 17),
    "newest opset": _raised,
    "channels last": _channels_last,
    "with shapes": _with_shapes,
    "without shapes": _without_shapes,
    "opset 11, batch 1": lambda model: _with_batch(lowered(model, 11), 1),
    "opset 13, batch -1, with shapes": lambda m: _with_batch(_with_shapes(lowered(m, 13)), -1),
}


# ---- Their explanations -----------------------------------------------------------------------


@dataclass(frozen=True)
class Explained:
    """A network's choice and maps, or the refusal to choose.

    Attributes:
        kind: the kind of the score.
        arrays: the "score" [C, *space], the "layer" [C, *space], and the "map" [2, *space] of two
            classes, before its ReLU.
        refusal: the error of an export or an explanation that ends in one.
        tolerance: the greatest difference of another's arrays, relative to the greatest value.
    """

    kind: str = ""
    arrays: Mapping[str, Array] = field(default_factory=dict)
    refusal: str = ""
    tolerance: float = TOLERANCE


def explained(
    model: onnx.ModelProto, feeds: Mapping[str, Array], options: Mapping[str, Any]
) -> Explained:
    """Export a network without verification, and explain its first and its last class.

    Args:
        model: the network.
        feeds: its inputs; the picture, the first, is [1, C, *space], or [1, *space, C] in a network
            that is made so.
        options: options of the export.
    """
    picture, *others = feeds
    x = feeds[picture]
    dims = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    if dims[-1] == x.shape[1] != x.shape[-1]:
        x = np.moveaxis(x, 1, -1)
    inputs = {name: feeds[name] for name in others}
    try:
        made = export(model, verify=False, **options)
        cam = ortcam.load(made.model, "cpu")
        (layer,) = cam.layers
        ask = partial(cam.explain, None, tensor=x, inputs=inputs, preset="raw")
        answer = ask([0, len(ask([0]).score) - 1])
        features = cam.features(tensor=x, inputs=inputs)[layer]
    except OrtcamError as error:
        return Explained(refusal=f"{type(error).__name__}: {error}")
    arrays = {"score": answer.score, "layer": features, "map": answer.raw[layer]}
    tolerance = HALF_TOLERANCE if "float16" in made.artifact.numbers else TOLERANCE
    return Explained(made.artifact.score.kind, arrays, tolerance=tolerance)


def difference(original: Explained, variant: Explained) -> str:
    """Return how a variant is explained otherwise than the original, or "" if it is not."""
    if original.refusal or variant.refusal:
        same = bool(original.refusal) and bool(variant.refusal)
        return "" if same else f"refused: {variant.refusal or original.refusal}"
    if original.kind != variant.kind:
        return f"the score is {variant.kind}, not {original.kind}"
    for name, theirs in original.arrays.items():
        ours = variant.arrays[name]
        if ours.shape != theirs.shape:
            return f"another {name}: {ours.shape}, not {theirs.shape}"
        largest = float(np.abs(theirs).max())
        error = float(np.abs(ours - theirs).max()) / largest if largest else np.inf
        if not error <= original.tolerance:
            return f"the {name} differs by {error:.1e}"
    return ""


def outcome(
    original: Explained,
    make: Callable[[], onnx.ModelProto],
    feeds: Mapping[str, Array],
    options: Mapping[str, Any],
) -> str:
    """Return "same", "not written: ..." or the difference of a variant, for the table."""
    try:
        variant = make()
    except UnwrittenError as error:
        return f"not written: {error}"
    return difference(original, explained(variant, feeds, options)) or "same"
