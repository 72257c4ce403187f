"""Grad-CAM's weights behind the linear ends of networks, against central differences in float64.

The mean gradient of a channel is how the score answers when all of that channel is shifted. The
reference runs the network in double precision in onnx's ReferenceEvaluator and knows nothing of
windows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from finite_differences import recast
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from ortcam_export.append.gradient import question
from ortcam_export.gradient.finish import finish
from ortcam_export.gradient.sweep import Sweep
from ortcam_export.gradient.tape import Tape
from ortcam_export.graph.model_io import opset
from ortcam_export.graph.names import tensor
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load

NODE = helper.make_node
C, CLASSES = 3, 4


def conv(*pads: Any, **attributes: Any) -> Any:
    return NODE("Conv", ["x", "w"], ["l"], pads=pads, **attributes)


def resized(mode: Any, **attributes: Any) -> Any:
    return NODE("Resize", ["l", "", "scales"], ["m"], mode=mode, **attributes)


#: The nodes between x and the logits, the kernel of the weights w, and the extents of x.
TAILS = {
    "3x3": ([conv(1, 1, 1, 1)], (3, 3), (6, 5)),
    "3x3, channels of one row": ([conv(1, 1, 1, 1)], (3, 3), (1, 5)),
    "5x5, one column": ([conv(2, 2, 2, 2)], (5, 5), (14, 1)),
    "3x2, uneven pads": ([conv(1, 1, 2, 1)], (3, 2), (7, 12)),
    "3x3 without pads": ([conv(0, 0, 0, 0)], (3, 3), (6, 5)),
    "3x3, dilated": ([conv(3, 3, 3, 3, dilations=[3, 3])], (3, 3), (7, 40)),
    "3x3, strides": ([conv(1, 1, 1, 1, strides=[2, 1])], (3, 3), (7, 6)),
    "3x3, linear": ([conv(1, 1, 1, 1), resized("linear")], (3, 3), (6, 5)),
    "3x3, cubic": ([conv(1, 1, 1, 1), resized("cubic")], (3, 3), (9, 5)),
    "3x3, nearest": ([conv(1, 1, 1, 1), resized("nearest")], (3, 3), (6, 13)),
    "1x3, linear": ([conv(0, 1, 0, 1), resized("linear")], (1, 3), (4, 7)),
    "3x3, linear, corners": (
        [
            conv(1, 1, 1, 1),
            resized("linear", coordinate_transformation_mode="align_corners"),
        ],
        (3, 3),
        (6, 12),
    ),
    "3x3 twice": (
        [
            NODE("Conv", ["x", "v"], ["h"], pads=[1] * 4),
            NODE("Conv", ["h", "w"], ["l"], pads=[1] * 4),
        ],
        (3, 3),
        (6, 5),
    ),
    "transposed": ([NODE("ConvTranspose", ["x", "u"], ["l"], strides=[2, 2])], (1, 1), (4, 3)),
    "tokens": (
        [
            NODE("Reshape", ["x", "flat"], ["f"]),
            NODE("Transpose", ["f"], ["t"], perm=[0, 2, 1]),
            NODE("MatMul", ["t", "p"], ["q"]),
            NODE("Add", ["q", "b"], ["r"]),
            NODE("Transpose", ["r"], ["l"], perm=[0, 2, 1]),
        ],
        (1, 1),
        (4, 5),
    ),
    "classifier": (
        [
            NODE("GlobalAveragePool", ["x"], ["a"]),
            NODE("Flatten", ["a"], ["f"]),
            NODE("Gemm", ["f", "p", "b"], ["l"]),
        ],
        (1, 1),
        (4, 5),
    ),
    "three axes": ([conv(1, 1, 1, 1, 1, 1)], (3, 3, 3), (4, 3, 5)),
}


def network(nodes: Any, kernel: Any, extents: Any, symbols: Any) -> Any:
    random = np.random.default_rng(0)
    last = nodes[-1].output[0]
    space = len(extents)
    constants = {
        "w": random.standard_normal((CLASSES, C, *kernel)),
        "v": random.standard_normal((C, C, 3, 3)),
        "u": random.standard_normal((C, CLASSES, 4, 3)),
        "p": random.standard_normal((C, CLASSES)),
        "b": random.standard_normal(CLASSES),
        "scales": np.array([1, 1, 3, 2.5]),
        "flat": np.array([0, C, -1]),
    }
    read = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        [*nodes, NODE("Softmax", [last], ["s"], axis=1)],
        "g",
        [
            helper.make_tensor_value_info(
                "x", TensorProto.FLOAT, ["N", C, *(symbols[:space] if symbols else extents)]
            )
        ],
        [helper.make_tensor_value_info("s", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(a if a.dtype == np.int64 else a.astype(np.float32), name)
            for name, a in constants.items()
            if name in read
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("symbols", [None, ["D", "H", "W"]], ids=["fixed", "symbols"])
@pytest.mark.parametrize("regions", [1, 2], ids=["one region", "a region each"])
@pytest.mark.parametrize("name", TAILS)
def test_weights_are_how_the_score_answers(
    monkeypatch: pytest.MonkeyPatch, name: Any, regions: Any, symbols: Any
) -> None:
    nodes, kernel, extents = TAILS[name]
    model = network(nodes, kernel, extents, symbols)
    random = np.random.default_rng(1)
    x = random.standard_normal((2, C, *extents)).astype(np.float32)
    reference: Any = ReferenceEvaluator(recast(model))
    (s,) = reference.run(None, {"x": x.astype(np.float64)})
    weights = np.zeros((2, 1, CLASSES), np.float32)
    weights[0, 0, 1], weights[1, 0] = 1, random.standard_normal(CLASSES)
    region = random.random((regions, 2, *s.shape[2:])).astype(np.float32)

    prepared = prepare(load(model))
    tape = Tape(prepared.graph, opset(prepared))
    sweep = Sweep(tape, question(tape, tensor(prepared, "s"), 1, "weights", "region"))
    if name != "classifier":  # whose last cotangents have no space
        monkeypatch.setattr(sweep, "whole", None)  # not to be called
    finish(prepared, {"mean": sweep.mean(tensor(prepared, "x"), 1).revealed()})
    session = onnxruntime.InferenceSession(
        ir.to_proto(prepared).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(["mean"], {"x": x, "weights": weights, "region": region})

    expected, step = np.zeros((2, 2, C)), 1e-5
    for c in range(C):
        shift = np.zeros((1, C, *[1] * len(extents)))
        shift[0, c] = step
        change = np.subtract(
            *(reference.run(None, {"x": x + way * shift})[0] for way in (1, -1))
        ) / (2 * step)
        rows = weights.reshape(2, 1, CLASSES, *[1] * (s.ndim - 2))
        shares = rows * change * region[:, :, None]
        y = shares.reshape(2, 2, -1).sum(-1)
        expected[:, :, c] = y / np.prod(extents)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6 * np.abs(expected).max())
