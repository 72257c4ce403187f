"""Networks of opsets 7 to 17: what they compute once prepared, and its gradient.

The network at its old opset, run unchanged in ONNX Runtime, is the reference: in double precision
where ONNX Runtime has a kernel for that, else in single with steps so large that they show through
the rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from finite_differences import recast, symbolic
from onnx import helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NotImplemented_

from ortcam.errors import ModelError
from ortcam_export.graph.model_io import OPSET
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load
from ortcam_export.vjp import vjp

#: Operators that ONNX Runtime does not compute in double precision: by the standard, or because the
#: kernel does not.
_SINGLE = {"Celu", "MeanVarianceNormalization", "Resize", "Shrink", "Upsample"}

#: The oldest opset that ONNX Runtime promises to run.
OLDEST = 7

Array = np.ndarray[Any, Any]


def _normal(*shape: int) -> Array:
    return np.random.default_rng([*shape]).standard_normal(shape).astype(np.float32)


def _spread(*shape: int) -> Array:
    """Numbers with no two nearer than 0.1: no step makes or breaks a tie."""
    count = int(np.prod(shape))
    order = np.random.default_rng([*shape]).permutation(count)
    return ((order - count / 2 + 0.25) / 8).astype(np.float32).reshape(shape)


def _i(*values: int) -> Array:
    return np.array(values, np.int64)


def _f(*values: float) -> Array:
    return np.array(values, np.float32)


X, FEATURES = _spread(2, 3, 4, 5), _spread(2, 4, 6, 6)
STATISTICS: list[Array | None] = [
    _normal(3),
    _normal(3) * 2,
    _normal(3) * 3,
    np.abs(_normal(3)) + 0.5,
]
KERNEL = {"kernel_shape": [3, 3], "strides": [2, 2]}
ROIS = _f(0, 0, 7, 5, 1, 2, 9, 9).reshape(2, 4)
NONE = None

#: name: (operator, first opset, last opset, the inputs behind x, attributes, x)
CASES: dict[str, tuple[str, int, int, list[Array | None], dict[str, Any], Array]] = {
    "Clip-6": ("Clip", 7, 10, [], {"min": -1.0, "max": 2.0}, X),
    "Clip-6, one bound": ("Clip", 7, 10, [], {"max": 0.5}, X),
    "Clip-11": ("Clip", 11, 17, [np.array(-1, np.float32), np.array(2, np.float32)], {}, X),
    "Clip-11, one bound": ("Clip", 11, 17, [NONE, np.array(0.5, np.float32)], {}, X),
    "Slice-1": ("Slice", 7, 9, [], {"starts": [1, 0], "ends": [3, -1], "axes": [2, 3]}, X),
    "Slice-1, all axes": ("Slice", 7, 9, [], {"starts": [0, 1], "ends": [9, 3]}, X),
    "Slice-10": ("Slice", 10, 17, [_i(3, 0), _i(0, 9), _i(2, 3), _i(-1, 2)], {}, X),
    "Pad-2": ("Pad", 7, 10, [], {"pads": [0, 0, 1, 2, 0, 1, 0, 3], "value": 1.5}, X),
    "Pad-2, reflect": ("Pad", 7, 10, [], {"pads": [0, 0, 1, 2, 0, 0, 2, 3], "mode": "reflect"}, X),
    "Pad-2, edge": ("Pad", 7, 10, [], {"pads": [0, 0, 1, 2, 0, 0, 2, 3], "mode": "edge"}, X),
    "Pad-2, cropping": ("Pad", 7, 10, [], {"pads": [0, 0, -1, 2, 0, 0, 0, -2]}, X),
    "Pad-11": ("Pad", 11, 17, [_i(0, 0, 1, 2, 0, 1, 0, 3), np.array(1.5, np.float32)], {}, X),
    "BatchNormalization-7": ("BatchNormalization", 7, 17, STATISTICS, {"epsilon": 0.01}, X),
    "Upsample-7, nearest": ("Upsample", 7, 8, [], {"scales": [1.0, 1.0, 2.0, 3.0]}, X),
    "Upsample-7, linear": (
        "Upsample", 7, 8, [], {"scales": [1.0, 1.0, 2.0, 1.5], "mode": "linear"}, X,
    ),
    "Upsample-9, nearest": ("Upsample", 9, 9, [_f(1, 1, 2, 3)], {}, X),
    "Upsample-9, linear": ("Upsample", 9, 9, [_f(1, 1, 2, 1.5)], {"mode": "linear"}, X),
    "Resize-10, nearest": ("Resize", 10, 10, [_f(1, 1, 0.5, 1.6)], {}, X),
    "Resize-10, linear": ("Resize", 10, 10, [_f(1, 1, 1.7, 0.6)], {"mode": "linear"}, X),
    "Resize-11, nearest": ("Resize", 11, 17, [_f(), _f(1, 1, 0.5, 1.6)], {}, X),
    "Resize-11, half_pixel": (
        "Resize", 11, 17, [_f(), _f(), _i(2, 3, 7, 3)], {"mode": "linear"}, X,
    ),
    "Resize-11, asymmetric": (
        "Resize", 11, 17, [_f(), _f(1, 1, 2, 2)],
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
         "nearest_mode": "floor"}, X,
    ),
    "Resize-11, cubic": (
        "Resize", 11, 17, [_f(), _f(1, 1, 2, 2)],
        {"mode": "cubic", "coordinate_transformation_mode": "align_corners"}, X,
    ),
    "Squeeze-1": ("Squeeze", 7, 12, [], {"axes": [0, 2]}, _normal(1, 3, 1, 4)),
    "Squeeze-1, all": ("Squeeze", 7, 12, [], {}, _normal(1, 3, 1, 4)),
    "Squeeze-13": ("Squeeze", 13, 17, [_i(0, 2)], {}, _normal(1, 3, 1, 4)),
    "Unsqueeze-1": ("Unsqueeze", 7, 12, [], {"axes": [0, 2]}, _normal(3, 4)),
    "Unsqueeze-13": ("Unsqueeze", 13, 17, [_i(0, -1)], {}, _normal(3, 4)),
    "Dropout-7": ("Dropout", 7, 11, [], {"ratio": 0.3}, X),
    "Dropout-12": ("Dropout", 12, 17, [np.array(0.3, np.float32)], {}, X),
    "Gemm-7, a row": (
        "Gemm", 7, 17, [_normal(4, 5), _normal(5)],
        {"transB": 0, "transA": 1, "alpha": 0.5, "beta": 2.0}, _normal(4, 3),
    ),
    "Gemm-7, a column": (
        "Gemm", 7, 17, [_normal(5, 4), _normal(3, 1)], {"transB": 1}, _normal(3, 4),
    ),
    "Gemm-11, no C": ("Gemm", 11, 17, [_normal(4, 5)], {}, _normal(3, 4)),
    "TopK-1": ("TopK", 7, 9, [], {"k": 2, "axis": 2}, X),
    "TopK-10": ("TopK", 10, 10, [_i(3)], {"axis": 1}, X),
    "TopK-11": ("TopK", 11, 17, [_i(2)], {"axis": -1, "largest": 0}, X),
    "MaxPool-1": ("MaxPool", 7, 17, [], {**KERNEL, "pads": [1, 1, 1, 1]}, FEATURES),
    "MaxPool-1, SAME_LOWER": ("MaxPool", 7, 17, [], {**KERNEL, "auto_pad": "SAME_LOWER"}, FEATURES),
    "MaxPool-8, by columns": ("MaxPool", 8, 17, [], {**KERNEL, "storage_order": 1}, FEATURES),
    "MaxPool-10": (
        "MaxPool", 10, 17, [], {**KERNEL, "ceil_mode": 1, "dilations": [1, 2]}, FEATURES,
    ),
    "AveragePool-7": (
        "AveragePool", 7, 17, [], {**KERNEL, "pads": [1, 1, 1, 1], "count_include_pad": 1},
        FEATURES,
    ),
    "AveragePool-7, without pads": (
        "AveragePool", 7, 17, [], {**KERNEL, "pads": [1, 0, 0, 1]}, FEATURES,
    ),
    "AveragePool-10": ("AveragePool", 10, 17, [], {**KERNEL, "ceil_mode": 1}, FEATURES),
    "LpPool-2": ("LpPool", 7, 17, [], {**KERNEL, "p": 3}, FEATURES),
    "GlobalLpPool-2": ("GlobalLpPool", 7, 17, [], {"p": 3}, FEATURES),
    "GlobalMaxPool": ("GlobalMaxPool", 7, 17, [], {}, FEATURES),
    "GlobalAveragePool": ("GlobalAveragePool", 7, 17, [], {}, FEATURES),
    "Conv": (
        "Conv", 7, 17, [_normal(6, 2, 3, 3), _normal(6)],
        {"group": 2, "strides": [2, 1], "auto_pad": "SAME_UPPER"}, FEATURES,
    ),
    "ConvTranspose": (
        "ConvTranspose", 7, 17, [_normal(4, 3, 3, 3), _normal(6)],
        {"group": 2, "strides": [2, 3], "pads": [1, 0, 0, 1], "output_padding": [1, 0]}, FEATURES,
    ),
    "ConvTranspose, output_shape": (
        "ConvTranspose", 7, 17, [_normal(4, 3, 3, 3)],
        {"strides": [2, 2], "output_shape": [12, 12]}, FEATURES,
    ),
    "PRelu-7, one a channel": ("PRelu", 7, 17, [_normal(3, 1, 1)], {}, X),
    "PRelu-7, one": ("PRelu", 7, 17, [_normal(1)], {}, X),
    "Sum-6": ("Sum", 7, 17, [_normal(2, 3, 4, 5), _normal(2, 3, 4, 5)], {}, X),
    "Sum-8, broadcast": ("Sum", 8, 17, [_normal(5), _normal(4, 1)], {}, X),
    "Mean-8, broadcast": ("Mean", 8, 17, [_normal(5), _normal(4, 1)], {}, X),
    "Max-6": ("Max", 7, 17, [-X + 0.03], {}, X),
    "Max-8, broadcast": ("Max", 8, 17, [_f(0.03)], {}, X),
    "Min-8, broadcast": ("Min", 8, 17, [_f(0.03)], {}, X),
    "Add-7, broadcast": ("Add", 7, 17, [_normal(1, 3, 1, 1)], {}, X),
    "Div-7": ("Div", 7, 17, [_normal(3, 1, 1) + 3], {}, X),
    "Pow-7": ("Pow", 7, 17, [_f(3)], {}, np.abs(X) + 0.5),
    "Flatten-1": ("Flatten", 7, 17, [], {"axis": 2}, X),
    "Flatten-11": ("Flatten", 11, 17, [], {"axis": -1}, X),
    "Reshape-5": ("Reshape", 7, 17, [_i(0, -1, 2, 5)], {}, X),
    "Transpose": ("Transpose", 7, 17, [], {"perm": [0, 2, 3, 1]}, X),
    "Tile-6": ("Tile", 7, 17, [_i(1, 2, 1, 3)], {}, X),
    "Expand-8": ("Expand", 8, 17, [_i(2, 3, 1, 5)], {}, _normal(3, 4, 1)),
    "Gather-1": ("Gather", 7, 17, [_i(2, 0, 2)], {"axis": 1}, X),
    "GatherElements-11": ("GatherElements", 11, 17, [X.argsort(1)[:, :2]], {"axis": 1}, X),
    "Scatter-9": ("Scatter", 9, 10, [_i(1, 0).reshape(1, 2), _f(1, 2).reshape(1, 2)], {}, X[0, 0]),
    "Where-9": ("Where", 9, 17, [_normal(2, 3, 4, 5), _normal(5)], {}, X > 0),
    "InstanceNormalization": (
        "InstanceNormalization", 7, 17, STATISTICS[:2], {"epsilon": 0.01}, X,
    ),
    "LRN": ("LRN", 7, 17, [], {"size": 3, "alpha": 0.1, "bias": 1.5}, X),
    "LpNormalization": ("LpNormalization", 7, 17, [], {"axis": 1, "p": 2}, X),
    "MeanVarianceNormalization-9": ("MeanVarianceNormalization", 9, 17, [], {}, X),
    "LayerNormalization-17": ("LayerNormalization", 17, 17, [_normal(5)], {"axis": -1}, X),
    "DepthToSpace-1": ("DepthToSpace", 7, 17, [], {"blocksize": 2}, FEATURES),
    "DepthToSpace-11": ("DepthToSpace", 11, 17, [], {"blocksize": 2, "mode": "CRD"}, FEATURES),
    "SpaceToDepth-1": ("SpaceToDepth", 7, 17, [], {"blocksize": 2}, FEATURES),
    "MatMul": ("MatMul", 7, 17, [_normal(5, 2)], {}, X),
    "Elu": ("Elu", 7, 17, [], {"alpha": 0.7}, X),
    "Selu": ("Selu", 7, 17, [], {}, X),
    "HardSigmoid": ("HardSigmoid", 7, 17, [], {"alpha": 0.3}, X),
    "LeakyRelu": ("LeakyRelu", 7, 17, [], {"alpha": 0.2}, X),
    "ThresholdedRelu-10": ("ThresholdedRelu", 10, 17, [], {"alpha": 0.8}, X),
    "Shrink-9": ("Shrink", 9, 17, [], {"lambd": 0.8, "bias": 0.3}, X),
    "Celu-12": ("Celu", 12, 17, [], {"alpha": 0.7}, X),
    "CumSum-11": ("CumSum", 11, 17, [np.array(1)], {"reverse": 1}, X),
    "Mod-10": ("Mod", 10, 17, [_f(1.7)], {"fmod": 1}, X),
    "ReverseSequence-10": ("ReverseSequence", 10, 17, [_i(2, 1, 3)], {}, _normal(4, 3, 2)),
    "RoiAlign-10": (
        "RoiAlign", 10, 17, [ROIS, _i(0, 1)], {"output_height": 2, "output_width": 3}, FEATURES,
    ),
    "MaxRoiPool-1": (
        "MaxRoiPool", 7, 17, [np.concatenate([_f(0, 1).reshape(2, 1), ROIS], 1)],
        {"pooled_shape": [2, 2], "spatial_scale": 0.6}, FEATURES,
    ),
    "GridSample-16": ("GridSample", 16, 17, [_normal(2, 3, 3, 2) / 2], {"mode": "bilinear"}, X),
}  # fmt: skip

for _axis in (None, 0, 1, 2, 3, -1):
    for _op in ("Softmax", "LogSoftmax"):
        _attributes = {} if _axis is None else {"axis": _axis}
        CASES[f"{_op}, axis {_axis}"] = (_op, 11 if _axis == -1 else 7, 17, [], _attributes, X)
for _op in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"):
    _last = 12 if _op == "Sum" else 17
    for _keep in (0, 1):
        _reduced = {"axes": [1, 3], "keepdims": _keep}
        _x = np.abs(X) + 0.3 if _op == "LogSum" else X / 4
        CASES[f"Reduce{_op}-1, keepdims {_keep}"] = (f"Reduce{_op}", 7, _last, [], _reduced, _x)
    CASES[f"Reduce{_op}-1, all axes"] = (f"Reduce{_op}", 7, 17, [], {}, _x)
    CASES[f"Reduce{_op}-11"] = (f"Reduce{_op}", 11, _last, [], {"axes": [-1], "keepdims": 0}, _x)
CASES["ReduceSum-13"] = ("ReduceSum", 13, 17, [_i(1, -1)], {"keepdims": 0}, X)


def network(name: str, opset: int) -> onnx.ModelProto:
    """y = operator(x, ...)."""
    op_type, _, _, others, attributes, x = CASES[name]
    names = ["x"] + ["" if other is None else f"c{i}" for i, other in enumerate(others)]
    if op_type == "Where":  # the gradient is that of its second input
        names, x = ["c", "x", "c1"], np.asarray(others[0])
    constants = {f"c{i}": other for i, other in enumerate(others) if other is not None}
    if op_type == "Where":
        constants = {"c": CASES[name][5], "c1": np.asarray(others[1])}
    outputs = ["y", "places"] if op_type == "TopK" else ["y"]
    return _model([helper.make_node(op_type, names, outputs, **attributes)], x, constants, opset)


def _model(
    nodes: list[onnx.NodeProto], x: Array, constants: dict[str, Array], opset: int
) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", onnx.TensorProto.FLOAT, x.shape)],
        [info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), key) for key, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _opsets(first: int, last: int) -> list[Any]:
    """The opsets of a case; those between the first and the last are slow."""
    between = [pytest.param(opset, marks=pytest.mark.slow) for opset in range(first + 1, last)]
    return [first, *between, *([last] if last > first else [])]


def _cases(cases: Mapping[str, tuple[Any, ...]]) -> list[Any]:
    return [
        pytest.param(name, *getattr(opset, "values", [opset]), marks=getattr(opset, "marks", ()))
        for name, (_, first, last, *_) in cases.items()
        for opset in _opsets(first, last)
    ]


@pytest.mark.parametrize(("name", "opset"), _cases(CASES))
def test_an_operator_at_its_opset(name: Any, opset: Any) -> None:
    x = CASES[name][3][0] if CASES[name][0] == "Where" else CASES[name][5]
    assert x is not None
    # the rank of what is squeezed of all that is 1 is known only where that is known
    check_old(network(name, opset), x, dynamic=name != "Squeeze-1, all")


SEVERAL: dict[str, tuple[str, int, int, list[Array], dict[str, Any]]] = {
    "Split-2": ("Split", 7, 12, [], {"axis": 1, "split": [1, 3]}),
    "Split-2, even": ("Split", 7, 12, [], {"axis": 3}),
    "Split-13": ("Split", 13, 17, [_i(1, 3)], {"axis": 1}),
    "Split-13, even": ("Split", 13, 17, [], {"axis": -1}),
}


@pytest.mark.parametrize(("name", "opset"), _cases(SEVERAL))
def test_a_split_at_its_opset(name: Any, opset: Any) -> None:
    _, _, _, others, attributes = SEVERAL[name]
    names = ["x", *(f"c{i}" for i in range(len(others)))]
    nodes = [
        helper.make_node("Split", names, ["a", "b"], **attributes),
        helper.make_node("Sin", ["b"], ["s"]),
        helper.make_node("Concat", ["s", "a"], ["y"], axis=1),
    ]
    constants = {f"c{i}": other for i, other in enumerate(others)}
    check_old(_model(nodes, FEATURES, constants, opset), FEATURES)


@pytest.mark.parametrize("opset", [OLDEST, 10, 11, 12, 13, OPSET - 1])
@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("ArgMax", {"axis": 1}),
        ("ArgMin", {"axis": 2, "keepdims": 0}),
        ("Hardmax", {"axis": 1}),
        ("Hardmax", {"axis": 3}),
        ("Hardmax", {}),
    ],
)
def test_what_chooses_by_size_at_its_opset(op_type: Any, attributes: Any, opset: Any) -> None:
    """The choice does not change when x changes a little: it multiplies x like a constant."""
    nodes = [
        helper.make_node(op_type, ["x"], ["i"], **attributes),
        helper.make_node("Cast", ["i"], ["f"], to=1),
        helper.make_node("ReduceSum", ["f"], ["s"], keepdims=1),
        helper.make_node("Mul", ["x", "f" if attributes.get("keepdims", 1) else "s"], ["y"]),
    ]
    check_old(_model(nodes, X, {}, opset), X)


@pytest.mark.parametrize("opset", [OLDEST, 8, 9, 12, 13, OPSET - 1])
def test_a_cast_at_its_opset(opset: Any) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["d"], to=onnx.TensorProto.DOUBLE),
        helper.make_node("Exp" if opset > 12 else "MatMul", ["d", *(["w"] * (opset < 13))], ["e"]),
        helper.make_node("Cast", ["e"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    check_old(_model(nodes, X, {"w": _normal(5, 3).astype(np.float64)}, opset), X)


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [1, 2, -1])
def test_a_softmax_behind_computed_axes_keeps_its_axes(op_type: str, axis: int) -> None:
    """The file states no shape behind its input, and the converter infers none."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node(op_type, ["t"], ["s"], axis=axis),
        helper.make_node("Transpose", ["s"], ["y"], perm=[0, 2, 1]),
    ]
    x = _spread(2, 5, 4)
    model = _model(nodes, x, {}, 11)
    check_old(model, x)
    if axis != 1:  # all axes from the first on are more than one
        ready = prepare(load(model)).graph
        assert [node.op_type for node in ready] == ["Transpose", op_type, "Transpose"]
        assert ready[1].attributes["axis"].value in (2, -1)


