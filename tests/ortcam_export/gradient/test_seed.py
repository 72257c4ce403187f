"""The question's gradient at the score's own softmax or sigmoid, against its formula in float64.

An error is relative to the largest gradient over the classes of the same pixel: where one class is
all but certain all of these are tiny, and must keep their digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ortcam_export.append.gradient import question
from ortcam_export.gradient.finish import finish
from ortcam_export.gradient.sweep import Sweep
from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.tensor import Tensor
from ortcam_export.gradient.windows import Ones, Windows
from ortcam_export.prepare.prepare import prepare

Array = NDArray[Any]

N, C, H, W, K = 2, 5, 7, 6, 3
LAYOUTS = {"channels first": 1, "channels last": 3}


def network(kind: str, axis: int) -> ir.Model:
    shape: list[str | int | None] = ["N", C, "H", "W"] if axis == 1 else ["N", "H", "W", C]
    attributes: dict[str, Any] = {"axis": axis} if kind == "Softmax" else {}
    graph = helper.make_graph(
        [
            helper.make_node("Identity", ["x"], ["logits"]),
            helper.make_node(kind, ["logits"], ["score"], **attributes),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, shape)],
    )
    imports = [helper.make_opsetid("", 18)]
    return prepare(ir.from_proto(helper.make_model(graph, opset_imports=imports, ir_version=10)))


def gradient(
    kind: str,
    axis: int,
    x: Array,
    weights: Array,
    region: Array,
    of: Callable[[Tape, Sweep, ir.Value], Tensor],
) -> Array:
    model = network(kind, axis)
    values = {value.name: value for node in model.graph for value in node.outputs}
    tape = Tape(model.graph, 18)
    sweep = Sweep(tape, question(tape, values["score"], axis, "class_weights", "region"))
    finish(model, {"g": of(tape, sweep, values["logits"]).revealed()})
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString())
    laid_out = x if axis == 1 else np.ascontiguousarray(np.moveaxis(x, 1, axis))
    feeds = {"x": laid_out, "class_weights": weights, "region": region}
    (g,) = session.run(["g"], feeds)
    return np.moveaxis(g, axis + 1, 2) if g.ndim == 5 else g


def exact(kind: str, x: Array, weights: Array, region: Array) -> Array:
    """dy/dx [K, N, C, H, W] in float64, 1 - s as the sum of what is not s."""
    x, w, r = x.astype(np.float64), weights.astype(np.float64)[..., None, None], region[:, :, None]
    if kind == "Sigmoid":
        slope = 1 / (1 + np.exp(-x)) / (1 + np.exp(x))
        return np.broadcast_to(w * r * slope, (len(weights), *x.shape))
    e = np.exp(x - x.max(1, keepdims=True))
    s = e / e.sum(1, keepdims=True)
    pairs = w[:, :, :, None] - w[:, :, None]
    return np.asarray(r * s * (pairs * s[:, None]).sum(3))


def logits(sure: float, seed: int = 0) -> Array:
    """Random logits, one class of each pixel above the others by ``sure``."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((N, C, H, W))
    best = random.integers(C, size=(N, 1, H, W))
    return np.asarray(x + sure * (np.arange(C)[:, None, None] == best), np.float32)


def questions(pictures: int) -> Array:
    """A class, a difference, and weights of all kinds, [K, pictures, C]."""
    rows = np.random.default_rng(1).standard_normal((K, pictures, C)).astype(np.float32)
    rows[0] = np.eye(C)[2]
    rows[1] = np.eye(C)[1] - np.eye(C)[3]
    return rows


REGIONS = {
    "everywhere": np.ones((1, 1, 1, 1), np.float32),
    "rows": np.random.default_rng(2).random((1, 1, H, 1)).astype(np.float32),
    "shared": np.random.default_rng(2).random((1, 1, H, W)).astype(np.float32),
    "one a picture": np.random.default_rng(3).random((1, N, H, W)).astype(np.float32),
    "one a question": np.random.default_rng(4).random((K, 1, H, W)).astype(np.float32),
    "one each": np.random.default_rng(5).random((K, N, H, W)).astype(np.float32),
}


@pytest.fixture(params=REGIONS.values(), ids=list(REGIONS))
def region(request: pytest.FixtureRequest) -> Array:
    region: Array = request.param
    return region


@pytest.mark.parametrize("axis", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("pictures", [1, N])
@pytest.mark.parametrize("sure", [0, 5, 14])
@pytest.mark.parametrize("kind", ["Softmax", "Sigmoid"])
def test_whole(kind: str, sure: float, pictures: int, axis: int, region: Array) -> None:
    x, weights = logits(sure), questions(pictures)
    found = gradient(kind, axis, x, weights, region, lambda _, sweep, v: sweep.whole(v))
    expected = exact(kind, x, weights, region)
    largest = np.abs(expected).max((2,), keepdims=True)  # over classes: the pixel's own scale
    assert found.shape == expected.shape
    assert (np.abs(found - expected) / largest).max() < 2e-5


@pytest.mark.parametrize("axis", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("sure", [0, 5, 14])
@pytest.mark.parametrize("kind", ["Softmax", "Sigmoid"])
def test_mean(kind: str, sure: float, axis: int, region: Array) -> None:
    x, weights = logits(sure), questions(N)
    found = gradient(kind, axis, x, weights, region, lambda _, sweep, v: sweep.mean(v, axis))
    expected = exact(kind, x, weights, region).mean((-1, -2))
    assert (np.abs(found - expected) / np.abs(expected).max(2, keepdims=True)).max() < 2e-5


@pytest.mark.parametrize("axis", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("sure", [0, 5, 14])
def test_mean_of_many_classes(
    sure: float, axis: int, region: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ortcam_export.gradient.seed._MANY_CLASSES", C)
    test_mean("Softmax", sure, axis, region)


@pytest.mark.parametrize("axis", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("kind", ["Softmax", "Sigmoid"])
def test_windows(kind: str, axis: int, region: Array) -> None:
    x, weights = logits(8), questions(N)
    random = np.random.default_rng(6)
    rows, columns = (random.random((n, e)).astype(np.float32) for n, e in ((3, H), (2, W)))
    first = 2 if axis == 1 else 1

    def contracted(tape: Tape, sweep: Sweep, value: ir.Value) -> Tensor:
        windows = {first: tape.constant(rows), first + 1: tape.constant(columns)}
        return sweep.contracted(value, Windows(tape, ir.DataType.FLOAT, windows))

    found = gradient(kind, axis, x, weights, region, contracted)
    expected = rows @ exact(kind, x, weights, region) @ columns.T
    assert (np.abs(found - expected) / np.abs(expected).max(2, keepdims=True)).max() < 2e-5


def test_one_sum_of_two_axes(region: Array) -> None:
    """Windows over a part of space have no closed form, and are right all the same."""
    x, weights = logits(2), questions(1)
    over_rows = lambda tape, sweep, v: sweep.contracted(  # noqa: E731
        v, Windows(tape, ir.DataType.FLOAT, {2: Ones(tape.wrap(v).dim(2))})
    )
    found = gradient("Softmax", 1, x, weights, region, over_rows)
    expected = exact("Softmax", x, weights, region).sum(-2, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
