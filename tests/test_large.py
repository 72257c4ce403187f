"""A network beyond 2 GB, which protobuf cannot hold in one message: exported and explained."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, external_data_helper, helper, numpy_helper

import ortcam
from ortcam_export import export

#: The channels before the two wide layers; each layer has BLOCKS equal blocks of ROWS channels.
#: There are two layers, since onnxruntime's optimiser holds no single tensor beyond 2 GB.
BEFORE, BLOCKS, ROWS = 16384, 50, 336

MEMORY, DISK = 9 * 2**30, 8 * 2**30


def weights(seed: int, *shape: int) -> NDArray[np.float32]:
    scale = (2 / shape[1]) ** 0.5
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def large_network(folder: Path) -> tuple[Path, dict[str, NDArray[np.float32]]]:
    """1 x 1 convolutions; the weights of two, 1.1 GB each, are in one file beside the network."""
    parts = {
        "w1": weights(1, BEFORE, 3),
        "block": weights(2, ROWS, BEFORE),
        "w3": weights(3, 8, 2 * BLOCKS * ROWS),
        "w4": weights(4, 4, 8),
    }
    with (folder / "weights.bin").open("wb") as file:
        for _ in range(2 * BLOCKS):
            parts["block"].tofile(file)
    wide = []
    for i, name in enumerate(("left", "right")):
        extents = [BLOCKS * ROWS, BEFORE, 1, 1]
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=extents, raw_data=b"")
        length = BLOCKS * parts["block"].nbytes
        external_data_helper.set_external_data(tensor, "weights.bin", i * length, length)
        tensor.ClearField("raw_data")
        wide.append(tensor)
    small = [numpy_helper.from_array(parts[n][..., None, None], n) for n in ("w1", "w3", "w4")]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"]),
        helper.make_node("Relu", ["c1"], ["a1"]),
        helper.make_node("Conv", ["a1", "left"], ["c_left"]),
        helper.make_node("Conv", ["a1", "right"], ["c_right"]),
        helper.make_node("Concat", ["c_left", "c_right"], ["c2"], axis=1),
        helper.make_node("Relu", ["c2"], ["a2"]),
        helper.make_node("Conv", ["a2", "w3"], ["c3"]),
        helper.make_node("Relu", ["c3"], ["a3"]),
        helper.make_node("Conv", ["a3", "w4"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4, 4, 4])],
        [*small, *wide],
    )
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    path = folder / "large.onnx"
    path.write_bytes(model.SerializeToString())
    return path, parts


@pytest.mark.slow
def test_a_network_beyond_two_gigabytes(tmp_path: Path) -> None:
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if available < MEMORY or shutil.disk_usage(tmp_path).free < DISK:
        pytest.skip("needs 9 GiB of free memory and 8 GiB of disk")
    path, parts = large_network(tmp_path)
    target = tmp_path / "large.cam.onnx"
    exported = export(path, target, score="logits", rescale=1 / 255)
    try:
        assert exported.artifact.layers[0].name == "a3"
        assert exported.artifact.verification is not None
        assert (tmp_path / "large.cam.onnx.data").stat().st_size > 2**31
        assert target.stat().st_size < 2**24
        assert onnx.load(target, load_external_data=False).graph.output
        x = np.random.default_rng(5).random((1, 3, 4, 4), np.float32)
        explanation = ortcam.load(target, "cpu").explain(None, [0, 3], tensor=x)
        # the same in NumPy; the blocks are equal, so one is enough
        h1 = np.maximum(parts["w1"] @ x[0].reshape(3, 16).astype(np.float64), 0)
        h2 = np.tile(np.maximum(parts["block"] @ h1, 0), (2 * BLOCKS, 1))
        a3 = np.maximum(parts["w3"] @ h2, 0).reshape(8, 4, 4)
        expected = np.tensordot(parts["w4"][[0, 3]], a3, 1)
        np.testing.assert_allclose(explanation.weights["a3"], parts["w4"][[0, 3]], rtol=1e-5)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            explanation.raw["a3"], np.maximum(expected, 0), atol=1e-4 * scale
        )
    finally:
        for file in tmp_path.iterdir():  # pytest keeps the folders of the last three runs
            file.unlink()
