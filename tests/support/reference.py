"""Grad-CAM in PyTorch, float64: the reference for artifacts.

A network runs node by node with PyTorch's own functions and is differentiated by its autograd: all
that this shares with the exporter is the ONNX file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    import torch

Array = NDArray[Any]


def pooled_gradients(
    model: onnx.ModelProto,
    inputs: dict[str, Array],
    score: str,
    layers: Sequence[str],
    class_weights: Array,
    region: Array,
    class_axis: int = 1,
    channel_axis: int = 1,
) -> dict[str, tuple[Array, Array]]:
    """Each layer's pooled gradients [K, N, C] and features [N, C, *space], float64.

    The means over space of :func:`whole_gradients`.
    """
    gradients = whole_gradients(
        model, inputs, score, layers, class_weights, region, class_axis, channel_axis
    )
    return {
        layer: (whole.reshape(*whole.shape[:3], -1).mean(axis=3), features)
        for layer, (whole, features) in gradients.items()
    }


def whole_gradients(
    model: onnx.ModelProto,
    inputs: dict[str, Array],
    score: str,
    layers: Sequence[str],
    class_weights: Array,
    region: Array,
    class_axis: int = 1,
    channel_axis: int = 1,
) -> dict[str, tuple[Array, Array]]:
    """Each layer's gradients [K, N, C, *space] and features [N, C, *space], float64.

    y[k, n] is the sum of class_weights [K, 1 or N, C] times region [K or 1, 1 or N, *space] times
    the score.
    """
    import torch

    env = run(model, inputs)
    s = env[score].moveaxis(class_axis, 1)
    w = torch.tensor(class_weights, dtype=torch.float64)
    w = w.reshape([*w.shape, *[1] * (s.ndim - 2)])
    r = torch.tensor(region, dtype=torch.float64)[:, :, None]
    whole: dict[str, list[Array]] = {layer: [] for layer in layers}
    for k in range(len(w)):
        y = (w[k] * r[min(k, len(r) - 1)] * s).sum()
        gradients = torch.autograd.grad(y, [env[layer] for layer in layers], retain_graph=True)
        for layer, gradient in zip(layers, gradients, strict=True):
            whole[layer].append(gradient.moveaxis(channel_axis, 1).numpy())
    return {
        layer: (np.stack(rows), env[layer].detach().moveaxis(channel_axis, 1).numpy())
        for layer, rows in whole.items()
    }


def cut(model: onnx.ModelProto, layer: str, score: str) -> Any:
    """A network as a PyTorch module in float64, whose ``layer`` is the feature layer.

    ``front(x)`` returns the features, without the score.
    """
    import torch

    cutter = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model))
    picture = model.graph.input[0].name
    whole = cutter.extract_model([picture], [score])

    class Cut(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Identity()
            self.device_marker = torch.nn.Parameter(torch.zeros(1))  # grad-cam asks its device

        def front(self, x: Any) -> Any:
            return run(whole, {picture: x})[layer]

        def forward(self, x: Any) -> Any:
            return run(whole, {picture: x}, {layer: self.layer})[score]

    return Cut().eval()


def run(
    model: onnx.ModelProto,
    inputs: Mapping[str, Array | torch.Tensor],
    changes: Mapping[str, Callable[[Any], Any]] | None = None,
) -> dict[str, torch.Tensor]:
    """Return every tensor of a network, floating ones in float64 and ready for autograd.

    ``changes`` are functions of tensors by name, which the later nodes see in their place.
    """
    import torch

    env: dict[str, Any] = {"": None}
    for tensor in model.graph.initializer:
        env[tensor.name] = _double(torch.tensor(numpy_helper.to_array(tensor)))
    for name, value in inputs.items():
        is_tensor = isinstance(value, torch.Tensor)
        env[name] = value if is_tensor else _double(torch.tensor(value)).requires_grad_()
    for node in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        operands = [env[name] for name in node.input]
        value = _OPERATORS[node.op_type](*operands, **attributes)
        change = (changes or {}).get(node.output[0])
        env[node.output[0]] = value if change is None else change(value)
    return env


def _double(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _functional() -> Any:
    import torch.nn.functional

    return torch.nn.functional


def _torch() -> Any:
    import torch

    return torch


def _conv(x: Any, w: Any, b: Any = None, **a: Any) -> Any:
    rank = x.ndim - 2
    pads = a.get("pads", [0] * 2 * rank)
    around = [(pads[axis], pads[axis + rank]) for axis in reversed(range(rank))]
    x = _functional().pad(x, [amount for pair in around for amount in pair])
    conv = _functional().conv2d if rank == 2 else _functional().conv3d
    return conv(x, w, b, a.get("strides", 1), 0, a.get("dilations", 1), a.get("group", 1))


def _conv_transpose(x: Any, w: Any, b: Any = None, **a: Any) -> Any:
    return _functional().conv_transpose2d(x, w, b, a.get("strides", 1))


def _batch_norm(x: Any, scale: Any, bias: Any, mean: Any, var: Any, **a: Any) -> Any:
    return _functional().batch_norm(x, mean, var, scale, bias, eps=a.get("epsilon", 1e-5))


def _max_pool(x: Any, **a: Any) -> Any:
    ceil = bool(a.get("ceil_mode", 0))
    pads = a.get("pads", [0] * 4)
    return _functional().max_pool2d(x, a["kernel_shape"], a["strides"], pads[:2], ceil_mode=ceil)


def _resize(x: Any, roi: Any, scales: Any, sizes: Any, **a: Any) -> Any:
    assert a["mode"] == b"linear"
    assert a.get("coordinate_transformation_mode", b"half_pixel") in (
        b"half_pixel",
        b"pytorch_half_pixel",
    )
    mode = "bilinear" if x.ndim == 4 else "trilinear"
    return _functional().interpolate(x, size=sizes.tolist()[2:], mode=mode)


def _slice(x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    assert steps is None
    along = range(len(starts)) if axes is None else axes.tolist()
    for axis, start, end in zip(along, starts.tolist(), ends.tolist(), strict=True):
        start = start + x.shape[axis] if start < 0 else start
        x = x.narrow(axis, start, min(end, x.shape[axis]) - start)
    return x


def _shape(x: Any, start: int = 0, end: int | None = None) -> Any:
    return _torch().tensor(list(x.shape[start:end]))


def _layer_norm(x: Any, scale: Any, bias: Any, **a: Any) -> Any:
    return _functional().layer_norm(x, scale.shape, scale, bias, a.get("epsilon", 1e-5))


def _reshape(x: Any, shape: Any) -> Any:
    return x.reshape([x.shape[i] if e == 0 else e for i, e in enumerate(shape.tolist())])


def _reduce_mean(x: Any, axes: Any, keepdims: int = 1) -> Any:
    return x.mean(axes.tolist(), keepdim=bool(keepdims))


_OPERATORS: dict[str, Any] = {
    "Add": lambda a, b: a + b,
    "BatchNormalization": _batch_norm,
    "Concat": lambda *xs, axis: _torch().cat(xs, axis),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Einsum": lambda *xs, equation: _torch().einsum(equation.decode(), *xs),
    "Expand": lambda x, shape: x.expand(shape.tolist()),
    "Gather": lambda x, i, axis=0: x.select(axis, int(i)),
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True),
    "Gemm": lambda x, w: x @ w,
    "Flatten": lambda x: x.flatten(1),
    "InstanceNormalization": lambda x, s, b: _functional().instance_norm(x, weight=s, bias=b),
    "LayerNormalization": _layer_norm,
    "MatMul": lambda a, b: a @ b,
    "Identity": lambda x: x,
    "MaxPool": _max_pool,
    "ReduceMean": _reduce_mean,
    "Reshape": _reshape,
    "Relu": lambda x: x.relu(),
    "Resize": _resize,
    "Shape": _shape,
    "Sigmoid": lambda x: x.sigmoid(),
    "Slice": _slice,
    "Softmax": lambda x, axis=-1: x.softmax(axis),
    "Transpose": lambda x, perm: x.permute(perm),
}
