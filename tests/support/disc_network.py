"""A network that sees only a disc, as an artifact built by hand and in NumPy."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ortcam.artifact import METADATA_KEY, Artifact, Expectations, Layer, Preprocessing, Score

HEIGHT, WIDTH = 24, 32
SLOPE, THRESHOLD = 6.0, 0.7


def disc() -> NDArray[np.bool_]:
    """The pixels that the network sees."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    mask: NDArray[np.bool_] = np.hypot(y - 10, x - 12) <= 5
    return mask


def score_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The network in NumPy: the brightness of each pixel of the disc, as a probability."""
    bright = rgb.mean(axis=2) / 255
    score: NDArray[np.float64] = 1 / (1 + np.exp(-SLOPE * (disc() * bright - THRESHOLD)))
    return score


def artifact(slope: float = SLOPE, layer: str = "bright", name: str = "Spot") -> bytes:
    """One feature, the brightness; one class; an explicit gradient."""

    def constant(name: str, values: object) -> onnx.TensorProto:
        return numpy_helper.from_array(np.asarray(values, np.float32), name)

    nodes = [
        helper.make_node("Conv", ["input", "mean"], [layer]),
        helper.make_node("Mul", [layer, "disc"], ["seen"]),
        helper.make_node("Sub", ["seen", "threshold"], ["above"]),
        helper.make_node("Mul", ["above", "slope"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["score"]),
        # dy/dlayer = class weight * region * s (1 - s) * slope * disc, [K, N, 1, h, w].
        helper.make_node("Sub", ["one", "score"], ["rest"]),
        helper.make_node("Mul", ["score", "rest"], ["steep"]),
        helper.make_node("Mul", ["steep", "slope"], ["steeper"]),
        helper.make_node("Mul", ["steeper", "disc"], ["slopes"]),
        helper.make_node("Unsqueeze", ["class_weights", "axes34"], ["w"]),
        helper.make_node("Unsqueeze", ["region", "axis2"], ["r"]),
        helper.make_node("Mul", ["w", "r"], ["wr"]),
        helper.make_node("Mul", ["wr", "slopes"], [f"{layer}.grad"]),
        helper.make_node("ReduceMean", [f"{layer}.grad", "axes34"], ["means"], keepdims=0),
        helper.make_node("Identity", ["means"], [f"{layer}.weights"]),
    ]
    initializers = [
        constant("mean", np.full((1, 3, 1, 1), 1 / 3)),
        constant("disc", disc()[None, None]),
        constant("threshold", THRESHOLD),
        constant("slope", slope),
        constant("one", 1),
        numpy_helper.from_array(np.array([3, 4]), "axes34"),
        numpy_helper.from_array(np.array([2]), "axis2"),
    ]
    space = [HEIGHT, WIDTH]
    inputs: dict[str, list[str | int | None]] = {
        "input": ["N", 3, *space],
        "class_weights": ["K", "M", 1],
        "region": ["R", "S", "y", "x"],
    }
    outputs: dict[str, list[str | int | None]] = {
        "score": ["N", 1, *space],
        layer: ["N", 1, *space],
        f"{layer}.weights": ["K", "N", 1],
        f"{layer}.grad": ["K", "N", 1, *space],
    }
    graph = helper.make_graph(
        nodes,
        "disc",
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in inputs.items()],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in outputs.items()],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    metadata = Artifact(
        layers=(Layer(name=layer, weights=f"{layer}.weights", grad=f"{layer}.grad"),),
        score=Score(name="score", kind="sigmoid"),
        picture="input",
        expects=Expectations(classes=(name,), colors=((200, 30, 30),), preprocess=Preprocessing()),
        source_sha256="cd" * 32,
    )
    helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    onnx.checker.check_model(model, full_check=True)
    artifact: bytes = model.SerializeToString()
    return artifact


def scene(seed: int = 0) -> NDArray[np.uint8]:
    """A dark picture with a checkerboard of bright pixels in the disc, and another beside it."""
    rgb = np.random.default_rng(seed).integers(0, 60, (HEIGHT, WIDTH, 3), np.uint8)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    board = (y + x) % 2 == 0
    rgb[board & disc()] = 250
    rgb[board & (x > 22)] = 250  # as bright, but unseen
    return rgb