def test_a_softmax_of_unknown_rank() -> None:
    """Flattened, its axis of classes could not be told from the others."""
    nodes = [
        helper.make_node("Own", ["x"], ["t"], domain="com.example"),
        helper.make_node("Softmax", ["t"], ["y"], axis=2),
    ]
    model = _model(nodes, X, {}, 12)
    model.opset_import.add(domain="com.example", version=1)
    sentence = (
        "the network has opset 12, where the axis of its Softmax 'y' depends on a rank that is "
        "unknown; export it again with opset 13 or later"
    )
    with pytest.raises(ModelError, match=sentence):
        prepare(load(model))
    shape = helper.make_tensor_value_info("t", onnx.TensorProto.FLOAT, [1, 5, 7])
    model.graph.value_info.append(shape)  # a rank that the file states is enough
    ready = prepare(load(model)).graph
    assert [node.op_type for node in ready] == ["Own", "Softmax"]


def check_old(model: onnx.ModelProto, x: Array, *, dynamic: bool = True) -> None:
    """A network of an old opset against itself prepared, and its gradient against differences."""
    y = _run(model, {"x": x})[0]
    ready = ir.to_proto(prepare(load(model)))
    assert ready.opset_import[0].version == OPSET
    np.testing.assert_allclose(_run(ready, {"x": x})[0], y, rtol=1e-5, atol=1e-6)

    random = np.random.default_rng(0)
    u, v = (random.standard_normal(a.shape).astype(np.float32) for a in (y, x))
    graph = vjp(model, "y", ["x"])
    (gradient,) = _run(graph, {"x": x, "y.cotangent": u}, ["x.grad"])
    assert gradient.shape == x.shape
    if dynamic:
        feeds = {"x": x, "y.cotangent": u}
        (same,) = _run(vjp(symbolic(model), "y", ["x"]), feeds, ["x.grad"])
        np.testing.assert_allclose(same, gradient, rtol=1e-5, atol=1e-5 * np.abs(gradient).max())
    dtype: type[np.floating[Any]] = np.float32
    session, step, tolerance = _session(model), 2.0**-8, 1e-3
    if model.graph.node[0].op_type not in _SINGLE:
        with contextlib.suppress(NotImplemented_):  # no kernel in double, at this opset or at all
            session, dtype, step, tolerance = _session(recast(model)), np.float64, 1e-5, 1e-4
    ahead, behind = (
        session.run(["y"], {"x": (x + sign * v.astype(np.float64)).astype(dtype)})[0].astype(float)
        for sign in (step, -step)
    )
    jv = (ahead - behind) / (2 * step)
    left, right = float((u * jv).sum()), float((gradient.astype(np.float64) * v).sum())
    scale = float(np.linalg.norm(u) * np.linalg.norm(jv))
    assert abs(left - right) <= tolerance * scale + 1e-6, (left, right, scale)


def _run(model: onnx.ModelProto, feeds: dict[str, Array], names: list[str] | None = None) -> Any:
    return _session(model).run(names, feeds)


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
