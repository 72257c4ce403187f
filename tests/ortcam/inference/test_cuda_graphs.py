"""Recorded runs: what they give is what runs give, whatever came between."""

from __future__ import annotations

import types
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ortcam.inference.cuda_graphs import MOST, Replays

CPU = ("cpu", 0)


def model() -> bytes:
    """product = a * b, broadcast; sums over its rows; and its shape."""
    nodes = [
        helper.make_node("Mul", ["a", "b"], ["product"]),
        helper.make_node("ReduceSum", ["product"], ["sums"], keepdims=0),
        helper.make_node("Shape", ["product"], ["shape"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, [None, None]),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("product", TensorProto.FLOAT, [None, None]),
            helper.make_tensor_value_info("sums", TensorProto.FLOAT, []),
            helper.make_tensor_value_info("shape", TensorProto.INT64, [2]),
        ],
    )
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    data: bytes = model.SerializeToString()
    return data


class Options:
    def __init__(self) -> None:
        self.graph = ""

    def add_run_config_entry(self, key: str, value: str) -> None:
        assert key == "gpu_graph_id"
        self.graph = value


class Binding:
    """Remembers what is bound; outputs that are bound to a device alone are made in the run."""

    def __init__(self) -> None:
        self.inputs: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}
        self.synchronized: list[str] = []

    def bind_ortvalue_input(self, name: str, value: Any) -> None:
        self.inputs[name] = value

    def bind_output(self, name: str, device: str, number: int) -> None:
        self.outputs[name] = None

    def bind_ortvalue_output(self, name: str, value: Any) -> None:
        self.outputs[name] = value

    def get_outputs(self) -> list[Any]:
        return list(self.outputs.values())

    def synchronize_inputs(self) -> None:
        self.synchronized.append("inputs")

    def synchronize_outputs(self) -> None:
        self.synchronized.append("outputs")


class Capturing:
    """A session as onnxruntime's CUDA provider behaves with CUDA graphs.

    The first run under a number records the places of inputs and outputs. Each later one reads and
    writes these, whatever is bound and asked for.
    """

    def __init__(self) -> None:
        self.real = onnxruntime.InferenceSession(model(), providers=["CPUExecutionProvider"])
        self.recorded: dict[str, Binding] = {}
        self.log: list[str] = []
        self.get_outputs = self.real.get_outputs
        self.io_binding = Binding

    def run(self, names: list[str], feeds: dict[str, Any], options: Options) -> list[Any]:
        self.log.append(f"run {options.graph}")
        values: list[Any] = self.real.run(names, feeds)
        return values

    def run_with_iobinding(self, binding: Binding, options: Options) -> None:
        self.log.append(options.graph)
        assert binding.synchronized[-1] == "inputs"
        if options.graph != "-1":
            binding = self.recorded.setdefault(options.graph, binding)
            assert None not in binding.outputs.values(), "an output of a recording has no place"
        feeds = {name: value.numpy() for name, value in binding.inputs.items()}
        for name, array in zip(
            binding.outputs, self.real.run(list(binding.outputs), feeds), strict=True
        ):
            if binding.outputs[name] is None:
                make = onnxruntime.OrtValue.ortvalue_from_shape_and_type
                binding.outputs[name] = make(array.shape, array.dtype.type)
            binding.outputs[name].update_inplace(array)


@pytest.fixture
def capturing() -> tuple[Replays, Capturing]:
    session = Capturing()
    runtime = types.SimpleNamespace(OrtValue=onnxruntime.OrtValue, RunOptions=Options)
    return Replays(runtime, session, CPU), session


def fed(seed: int, rows: int = 3, more: int = 1) -> dict[str, NDArray[np.float32]]:
    draw = np.random.default_rng(seed)
    return {
        "a": draw.normal(size=(rows, 4)).astype(np.float32),
        "b": draw.normal(size=(more, 4)).astype(np.float32),
    }


def check(found: dict[str, Any], feeds: dict[str, Any]) -> None:
    product = feeds["a"] * feeds["b"]
    expected = {"product": product, "sums": product.sum(), "shape": product.shape}
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5)


def test_shapes_that_were_seen_are_replayed(capturing: tuple[Replays, Capturing]) -> None:
    replays, session = capturing
    for feeds in (fed(0), fed(1), fed(2, 5), fed(3), fed(4, 5), fed(5, 5, 5)):
        check(replays.run(["product", "sums", "shape"], feeds), feeds)
    assert session.log == ["-1", "1", "1", "-1", "2", "1", "2", "-1", "3"]


def test_one_recording_serves_whatever_is_asked_for(capturing: tuple[Replays, Capturing]) -> None:
    replays, session = capturing
    for seed, names in enumerate((["sums"], ["product", "sums"], ["shape"])):
        feeds = fed(seed)
        found = replays.run(names, feeds)
        assert list(found) == names
        check(found, feeds)
    assert session.log == ["-1", "1", "1", "1"]


def test_what_was_given_stays_as_it_was(capturing: tuple[Replays, Capturing]) -> None:
    replays, _ = capturing
    each = [fed(seed) for seed in range(3)]
    found = [replays.run(["product", "sums"], feeds) for feeds in each]
    for one, feeds, again in zip(found, each, [fed(seed) for seed in range(3)], strict=True):
        check(one, again)
        np.testing.assert_array_equal(feeds["a"], again["a"])


def test_nothing_is_recorded_of_no_elements_or_of_too_many_shapes(
    capturing: tuple[Replays, Capturing],
) -> None:
    replays, session = capturing
    empty = fed(0, 0)
    check(replays.run(["product", "sums"], empty), empty)
    assert session.log == ["run -1"]
    for rows in range(1, MOST + 2):
        feeds = fed(rows, rows)
        check(replays.run(["product"], feeds), feeds)
    assert len(session.recorded) == MOST
    assert session.log[-1] == "run -1"
    last = fed(99, MOST)
    check(replays.run(["product"], last), last)
    assert session.log[-1] == str(MOST)


def test_another_layout_in_memory_is_the_same_array(capturing: tuple[Replays, Capturing]) -> None:
    replays, _ = capturing
    feeds = fed(0, 6)
    for a in (feeds["a"], np.asfortranarray(feeds["a"]), feeds["a"][::-1]):
        check(replays.run(["product", "sums"], {**feeds, "a": a}), {**feeds, "a": a})


def test_a_number_stays_without_axes(capturing: tuple[Replays, Capturing]) -> None:
    replays, _ = capturing
    for b in (2.0, 3.0):
        feeds = {"a": fed(0)["a"], "b": np.array(b, np.float32)}
        check(replays.run(["product", "sums"], feeds), feeds)


def test_threads_do_not_write_into_each_others_runs(capturing: tuple[Replays, Capturing]) -> None:
    replays, _ = capturing
    each = [fed(seed, 3 + seed % 2) for seed in range(60)]
    with ThreadPoolExecutor(4) as pool:
        for found, feeds in zip(
            pool.map(lambda feeds: replays.run(["product", "sums"], feeds), each), each, strict=True
        ):
            check(found, feeds)


def test_onnxruntime_takes_the_calls() -> None:
    """The CPU's provider records nothing; what is bound is what CUDA's gets."""
    session = onnxruntime.InferenceSession(model(), providers=["CPUExecutionProvider"])
    replays = Replays(onnxruntime, session, CPU)
    for feeds in (fed(0), fed(1), fed(2, 5), fed(3), fed(4, 0)):
        check(replays.run(["product", "shape"], feeds), feeds)
        check(replays.run(["sums"], feeds), feeds)
