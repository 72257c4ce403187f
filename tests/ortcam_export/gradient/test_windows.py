"""Second rules: a cotangent asked for contracted is the whole one contracted, but never whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from finite_differences import Case, operator, recast, symbolic
from onnx.reference import ReferenceEvaluator

from ortcam_export.gradient.finish import finish
from ortcam_export.gradient.node import cotangent_dtype
from ortcam_export.gradient.seed import Given
from ortcam_export.gradient.sweep import Sweep
from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.windows import Ones, Windows
from ortcam_export.graph.model_io import opset
from ortcam_export.graph.names import tensor
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load
from ortcam_export.vjp import vjp

K = 2


def f(*shape: Any, seed: Any = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def ints(*values: Any) -> Any:
    return np.array(values, np.int64)


def floats(*values: Any) -> Any:
    return np.array(values, np.float32)


PICTURES = f(2, 4, 7, 6)

CASES = {
    # convolutions
    "Conv": ("Conv", {"w": f(3, 4, 3, 2)}, {}),
    "Conv 1x1": ("Conv", {"w": f(3, 4, 1, 1)}, {}),
    "Conv 1x1, strides": ("Conv", {"w": f(3, 4, 1, 1)}, {"strides": [2, 3]}),
    "Conv, pads": ("Conv", {"w": f(3, 4, 3, 3)}, {"pads": [1, 1, 1, 1]}),
    "Conv, uneven pads": ("Conv", {"w": f(3, 4, 3, 2)}, {"pads": [0, 2, 1, 0]}),
    "Conv, strides": ("Conv", {"w": f(3, 4, 3, 3)}, {"strides": [2, 3], "pads": [1, 0, 0, 1]}),
    "Conv, dilations": ("Conv", {"w": f(3, 4, 3, 2)}, {"dilations": [2, 3], "pads": [1, 2, 3, 0]}),
    "Conv, groups": ("Conv", {"w": f(6, 2, 3, 2)}, {"group": 2, "strides": [1, 2]}),
    "Conv, depthwise": ("Conv", {"w": f(8, 1, 3, 3)}, {"group": 4, "pads": [1, 1, 1, 1]}),
    "Conv, SAME_UPPER": (
        "Conv", {"w": f(3, 4, 2, 3)}, {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    ),
    "Conv, SAME_LOWER": (
        "Conv", {"w": f(3, 4, 2, 3)}, {"auto_pad": "SAME_LOWER", "strides": [3, 1]},
    ),
    "Conv, gaps": ("Conv", {"w": f(3, 4, 1, 2)}, {"strides": [3, 4]}),
    "ConvTranspose": ("ConvTranspose", {"w": f(4, 3, 3, 2)}, {}),
    "ConvTranspose, strides": ("ConvTranspose", {"w": f(4, 3, 2, 2)}, {"strides": [2, 2]}),
    "ConvTranspose, pads": (
        "ConvTranspose", {"w": f(4, 3, 3, 3)},
        {"strides": [2, 3], "pads": [1, 0, 2, 1], "output_padding": [1, 0]},
    ),
    "ConvTranspose, dilations": (
        "ConvTranspose", {"w": f(4, 3, 2, 3)}, {"dilations": [3, 2], "pads": [2, 0, 0, 1]},
    ),
    "ConvTranspose, groups": (
        "ConvTranspose", {"w": f(4, 3, 2, 3)}, {"group": 2, "strides": [2, 1]},
    ),
    "ConvTranspose, SAME_UPPER": (
        "ConvTranspose", {"w": f(4, 3, 3, 3)}, {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    ),
    # resampling
    "Resize, nearest": ("Resize", {"roi": None, "s": floats(1, 1, 2, 1.5)}, {}),
    "Resize, linear": (
        "Resize", {"roi": None, "s": floats(1, 1, 2, 1.5)}, {"mode": "linear"},
    ),
    "Resize, linear, down": (
        "Resize", {"roi": None, "s": floats(1, 1, 0.5, 0.4)}, {"mode": "linear"},
    ),
    "Resize, cubic": (
        "Resize", {"roi": None, "s": None, "size": ints(2, 4, 9, 4)}, {"mode": "cubic"},
    ),
    "Resize, align_corners": (
        "Resize", {"roi": None, "s": None, "size": ints(2, 4, 15, 11)},
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    ),
    "Resize, antialias": (
        "Resize", {"roi": None, "s": floats(1, 1, 0.5, 0.6)}, {"mode": "linear", "antialias": 1},
    ),
    "Resize, channels too": (
        "Resize", {"roi": None, "s": None, "size": ints(2, 6, 8, 9)}, {},
    ),
    # pools
    "AveragePool": ("AveragePool", {}, {"kernel_shape": [3, 2], "strides": [2, 2]}),
    "AveragePool, pads": (
        "AveragePool", {}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 0], "ceil_mode": 1},
    ),
    "AveragePool, count_include_pad": (
        "AveragePool", {}, {"kernel_shape": [3, 3], "pads": [1, 0, 1, 1], "count_include_pad": 1},
    ),
    "GlobalAveragePool": ("GlobalAveragePool", {}, {}),
    # putting together and taking apart
    "Concat, channels": ("Concat", {"b": f(2, 3, 7, 6)}, {"axis": 1}),
    "Concat, rows": ("Concat", {"b": f(2, 4, 2, 6)}, {"axis": 2}),
    "Concat, columns": ("Concat", {"b": f(2, 4, 7, 3)}, {"axis": -1}),
    "Slice, channels": ("Slice", {"s": ints(1), "e": ints(3), "a": ints(1)}, {}),
    "Slice, space": ("Slice", {"s": ints(1, -5), "e": ints(6, 9), "a": ints(2, 3)}, {}),
    "Slice, steps": (
        "Slice", {"s": ints(0, -1), "e": ints(9, -9), "a": ints(2, 3), "t": ints(3, -2)}, {},
    ),
    "Slice, steps of channels": (
        "Slice", {"s": ints(3), "e": ints(-9), "a": ints(1), "t": ints(-2)}, {},
    ),
    "Split, channels": ("Split", {"parts": ints(1, 3)}, {"axis": 1}),
    "Split, rows": ("Split", {"parts": ints(3, 4)}, {"axis": 2}),
    "Pad": ("Pad", {"p": ints(0, 0, 1, 2, 0, 0, 0, 1)}, {}),
    "Pad, crop": ("Pad", {"p": ints(0, 0, -1, 2, 0, 0, 1, -2)}, {}),
    "Pad, channels": ("Pad", {"p": ints(0, 1, 0, 0, 0, 2, 0, 0)}, {}),
    "Pad, reflect": ("Pad", {"p": ints(0, 0, 1, 2, 0, 0, 0, 1)}, {"mode": "reflect"}),
    "Pad, edge": ("Pad", {"p": ints(0, 0, 1, 2, 0, 0, 3, 1)}, {"mode": "edge"}),
    # arithmetic
    "Add": ("Add", {"b": f(4, 1, 1)}, {}),
    "Add of pictures": ("Add", {"b": f(2, 4, 7, 6)}, {}),
    "Sub": ("Sub", {"b": f(1)}, {}),
    "Mul": ("Mul", {"b": f(4, 1, 1)}, {}),
    "Mul by a number": ("Mul", {"b": np.float32(1.7)}, {}),
    "Div": ("Div", {"b": f(2, 1, 1, 1) + 4}, {}),
    "Sum": ("Sum", {"b": f(2, 4, 7, 6), "c": f(6)}, {}),
    "Mean": ("Mean", {"b": f(2, 4, 7, 6)}, {}),
    "Neg": ("Neg", {}, {}),
    "Identity": ("Identity", {}, {}),
    "Dropout": ("Dropout", {}, {}),
    "BatchNormalization": (
        "BatchNormalization", {"s": f(4), "b": f(4), "m": f(4), "v": f(4) ** 2 + 1}, {},
    ),
    # order, products, reductions
    "Transpose": ("Transpose", {}, {"perm": [0, 2, 3, 1]}),
    "Transpose, reversed": ("Transpose", {}, {}),
    "Unsqueeze": ("Unsqueeze", {"a": ints(2, -1)}, {}),
    "Reshape, space merged": ("Reshape", {"s": ints(0, 0, -1)}, {}),
    "Reshape, channels parted": ("Reshape", {"s": ints(0, 2, 2, 7, 6)}, {}),
    "ReduceMean": ("ReduceMean", {"a": ints(2, 3)}, {}),
    "ReduceMean, dropped": ("ReduceMean", {"a": ints(3, 2)}, {"keepdims": 0}),
    "ReduceMean, one axis": ("ReduceMean", {"a": ints(-1)}, {"keepdims": 0}),
    "ReduceSum, rows": ("ReduceSum", {"a": ints(2)}, {}),
    "ReduceSum, channels": ("ReduceSum", {"a": ints(1)}, {"keepdims": 0}),
    "ReduceSum, channels and rows": ("ReduceSum", {"a": ints(1, 2)}, {"keepdims": 0}),
    "ReduceSum, all": ("ReduceSum", {}, {"keepdims": 0}),
}  # fmt: skip

MATMUL = [((2, 7, 6, 4), (4, 3), (1, 2)), ((2, 5, 4), (4, 3), (1,)), ((2, 7, 6, 4), (4, 3), (2,))]


@pytest.mark.parametrize(("x", "b", "spaces"), MATMUL)
def test_matmul(monkeypatch: pytest.MonkeyPatch, x: Any, b: Any, spaces: Any) -> None:
    x, b = f(*x), f(*b)
    case = network("MatMul", {"b": b}, {}, x)
    u = f(K, *x.shape[:-1], b.shape[1], seed=1)
    windows = [f(2, x.shape[axis], seed=9) for axis in spaces]
    found = run(contracted(case.model, windows, monkeypatch, spaces), x, u, "answer")
    known = u @ b.T
    for axis, window in zip(spaces, windows, strict=True):
        known = np.moveaxis(np.tensordot(window, known, (1, axis + 1)), 0, axis + 1)
    np.testing.assert_allclose(found, known, rtol=1e-4, atol=1e-4)


#: The operator, the shape of x, its other inputs, and the windows along rows and columns.
OTHERS = {
    "Squeeze": ("Squeeze", (2, 1, 4, 7, 6), {"a": ints(1)}, (3, 4)),
    "Reshape, space parted": ("Reshape", (2, 4, 42), {"s": ints(2, 4, 7, 6)}, (2,)),
    "Flatten": ("Flatten", (2, 4, 1, 1), {}, (2, 3)),
    "Expand": ("Expand", (2, 4, 1, 6), {"s": ints(2, 4, 7, 6)}, (2, 3)),
    "MatMul from the left": ("MatMul", (2, 4, 7, 6), {"b": f(5, 7)}, (2, 3)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_ones_of_other_shapes(monkeypatch: pytest.MonkeyPatch, name: Any) -> None:
    op_type, shape, others, spaces = OTHERS[name]
    x = f(*shape)
    named = {"x": x, **others} if op_type != "MatMul" else {**others, "x": x}
    model = operator(op_type, named, fixed=others, outputs=["y"]).model
    u = f(K, *run_forward(Case(model, {"x": x})).shape, seed=1)
    g = run(vjp(model, "y", ["x"], questions=True), x, u, "x.grad")
    some = [None if op_type in ("Reshape", "Flatten") else f(2, shape[axis]) for axis in spaces]
    for windows in ([None] * len(spaces), some):
        found = run(contracted(model, windows, monkeypatch, spaces), x, u, "answer")
        known = g
        for axis, window in zip(spaces, windows, strict=True):
            matrix = np.ones((1, shape[axis])) if window is None else window
            known = np.moveaxis(np.tensordot(matrix, known, (1, axis + 1)), 0, axis + 1)
        np.testing.assert_allclose(found, known, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("op_type", "x", "b"),
    [
        ("Add", (2, 4, 1, 6), (2, 4, 7, 6)),  # broadcast along a window's axis
        ("Mul", (2, 4, 7, 6), (2, 1, 7, 6)),  # not the same all over the windows
        ("Div", (2, 4, 7, 6), (7, 1)),
    ],
)
def test_what_no_second_rule_can_answer_is_averaged(op_type: Any, x: Any, b: Any) -> None:
    x, b = f(*x), f(*b, seed=3) + 3
    case = network(op_type, {"b": b}, {}, x)
    u = f(K, 2, 4, 7, 6, seed=1)
    windows = (f(2, x.shape[2], seed=4), None)
    found = run(contracted(case.model, windows), x, u, "answer")
    np.testing.assert_allclose(found, expected(case.model, x, u, windows), rtol=1e-4, atol=1e-4)


ROWS, COLUMNS = f(3, 7, seed=5), f(2, 6, seed=6)
WINDOWS = {
    "ones": (None, None),
    "several": (ROWS, COLUMNS),
    "rows and ones": (ROWS, None),
}

#: Cases that onnx's ReferenceEvaluator runs differently from ONNX Runtime, or not at all: pools
#: with padding, ConvTranspose in groups or with auto_pad, a Pad that crops.
SINGLE_ONLY = {
    "AveragePool", "AveragePool, pads", "AveragePool, count_include_pad", "Conv, groups",
    "Conv, depthwise", "ConvTranspose, groups", "ConvTranspose, SAME_UPPER", "Pad", "Pad, channels",
    "Pad, crop", "Slice, steps", "Slice, steps of channels", "Resize, antialias",
}  # fmt: skip

#: What may be broadcast, as far as symbolic shapes tell, so that only the whole cotangent will do.
STATIC_ONLY = {"Add of pictures", "Sum", "Mean", "Div", "Reshape, channels parted"}


def network(op_type: Any, others: Any, attributes: Any, x: Any = PICTURES) -> Any:
    outputs = ["y", "z"] if op_type == "Split" else ["y"]
    others = {name: None if a is None else np.asarray(a) for name, a in others.items()}
    return operator(op_type, {"x": x, **others}, fixed=others, outputs=outputs, **attributes)


def contracted(
    model: Any, windows: Any, monkeypatch: pytest.MonkeyPatch | None = None, spaces: Any = (2, 3)
) -> Any:
    """A network with x's cotangent contracted with windows (None: ones) as its second output."""
    network = prepare(load(model))
    tape = Tape(network.graph, opset(network))
    y, x = tensor(network, "y"), tensor(network, "x")
    cotangent = ir.val("u", dtype=y.dtype, shape=["K", *(y.shape or ())])
    network.graph.inputs.append(cotangent)
    g = tape.wrap(cotangent)
    tape.questions = g.dim(0)
    sweep = Sweep(tape, Given(y, g.leading()))
    if monkeypatch is not None:
        monkeypatch.setattr(sweep, "whole", None)  # not to be called
    tensor_x = tape.wrap(x)
    dtype = cotangent_dtype(tensor_x.dtype)
    axes = {
        axis: Ones(tensor_x.dim(axis)) if window is None else tape.constant(window, dtype)
        for axis, window in zip(spaces, windows, strict=True)
    }
    answer = sweep.contracted(x, Windows(tape, dtype, axes))
    finish(network, {"answer": answer.revealed()})
    return ir.to_proto(network)


