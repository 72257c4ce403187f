"""One network's gradients in ONNX against torch's autograd in float64.

There are two gradients: that of a random functional of the scores with respect to the picture, and
the Grad-CAM weights at the layer that the export chooses. torch differentiates the original module,
so the comparison shares nothing with the exporter. The values of the layer identify it in torch's
forward pass: it is the first tensor that equals onnxruntime's, in any order of axes.
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from benchmarks.zoo.networks import scores
from ortcam_export import export, vjp

__all__ = ["Row", "compare"]

Array = NDArray[Any]

#: The relative difference up to which two tensors are the same.
SAME = 1e-3

#: Functions with kinks: in ONNX, and in torch, without a trailing underscore.
KINKED = frozenset({"Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "MaxPool", "Relu"})
TORCH_KINKED = frozenset(
    {"hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "max_pool2d", "relu", "relu6"}
)


@dataclass(frozen=True)
class Row:
    """The measurement of one network by one exporter.

    Attributes:
        picture: relative error of the gradient with respect to the picture.
        operators: the number of each operator that depends on the picture.
        layer: the feature layer.
        operator: the operator that computes it.
        shape: the shape of the layer.
        score: the kind of the score.
        weights: relative error of the Grad-CAM weights at the layer.
    """

    picture: float
    operators: dict[str, int]
    layer: str
    operator: str
    shape: list[int]
    score: str
    weights: float


def compare(model: nn.Module, x: Tensor, path: Path) -> Row:
    """Compare the exported file of a module with the module.

    Args:
        model: the module, in evaluation mode.
        x: a picture for it, float32.
        path: the file.
    """
    reference = copy.deepcopy(model).double()
    return Row(
        picture=_picture(reference, x, path),
        operators=_operators(onnx.load(path)),
        **_weights(reference, x, path),
    )


def relative(ours: Array, theirs: Array) -> float:
    """||ours - theirs|| / ||theirs||."""
    if ours.shape != theirs.shape or not theirs.any():
        raise ValueError(
            f"{ours.shape} and {theirs.shape} cannot be compared, or all values are zero"
        )
    return float(np.linalg.norm(ours.astype(np.float64) - theirs) / np.linalg.norm(theirs))


def _operators(model: onnx.ModelProto) -> dict[str, int]:
    dependent, counts = {model.graph.input[0].name}, Counter[str]()
    for node in model.graph.node:
        if dependent & set(node.input):
            dependent.update(node.output)
            counts[node.op_type] += 1
    return dict(sorted(counts.items()))


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


# ---- With respect to the picture ------------------------------------------------------------


def _picture(reference: nn.Module, x: Tensor, path: Path) -> float:
    plain = onnx.load(path)
    name, end = plain.graph.input[0].name, plain.graph.output[0].name
    with torch.no_grad():
        shape = scores(reference(x.double())).shape
    u = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    gradient = vjp(plain, end, [name])
    kinks = _read_by_kinked(plain)
    gradient.graph.output.extend(onnx.ValueInfoProto(name=kink) for kink in kinks)
    feeds = {name: x.numpy(), f"{end}.cotangent": u}
    ours, *read = _session(gradient.SerializeToString()).run([f"{name}.grad", *kinks], feeds)
    leaf = x.double().requires_grad_()
    with _Branches(read):
        y = (scores(reference(leaf)) * torch.from_numpy(u)).sum()
    (theirs,) = torch.autograd.grad(y, leaf)
    return relative(ours, theirs.numpy())


def _read_by_kinked(model: onnx.ModelProto) -> list[str]:
    computed = {name for node in model.graph.node for name in node.output}
    read = (node.input[0] for node in model.graph.node if node.op_type in KINKED)
    return [name for name in dict.fromkeys(read) if name in computed]


class _Branches(TorchFunctionMode):
    """Differentiates functions with kinks at the inputs that onnxruntime read.

    Of a million ReLUs, a few read a value that float32 cannot distinguish from zero. Each one that
    takes the other branch in float64 changes the gradient by up to a percent, although either
    gradient is right. So these functions are evaluated in float64, but their derivatives are taken
    at the values that onnxruntime read.
    """

    def __init__(self, read: list[Array]) -> None:
        super().__init__()
        self._read = [torch.from_numpy(array).double() for array in read]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").strip("_")
        at = self._at(args[0]) if name in TORCH_KINKED else None
        if at is None:
            return func(*args, **kwargs)
        x, *more = args
        if name == "max_pool2d":
            options = {**kwargs, "return_indices": True}
            _, where = nn.functional.max_pool2d(at, *more, **options)
            return x.flatten(2).gather(2, where.flatten(2)).reshape(where.shape)
        at.requires_grad_()
        (slope,) = torch.autograd.grad(func(at.clone(), *more, **kwargs).sum(), at)
        value = func(x.detach().clone(), *more, **kwargs)
        return value + slope * (x - x.detach())

    def _at(self, x: Tensor) -> Tensor | None:
        """The value that onnxruntime read in place of x."""
        return next((value.clone() for value in self._read if _same(x.detach(), value)), None)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool((one - other).norm() <= SAME * other.norm())


# ---- With respect to the chosen layer -------------------------------------------------------


def _weights(reference: nn.Module, x: Tensor, path: Path) -> dict[str, Any]:
    exported = export(path)
    meta, layer = exported.artifact, exported.artifact.layers[0]
    session = _session(exported.model)
    with _Record() as record:
        output = scores(reference(x.double().requires_grad_()))
    score = _SCORES[meta.score.kind](output)
    random = np.random.default_rng(2)
    questions = random.standard_normal((2, 1, score.shape[1])).astype(np.float32)
    region = random.uniform(0, 1, (1, 1, *score.shape[2:])).astype(np.float32)
    values = {meta.picture: x.numpy(), meta.class_weights: questions, meta.region: region}
    feeds = {value.name: values[value.name] for value in session.get_inputs()}
    features, ours = session.run([layer.name, layer.weights], feeds)

    features = np.moveaxis(features, layer.channel_axis, 1)
    edge, as_features = record.find(torch.from_numpy(features).double())
    inside = score * torch.from_numpy(region[0])
    theirs = []
    for row in torch.from_numpy(questions):
        y = (inside * row.reshape(1, -1, *[1] * (score.ndim - 2))).sum()
        (gradient,) = torch.autograd.grad(y, edge, retain_graph=True)
        theirs.append(as_features(gradient).flatten(2).mean(2).numpy())
    return {
        "layer": layer.name,
        "operator": _operator(exported.model, layer.name),
        "shape": list(features.shape),
        "score": meta.score.kind,
        "weights": relative(ours, np.stack(theirs)),
    }


_SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda y: y.softmax(1),
    "sigmoid": lambda y: y.sigmoid(),
    "logits": lambda y: y,
    "linear": lambda y: y,
}


def _operator(model: bytes, name: str) -> str:
    graph = onnx.load_model_from_string(model).graph
    return next(str(node.op_type) for node in graph.node if name in node.output)


class _Record(TorchFunctionMode):
    """Records every tensor of a forward pass, with its edge in the autograd graph.

    Later in-place operations change neither.
    """

    def __init__(self) -> None:
        super().__init__()
        self._tensors: list[tuple[Tensor, Any]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.requires_grad and result.is_floating_point():
            edge = torch.autograd.graph.get_gradient_edge(result)
            self._tensors.append((result.detach().clone(), edge))
        return result

    def find(self, features: Tensor) -> tuple[Any, Callable[[Tensor], Tensor]]:
        """The edge of the first tensor that equals the features [N, C, *space], and its view."""
        for tensor, edge in self._tensors:
            for view in _views(tensor, features):
                if _same(view(tensor), features):
                    return edge, view
        raise ValueError("no tensor in torch's forward pass equals the layer")


def _views(tensor: Tensor, features: Tensor) -> Iterator[Callable[[Tensor], Tensor]]:
    """Views of a tensor as features: its axes permuted, or its last tokens as a grid."""
    if sorted(tensor.shape) == sorted(features.shape):
        for order in itertools.permutations(range(tensor.ndim)):
            yield lambda t, order=order: t.permute(order)
    batch, channels, *space = features.shape
    cells = int(np.prod(space))
    if tensor.ndim == 3 and tensor.shape[::2] == (batch, channels) and tensor.shape[1] >= cells:
        yield lambda t: t[:, -cells:].mT.reshape(features.shape)
