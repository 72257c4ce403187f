"""Layers that are not selected: no rows of theirs, and no change in the others' weights."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from networks import Builder
from numpy.typing import NDArray
from onnx import TensorProto

from ortcam.artifact import Layer, Score, weights_name
from ortcam_export.append.gradient import append_gradient
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load

Array = NDArray[Any]

K, N = 3, 2


def branches(seed: int = 0, kind: str = "Softmax") -> onnx.ModelProto:
    """Branches that part, cross over and meet: no layer but ``stem_relu`` is a cut.

    ``left_relu`` and ``right_relu`` are parallel, and ``both_relu`` meets each of them at a Concat
    of its own; ``part_a`` and ``part_b`` come from one Split, ``deep_relu`` is on one branch only,
    and ``cat`` reaches the scorer both directly and through a nonlinear block.
    """
    g = Builder(seed)
    stem = g.block("input", 3, 6, "stem")
    left = g.block(stem, 6, 6, "left")
    right = g.block(stem, 6, 8, "right")
    both = g.block("input", 3, 5, "both")
    left = g.relu(g.node("Concat", [left, g.conv(both, 5, 6, "l")], "met_l", axis=1), "l_relu")
    right = g.relu(g.node("Concat", [right, g.conv(both, 5, 8, "r")], "met_r", axis=1), "r_relu")
    parts = ["part_a", "part_b"]
    g.nodes.append(onnx.helper.make_node("Split", [right], parts, axis=1, num_outputs=2))
    deep = g.block(g.node("Add", [left, g.conv("part_a", 8, 12, "a_conv")], "sum"), 12, 6, "deep")
    gate = g.node("Sigmoid", [g.conv("part_b", 8, 6, "b_conv")], "gate")
    cat = g.node("Concat", [g.node("Mul", [deep, gate], "product"), left], "cat", axis=1)
    head = g.block(cat, 18, 6, "head")
    straight = g.conv(cat, 18, 4, "straight", k=1)
    g.node("Add", [g.conv(head, 6, 4, "scored"), straight], "logits")
    score = "logits"
    if kind:
        score = g.node(kind, ["logits"], "score", **({"axis": 1} if kind == "Softmax" else {}))
    return g.model({score: (TensorProto.FLOAT, ["N", 4, "H", "W"])})


BRANCHES = ("stem_relu", "both_relu", "left_relu", "right_relu", "part_a", "deep_relu", "head_relu")
UNET = ("enc1_relu", "mid_relu", "cat2", "dec2_relu", "dec1_relu", "logits")

CASES: dict[str, tuple[Callable[[], onnx.ModelProto], str, tuple[str, ...], int]] = {
    "branches": (branches, "score", BRANCHES, 1),
    "branches, sigmoid": (lambda: branches(kind="Sigmoid"), "score", BRANCHES, 1),
    "branches, logits": (lambda: branches(kind=""), "logits", BRANCHES, 1),
    "unet": (networks.unet, "probabilities", UNET, 1),
    "channels last": (
        networks.channels_last, "probabilities", ("stem_relu", "deep_relu", "cat", "head_relu"), 3,
    ),
    "classifier": (networks.classifier, "probabilities", ("a_relu", "b_relu"), 1),
}  # fmt: skip


class Opened:
    """A network with the gradients of some of its layers."""

    def __init__(self, name: str, layers: tuple[str, ...] | None = None) -> None:
        make, score, everything, axis = CASES[name]
        self.layers = layers or everything
        self.classes = 5 if name == "classifier" else 4
        self.space = 0 if name == "classifier" else 2
        self.axis = axis
        self.masked = len(self.layers) > 1
        self.graph = append_gradient(
            prepare(load(make())),
            Score(name=score, class_axis=axis),
            [Layer(name=n, weights=weights_name(n), channel_axis=axis) for n in self.layers],
            mask="layers" if self.masked else None,
        )
        self.session = ort.InferenceSession(ir.to_proto(self.graph).SerializeToString())

    def feeds(self, selection: tuple[str, ...], kind: str, k: int) -> dict[str, Array]:
        random = np.random.default_rng(1)
        height, width = 13, 18
        x = random.standard_normal((N, 3, height, width)).astype(np.float32)
        rows = random.standard_normal((K, N if kind == "each" else 1, self.classes))[:k]
        shape = {"everywhere": (1, 1, 1, 1), "shared": (1, 1, height, width)}.get(
            kind, (K, N, height, width)
        )
        region = random.random(shape[: 2 + self.space])[:k]
        feeds = {
            "input": x if self.axis == 1 else np.ascontiguousarray(x.transpose(0, 2, 3, 1)),
            "class_weights": rows.astype(np.float32),
            "region": region.astype(np.float32),
        }
        if self.masked:
            feeds["layers"] = np.array([layer in selection for layer in self.layers])
        return feeds

    def weights(
        self, selection: tuple[str, ...], kind: str = "shared", k: int = K
    ) -> dict[str, Array]:
        feeds = self.feeds(selection, kind, k)
        names = [weights_name(layer) for layer in self.layers]
        return dict(zip(self.layers, self.session.run(names, feeds), strict=True))


@pytest.mark.parametrize("kind", ["everywhere", "shared", "each"])
@pytest.mark.parametrize("name", CASES)
def test_every_mask_gives_the_weights_of_the_layers_alone(name: str, kind: str) -> None:
    opened = Opened(name)
    alone = {
        layer: Opened(name, (layer,)).weights((layer,), kind)[layer] for layer in opened.layers
    }
    for mask in product([False, True], repeat=len(opened.layers)):
        selection = tuple(x for x, on in zip(opened.layers, mask, strict=True) if on)
        actual = opened.weights(selection, kind)
        for layer in selection:
            size = np.abs(alone[layer]).max()
            assert size > 0
            np.testing.assert_allclose(actual[layer], alone[layer], atol=1e-5 * size, rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_asked(name: str) -> None:
    opened = Opened(name)
    for selection in ((), opened.layers):
        assert {len(rows) for rows in opened.weights(selection, k=0).values()} == {0}


def test_earlier_layers_carry_no_row() -> None:
    """Rows exist only for the selected layers, and for later ones on their paths."""
    opened = Opened("unet")
    rows = {layer: len(actual) for layer, actual in opened.weights(("dec2_relu",)).items()}
    assert rows == {
        "enc1_relu": 0, "mid_relu": 0, "cat2": 0, "dec2_relu": K, "dec1_relu": K, "logits": K,
    }  # fmt: skip
    rows = {layer: len(actual) for layer, actual in opened.weights(("logits",)).items()}
    assert rows == {
        "enc1_relu": 0, "mid_relu": 0, "cat2": 0, "dec2_relu": 0, "dec1_relu": K, "logits": K,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["unet", "branches", "channels last"])
def test_the_last_layer_alone_costs_no_sweep(name: str) -> None:
    """No product in the gradient has a row for each cell of a map."""
    opened = Opened(name)
    graph = opened.graph.graph
    products = [
        node.outputs[0]
        for node in graph
        if node.op_type in ("Conv", "ConvTranspose", "MatMul")
        and (node.name or "").startswith("grad.")
    ]
    graph.outputs.extend(value for value in products if value not in graph.outputs)
    session = ort.InferenceSession(ir.to_proto(opened.graph).SerializeToString())
    names = [value.name for value in products]
    cells = 13 * 18
    sizes = {}
    for selection in (opened.layers[0], opened.layers[-1]):
        actual = session.run(names, opened.feeds((selection,), "shared", K))
        sizes[selection] = max(values.size for values in actual)
    assert sizes[opened.layers[0]] > K * N * cells
    assert sizes[opened.layers[-1]] < N * cells * opened.classes


def test_a_pool_finds_its_places_only_where_they_are_asked_for() -> None:
    """The network's own pool stays the fast one, without Indices."""
    opened = Opened("unet")
    graph = opened.graph.graph
    pools = [node for node in graph if node.op_type == "MaxPool"]
    plain = [node for node in pools if not (node.name or "").startswith("grad.")]
    copies = [node for node in pools if node not in plain]
    assert plain
    assert len(copies) == len(plain)
    assert all(len(node.outputs) == 1 for node in plain)
    indices = [node.outputs[1] for node in copies]
    graph.outputs.extend(indices)
    session = ort.InferenceSession(ir.to_proto(opened.graph).SerializeToString())
    for selection, indexed in ((opened.layers[0], True), (opened.layers[-1], False)):
        actual = session.run([i.name for i in indices], opened.feeds((selection,), "shared", K))
        # CUDA has no indices for an empty batch: an unselected layer gets one channel of a picture
        assert all((values.shape[:2] == (1, 1)) != indexed for values in actual)