def run(model: Any, x: Any, u: Any, name: Any) -> Any:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feeds = {"x": x, session.get_inputs()[-1].name: u}
    return session.run([name], feeds)[0]


def expected(model: Any, x: Any, u: Any, windows: Any) -> Any:
    """The whole gradient, contracted by NumPy."""
    g = run(vjp(model, "y", ["x"], questions=True), x, u, "x.grad").astype(np.float64)
    for axis, window in zip((3, 4), windows, strict=True):
        matrix = np.ones((1, g.shape[axis])) if window is None else window
        g = np.moveaxis(np.tensordot(matrix, g, (1, axis)), 0, axis)
    return g


@pytest.mark.parametrize("windows", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_the_whole_contracted(
    monkeypatch: pytest.MonkeyPatch, name: Any, windows: Any
) -> None:
    case = network(*CASES[name])
    y = run_forward(case)
    u = f(K, *y.shape, seed=1)
    known = expected(case.model, PICTURES, u, windows)
    models = [case.model] if name in STATIC_ONLY else [case.model, with_symbols(case.model)]
    for model in models:
        asked = contracted(model, windows, monkeypatch)
        found = run(asked, PICTURES, u, "answer")
        assert found.shape == known.shape
        np.testing.assert_allclose(found, known, rtol=1e-4, atol=2e-5 * np.abs(known).max())


@pytest.mark.parametrize("name", sorted(CASES.keys() - SINGLE_ONLY))
def test_in_double_precision_the_two_are_one(name: Any) -> None:
    case = network(*CASES[name])
    model, x = recast(case.model), PICTURES.astype(np.float64)
    u = np.random.default_rng(2).standard_normal((K, *run_forward(case).shape))
    windows = (ROWS.astype(np.float64), None)
    asked = contracted(model, windows)
    evaluator: Any = ReferenceEvaluator(asked)
    (found,) = evaluator.run(["answer"], {"x": x, "u": u})
    evaluator = ReferenceEvaluator(vjp(model, "y", ["x"], questions=True))
    (g,) = evaluator.run(["x.grad"], {"x": x, "y.cotangent": u})
    known = np.einsum("ah,knchw->kncaw", ROWS.astype(np.float64), g).sum(4, keepdims=True)
    np.testing.assert_allclose(found, known, rtol=1e-12, atol=1e-12 * np.abs(known).max())


def with_symbols(model: Any) -> Any:
    """N, H and W symbolic; the number of channels is always known."""
    changed = symbolic(model)
    changed.graph.input[0].type.tensor_type.shape.dim[1].dim_value = PICTURES.shape[1]
    return changed


def run_forward(case: Any) -> Any:
    session = onnxruntime.InferenceSession(
        case.model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(["y"], dict(case.feeds))[0]
