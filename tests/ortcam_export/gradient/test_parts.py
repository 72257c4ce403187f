"""Third rules: of joined channels, those that no target lies behind get no cotangent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import Case, check
from onnx import TensorProto, helper, numpy_helper

from ortcam_export.vjp import vjp

NODE = helper.make_node
CHANNELS = {"a": 4, "b": 6, "c": 2}

#: What reads the joined channels [N, 12, H, W], and whether it can tell them apart.
READERS = {
    "Conv": ([NODE("Conv", ["j", "w"], ["y"], pads=[1, 1, 1, 1])], True),
    "Conv, strides": ([NODE("Conv", ["j", "w"], ["y"], strides=[2, 2])], True),
    "two Convs": (
        [
            NODE("Conv", ["j", "w"], ["h"]),
            NODE("Conv", ["j", "w"], ["i"]),
            NODE("Mul", ["h", "i"], ["y"]),
        ],
        True,
    ),
    "Relu": ([NODE("Relu", ["j"], ["h"]), NODE("Conv", ["h", "w"], ["y"])], False),
    "Conv and Relu": (
        [
            NODE("Conv", ["j", "w"], ["h"], pads=[1, 1, 1, 1]),
            NODE("Relu", ["j"], ["r"]),
            NODE("Concat", ["h", "r"], ["y"], axis=1),
        ],
        False,
    ),
}


def network(nodes: Any) -> Any:
    random = np.random.default_rng(0)
    weights = {"w": (3, 12, 3, 3), "grouped": (4, 6, 3, 3)}
    read = {name for node in nodes for name in node.input}
    of = nodes[-1].output[0] if nodes else "j"
    graph = helper.make_graph(
        [NODE("Concat", list(CHANNELS), ["j"], axis=-3), *nodes],
        "g",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, c, "H", "W"])
            for name, c in CHANNELS.items()
        ],
        [helper.make_tensor_value_info(of, TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
            for name, shape in weights.items()
            if name in read
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    feeds = {
        name: random.standard_normal((2, c, 6, 5)).astype(np.float32)
        for name, c in CHANNELS.items()
    }
    return Case(model, feeds), of


OTHERS = {"Conv, groups": [NODE("Conv", ["j", "grouped"], ["y"], group=2)], "nothing": []}


@pytest.mark.parametrize("wanted", [["a"], ["b"], ["c", "a"], ["a", "b", "c"]], ids="".join)
@pytest.mark.parametrize("name", [*READERS, *OTHERS])
def test_each_input_of_a_concat(name: Any, wanted: Any) -> None:
    case, of = network(OTHERS[name] if name in OTHERS else READERS[name][0])
    check(case, wrt=wanted, of=of)


@pytest.mark.parametrize("name", READERS)
def test_only_the_wanted_channels_are_computed(name: Any) -> None:
    nodes, spared = READERS[name]
    case, of = network(nodes)
    added = vjp(case.model, of, ["b"]).graph
    kernels = {tensor.name: tensor.dims for tensor in added.initializer}
    used = [
        kernels[node.input[1]][:2]
        for node in added.node[len(case.model.graph.node) :]
        if node.op_type in ("Conv", "ConvTranspose")
    ]
    assert any(12 in channels for channels in used) != spared
